"""A small world for the command line's tests: images that are shifted copies."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner, Result

from napari_oneshot_lmk.cli.app import app
from napari_oneshot_lmk.detection import batch

Ended = subprocess.CompletedProcess[str]
SHAPE_YX = (120, 100)
SPACING_MM = 0.5
POINTS = {"apex": (30.25, 40.5), "notch": (70.0, 25.75), "tip": (85.5, 72.0)}
SHIFTS = {"one.png": (4, -6), "two.png": (-7, 5), "three.png": (9, 8)}


PRESET = """
[network]
width = 0.05
adapter_channels = 2
embedding_channels = 8
lateral_channels = 8
rfb = false
[template_copies]
count = {copies}
[labels]
initial = "instant"
[detection]
instant_share = 1.0
[training]
anchor = "template"
together = true
epochs = {epochs}
batch = 3
learning_rate = 1e-3
selection = "{selection}"
"""


def preset_text(copies: int = 2, epochs: int = 3, selection: str = "agreement") -> str:
    """A preset that trains in a moment."""
    return PRESET.format(copies=copies, epochs=epochs, selection=selection)


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def python(*arguments: object, cwd: Path | None = None, **environment: str) -> Ended:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )


def succeed(*arguments: object) -> Result:
    """Run a command that must succeed."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(code: int, *arguments: object) -> str:
    """Run a command that must end with this exit code, and return its message."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return one_sentence(result)


def one_sentence(result: Result) -> str:
    """The message of a command that failed: one line, no traceback."""
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
    """End the next detection early."""
    whole = batch.detect_many

    def ended(*args: Any, **options: Any) -> Iterator[object]:
        monkeypatch.setattr(batch, "detect_many", whole)
        outcomes = whole(*args, **options)
        yield from islice(outcomes, count)
        outcomes.close()
        raise end

    monkeypatch.setattr(batch, "detect_many", ended)


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


class World:
    """Files of a small study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images, self.template = folder / "images", folder / "template"
        self.template_image = folder / "template.png"
        self.landmarks, self.truth = folder / "template.csv", folder / "truth.csv"


def make_template(world: World, *more: object) -> Result:
    """Run the command that joins the template's image and its landmarks."""
    return run(
        *("template", "--image", world.template_image, "--landmarks", world.landmarks),
        *("--out", world.template, *more),
    )


def make_world(folder: Path, *, template: bool = False) -> World:
    """Write images, the template's landmarks and the truth; the template where wanted."""
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
    if template:
        result = make_template(world, "--spacing", SPACING_MM)
        assert result.exit_code == 0, result.output
    return world
