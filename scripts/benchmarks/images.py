"""Very many small images varied from a few phantoms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from phantoms.generator import generate
from phantoms.png_file import png_bytes

SHAPE_YX = (400, 322)
SUBJECTS = 8
LARGEST_SHIFT = 12
"""Pixels."""
NOISE = 2.0
"""Standard deviation in grey levels."""


def template_of(landmarks: int, seed: int = 0) -> Template:
    """Return a template with some number of landmarks.

    Parameters
    ----------
    landmarks : int
        The skull's own first; beyond them made-up places inside it.
    seed : int
        Of the phantom.
    """
    image, found = generate("skull", 0, seed, SHAPE_YX)
    own = list(found.placed[:landmarks])
    rng = np.random.default_rng(seed)
    positions = found.positions_yx
    low, high = positions.min(0), positions.max(0)
    for number in range(landmarks - len(own)):
        row, column = rng.uniform(low, high)
        own.append(Landmark(f"place {number + 1}", (float(row), float(column))))
    return Template.create(image, Landmarks(tuple(own), image.name), "skull")


def write_images(
    folder: Path,
    count: int,
    seed: int = 0,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write images ``000000.png`` and so on.

    Parameters
    ----------
    folder : Path
        Made where it is missing; images that are there are taken as they are.
    count : int
        How many.
    seed : int
        Of subjects, shifts and noise.
    on_image : callable
        Called with (done, total).
    """
    folder.mkdir(parents=True, exist_ok=True)
    subjects: dict[int, NDArray[np.float32]] = {}
    for index in range(count):
        path = folder / f"{index:06d}.png"
        if not path.exists():
            number = 1 + index % SUBJECTS
            if number not in subjects:
                subjects[number] = generate("skull", number, seed, SHAPE_YX)[0].pixels
            path.write_bytes(png_bytes(_varied(subjects[number], (seed, index))))
        on_image(index + 1, count)


def _varied(pixels: NDArray[np.float32], seed: tuple[int, int]) -> NDArray[np.uint8]:
    """Shift an image and add noise."""
    rng = np.random.default_rng(seed)
    down, right = rng.integers(0, 2 * LARGEST_SHIFT + 1, 2)
    height, width = pixels.shape
    larger = np.pad(pixels, LARGEST_SHIFT, mode="edge")
    shifted = larger[down : down + height, right : right + width]
    noisy = shifted + rng.normal(0, NOISE, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
