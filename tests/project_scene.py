"""A project's folder with three small images, and what is recorded in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.project import Project

POINTS = {"apex": (10.0, 12.0), "notch": (30.0, 8.0), "tip": (25.0, 31.0)}


def save(path: Path, seed: int) -> Path:
    """A grey image that differs from those of other seeds, of the same file size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 36), dtype=np.uint8)
    Image.fromarray(pixels).save(path.with_suffix(".bmp"))
    return path.with_suffix(".bmp")


def a_template() -> Template:
    pixels = np.random.default_rng(99).integers(0, 255, (40, 36)).astype(np.float32)
    return Template.create(GrayImage.from_array(pixels, None, "t.png"), placed())


def placed(name: str = "", by: float = 0.0) -> Landmarks:
    return Landmarks.from_positions({n: (y + by, x) for n, (y, x) in POINTS.items()}, name)


def detected(project: Project, image_id: str) -> Landmarks:
    geometry = project.read(image_id).geometry
    points = [replace(p, score=0.5, source=Source.DETECTED) for p in placed()]
    return replace(placed().with_points(points), geometry=geometry)
