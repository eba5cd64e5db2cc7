"""Anatomical landmarks on 2-D medical images from one annotated template.

The public names load on first use, so that importing the package, asking for
its version or reading its napari manifest costs nothing.

Examples
--------
>>> from napari_oneshot_lmk import Detector, Template, read_radiograph
>>> detector = Detector.instant(Template.load("my-template"))  # doctest: +SKIP
>>> detector.set_image(read_radiograph("patient.dcm"))  # doctest: +SKIP
>>> found = detector.detect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_oneshot_lmk._version import __version__

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.imaging.image import Radiograph
    from napari_oneshot_lmk.imaging.reader import read_radiograph
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template

__all__ = ["Detector", "Landmarks", "Radiograph", "Template", "__version__", "read_radiograph"]

_HOME = {
    "Detector": "napari_oneshot_lmk.detection.detector",
    "Landmarks": "napari_oneshot_lmk.landmarks.landmarks",
    "Radiograph": "napari_oneshot_lmk.imaging.image",
    "Template": "napari_oneshot_lmk.landmarks.template",
    "read_radiograph": "napari_oneshot_lmk.imaging.reader",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
