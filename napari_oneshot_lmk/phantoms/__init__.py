"""Radiograph-like phantoms with exact landmarks: samples, tests, stress.

``generate`` makes one, ``write_samples`` a folder of them, ``sample_folder``
finds those that come with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_oneshot_lmk.phantoms.generator import ANATOMIES, generate
    from napari_oneshot_lmk.phantoms.samples import sample_folder
    from napari_oneshot_lmk.phantoms.writer import write_samples

__all__ = ["ANATOMIES", "generate", "sample_folder", "write_samples"]

_HOMES = {
    "ANATOMIES": "generator",
    "generate": "generator",
    "sample_folder": "samples",
    "write_samples": "writer",
}


def __getattr__(name: str) -> Any:
    # Finding the samples must not cost the import of the generator.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
