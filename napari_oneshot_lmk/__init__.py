"""Anatomical landmarks on 2-D medical images from one annotated template.

The public names load on first use, so that importing the package, asking for
its version or reading its napari manifest costs nothing.

Examples
--------
>>> from napari_oneshot_lmk import Detector, Template, read_image
>>> detector = Detector.instant(Template.load("my-template"))  # doctest: +SKIP
>>> detector.set_image(read_image("patient.dcm"))  # doctest: +SKIP
>>> found = detector.detect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_oneshot_lmk._version import __version__

if TYPE_CHECKING:
    from napari_oneshot_lmk.bundle.configs import About
    from napari_oneshot_lmk.bundle.export import Export, export_bundle
    from napari_oneshot_lmk.bundle.load import load_model
    from napari_oneshot_lmk.detection.batch import detect_many
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.errors import OneshotError
    from napari_oneshot_lmk.evaluation.report import evaluate
    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.imaging.image import GrayImage as Radiograph
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.imaging.reader import read_image as read_radiograph
    from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
    from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.train import train

__all__ = [
    "About",
    "Detector",
    "Export",
    "Geometry",
    "GrayImage",
    "Landmark",
    "Landmarks",
    "OneshotError",
    "Radiograph",
    "Template",
    "TrainedDetector",
    "TrainedModel",
    "TrainingConfig",
    "__version__",
    "detect_many",
    "evaluate",
    "export_bundle",
    "find_images",
    "load_model",
    "read_image",
    "read_landmarks",
    "read_radiograph",
    "train",
    "write_landmarks",
]

_MODULES = {
    "bundle.configs": ("About",),
    "bundle.export": ("Export", "export_bundle"),
    "bundle.load": ("load_model",),
    "detection.batch": ("detect_many",),
    "detection.detector": ("Detector",),
    "detection.model": ("TrainedModel",),
    "detection.trained_detector": ("TrainedDetector",),
    "errors": ("OneshotError",),
    "evaluation.report": ("evaluate",),
    "geometry": ("Geometry",),
    "imaging.find": ("find_images",),
    "imaging.image": ("GrayImage",),
    "imaging.reader": ("read_image",),
    "landmarks.files": ("read_landmarks", "write_landmarks"),
    "landmarks.landmarks": ("Landmark", "Landmarks"),
    "landmarks.template": ("Template",),
    "training.config": ("TrainingConfig",),
    "training.train": ("train",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_EARLIER_NAMES = {"Radiograph": "GrayImage", "read_radiograph": "read_image"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    current = _EARLIER_NAMES.get(name, name)
    if current not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[current]}"), current)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
