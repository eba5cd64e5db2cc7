"""A small world for the command line's tests: images that are shifted copies."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK
from typer.testing import CliRunner, Result

from napari_oneshot_lmk.cli.app import app

SHAPE_YX = (120, 100)
SPACING_MM = 0.5
POINTS = {"apex": (30.25, 40.5), "notch": (70.0, 25.75), "tip": (85.5, 72.0)}
SHIFTS = {"one.png": (4, -6), "two.png": (-7, 5), "three.png": (9, 8)}


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def one_sentence(result: Result) -> str:
    """The complaint of a command that failed: one line, no traceback."""
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


@lru_cache
def scene(seed: int = 0) -> np.ndarray:
    """A canvas of blobs of all sizes, larger than an image by 20 on each side."""
    generator = np.random.default_rng(seed)
    size = (SHAPE_YX[0] + 40, SHAPE_YX[1] + 40)
    canvas = np.zeros(size)
    for sigma, weight in [(12, 6), (5, 3), (2, 1)]:
        noise = SimpleITK.GetImageFromArray(generator.normal(size=size))
        smooth = SimpleITK.GetArrayFromImage(SimpleITK.SmoothingRecursiveGaussian(noise, sigma))
        canvas += weight * smooth / smooth.std()
    low, high = canvas.min(), canvas.max()
    return np.round((canvas - low) / (high - low) * 255).astype(np.uint8)


def save_image(path: Path, pixels: np.ndarray) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(path))


def view(canvas: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """Crop so that the content moves by ``shift`` (rows, columns)."""
    y, x = 20 - shift[0], 20 - shift[1]
    return canvas[y : y + SHAPE_YX[0], x : x + SHAPE_YX[1]]


def save_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def point_rows(image: str, shift: tuple[float, float] = (0, 0)) -> list[dict[str, object]]:
    return [
        {"image": image, "landmark": name, "x_px": x + shift[1], "y_px": y + shift[0]}
        for name, (y, x) in POINTS.items()
    ]


@dataclass(frozen=True)
class World:
    """Files of a small study."""

    folder: Path

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def template_image(self) -> Path:
        return self.folder / "template.png"

    @property
    def landmarks(self) -> Path:
        return self.folder / "template.csv"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.csv"

    @property
    def template(self) -> Path:
        return self.folder / "template"


def make_world(folder: Path) -> World:
    """Write images, the template's landmarks and the truth."""
    world = World(folder)
    world.images.mkdir(parents=True)
    canvas = scene()
    save_image(world.template_image, view(canvas, (0, 0)))
    save_table(world.landmarks, point_rows("template.png"))
    rows = []
    for name, shift in SHIFTS.items():
        save_image(world.images / name, view(canvas, shift))
        rows += point_rows(name, shift)
    save_table(world.truth, rows)
    return world
