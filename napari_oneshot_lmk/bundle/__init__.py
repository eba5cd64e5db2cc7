"""A trained model as a MONAI bundle, out and in."""

from typing import Any


def __getattr__(name: str) -> Any:
    # What configs/train.json of older bundles calls the module `load`.
    if name == "opening":
        from napari_oneshot_lmk.bundle import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
