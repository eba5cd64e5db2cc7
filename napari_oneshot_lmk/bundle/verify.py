"""Runs a bundle with MONAI alone and compares its points with this program's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK

from napari_oneshot_lmk.bundle.layout import INFERENCE
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.errors import ModelError, OneshotError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template

MAX_IMAGES = 3
"""Beside the template."""
TEMPLATE_NAME = "template.mha"
_MOVES_YX = ((0.03, -0.02), (-0.04, 0.03), (0.02, 0.05))
"""Shifts of the template, relative to its size, where there are no other images."""


@dataclass(frozen=True)
class Comparison:
    """Distances between the points of a bundle and of this program."""

    images: tuple[str, ...]
    """Their names."""
    largest_px: float
    """In pixels of the image."""
    worst: str
    """The landmark and image of that distance."""

    @property
    def summary(self) -> str:
        """For the user."""
        word = "identical" if self.largest_px < 0.005 else "the same"
        others = len(self.images) - 1
        return f"{word}, max {self.largest_px:.2f} px on the template and {others} images"


def verify_bundle(bundle: Path, detector: Detector, images: Sequence[Path]) -> Comparison:
    """Run a bundle with MONAI's command and compare its points with a detector's.

    Parameters
    ----------
    bundle : Path
    detector : Detector
        In the bundle's precision.
    images : sequence of Path
        The first `MAX_IMAGES` that can be read are used, completed by moved copies of the
        template.

    Raises
    ------
    ModelError
        If the bundle does not run, or leaves an image out.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "images").mkdir()
        pairs = _prepare_images(folder / "images", detector.template, images)
        table = run_bundle(bundle, folder / "images", folder / "out")
        found = {each.image: each for each in read_landmarks(table)}
        distances = []
        for name, image in pairs.items():
            detector.set_image(image)
            distances += _distances(image.name, detector.detect(), found[name])
    largest, worst = max(distances)
    return Comparison(tuple(image.name for image in pairs.values()), largest, worst)


def run_bundle(bundle: Path, images: Path, out: Path) -> Path:
    """Run ``configs/inference.json`` in a child process; return its table, or `ModelError`."""
    command = [
        *(sys.executable, "-m", "monai.bundle", "run"),
        *("--config_file", INFERENCE.as_posix(), "--bundle_root", "."),
        *("--dataset_dir", str(images.absolute())),
        *("--output_dir", str(out.absolute())),
    ]
    env = os.environ | {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command,
        cwd=bundle,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    table = out / "landmarks.csv"
    if done.returncode or not table.is_file():
        last = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        what = f"the bundle does not run, MONAI said: {last[-1].strip()}"
        raise ModelError(what, remedy="nothing was exported; report this with oneshot-lmk info")
    return table


def _prepare_images(
    folder: Path, template: Template, images: Sequence[Path]
) -> dict[str, GrayImage]:
    """Put images into a folder; return what this program reads, by their names there.

    Files are linked, so that both readers read the same file.
    """
    stored = {TEMPLATE_NAME: _save_and_read(folder / TEMPLATE_NAME, template.image)}
    for path in images:
        if len(stored) > MAX_IMAGES:
            break
        name = f"{len(stored)}-{path.name}"
        # Training has left out what cannot be read as well, or it is gone.
        with suppress(OneshotError, OSError):
            read = read_image(path)
            (folder / name).symlink_to(path.absolute())
            stored[name] = read
    for index, move_yx in enumerate(_MOVES_YX):
        if len(stored) > MAX_IMAGES:
            break
        shape_yx = template.image.pixels.shape
        shift = [round(part * size) for part, size in zip(move_yx, shape_yx, strict=True)]
        moved = replace(template.image, pixels=np.roll(template.image.pixels, shift, (0, 1)))
        name = f"moved-{index}.mha"
        stored[name] = _save_and_read(folder / name, moved)
    return stored


def _save_and_read(path: Path, image: GrayImage) -> GrayImage:
    """Write pixels and spacing as MetaImage, and read them again."""
    saved = SimpleITK.GetImageFromArray(image.pixels)
    spacing = image.geometry.spacing_mm_yx
    if spacing is not None:
        saved.SetSpacing(spacing[::-1])
    SimpleITK.WriteImage(saved, str(path))
    return read_image(path)


def _distances(image: str, ours: Landmarks, theirs: Landmarks) -> list[tuple[float, str]]:
    distances = []
    for one, other in zip(ours, theirs, strict=True):
        if one.name != other.name or one.state is not other.state:
            raise ModelError(
                f"the bundle's table has {other.name} ({other.state}) in place of "
                f"{one.name} ({one.state}) on {image}",
                remedy="nothing was exported; report this with oneshot-lmk info",
            )
        if one.position_yx is not None and other.position_yx is not None:
            distance = np.hypot(*np.subtract(one.position_yx, other.position_yx))
            distances.append((float(distance), f"{one.name} on {image}"))
    return distances
