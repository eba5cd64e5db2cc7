"""What mirrored and turned copies of the test images cost, and what recognising them costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.corrections import LIMIT_MM, Floats, errors_mm
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.orientation import ORIENTATIONS, UPRIGHT, Orientation
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

AS_IT_LIES = "as it lies"
LOOK_TITLES = ["orientation", "images", "mean confidence", "fit"]
TITLES = ["image", "MRE mm", "< 2 mm %", "points lost", "recognised", "wrongly", "s per image"]


@dataclass(frozen=True)
class Measured:
    """One kind of copies of the test images."""

    name: str
    errors: list[Floats]
    """Per image (N,), mm."""
    recognised: list[str]
    """Per image the orientation that was recognised."""
    expected: str
    seconds: float
    """Processor time of all images, reading left out."""


def turned(image: GrayImage, orientation: Orientation) -> GrayImage:
    """Return a copy of an upright image that lies otherwise, with its spacing."""
    pixels = orientation.applied(torch.from_numpy(image.pixels)).contiguous().numpy()
    spacing = image.geometry.spacing_mm_yx
    if spacing is not None and orientation.quarter_turns % 2:
        spacing = spacing[::-1]
    return GrayImage.from_array(pixels, spacing, image.name)


def moved(truth: Landmarks, image: GrayImage, orientation: Orientation) -> Landmarks:
    """Return the landmarks of an upright image on its turned copy."""
    points = torch.from_numpy(truth.positions_yx)
    there = orientation.points_applied(points, image.geometry.image_shape_yx).tolist()
    return truth.with_points(
        replace(point, position_yx=None if point.position_yx is None else (y, x))
        for point, (y, x) in zip(truth, there, strict=True)
    )


def measure(
    detector: Detector,
    upright: Detector,
    dataset: Dataset,
    count: int,
    on_image: Callable[[int, int], None],
) -> list[Measured]:
    """Detect on copies of the first test images in every orientation.

    Parameters
    ----------
    detector : Detector
        That recognises orientations.
    upright : Detector
        The same one, which takes every image as it lies: what was found before.
    dataset : Dataset
        Its test images are scored.
    count : int
        Of the first so many test images.
    on_image : callable
        Called with (done, total).
    """
    kinds = [
        (f"{o}, {AS_IT_LIES}".removeprefix(", ") or AS_IT_LIES, upright, o)
        for o in (UPRIGHT, Orientation(mirrored=True))
    ]
    kinds += [(str(o) or "upright", detector, o) for o in ORIENTATIONS]
    measured = [
        Measured(name, [], [], "" if who is upright else str(o), 0.0) for name, who, o in kinds
    ]
    truths = dataset.test_truth[:count]
    for done, truth in enumerate(truths, start=1):
        path = dataset.file_of(truth.image).path
        image = read_image(path, spacing_mm_yx=dataset.spacing_mm_yx(truth.image))
        for index, (_, who, orientation) in enumerate(kinds):
            copy = turned(image, orientation)
            start = time.process_time()
            who.set_image(copy)
            found = who.detect()
            one = measured[index]
            measured[index] = replace(one, seconds=one.seconds + time.process_time() - start)
            one.errors.append(errors_mm(found, moved(truth, image, orientation)))
            one.recognised.append(found.provenance.orientation)
        on_image(done, len(truths))
    return measured


def look_at_training_images(
    detector: Detector,
    upright: Detector,
    dataset: Dataset,
    count: int,
    on_image: Callable[[int, int], None],
) -> list[list[str]]:
    """Return what the thresholds were chosen from, which needs no annotation of these images.

    A row for the images as they lie and one for all their turned copies: least, median and
    largest mean confidence, and how well the orientation fits. Parameters as for `measure`.
    """
    names = [name for name in dataset.train if name != dataset.template_image]
    names = names[:: max(1, len(names) // count)][:count]
    confidences, fits = [], []
    for done, name in enumerate(names, start=1):
        spacing = dataset.spacing_mm_yx(name)
        image = read_image(dataset.file_of(name).path, spacing_mm_yx=spacing)
        each = []
        for orientation in ORIENTATIONS:
            upright.set_image(turned(image, orientation))
            each.append(np.mean([point.score for point in upright.detect().placed]))
        confidences.append(each)
        fits.append(detector.finder.rate(detector.prepare(image).pixels).tolist())
        on_image(done, len(names))
    table = []
    for title, columns in (("as it lies", slice(1)), ("otherwise", slice(1, None))):
        cells = [np.array(values)[:, columns] for values in (confidences, fits)]
        ranges = [f"{c.min():.2f} / {np.median(c):.2f} / {c.max():.2f}" for c in cells]
        table.append([title, str(len(names)), *ranges])
    return table


def rows(measured: Sequence[Measured]) -> list[list[str]]:
    """Return a row per kind; points lost are percent of landmarks below 2 mm."""
    within = [100 * (np.concatenate(one.errors) < LIMIT_MM).mean() for one in measured]
    table = []
    for one, share in zip(measured, within, strict=True):
        right = sum(name == one.expected for name in one.recognised)
        wrong = sum(name not in ("", one.expected) for name in one.recognised)
        table.append(
            [
                one.name,
                f"{np.concatenate(one.errors).mean():.3f}",
                f"{share:.1f}",
                f"{within[0] - share:.1f}",
                f"{right} of {len(one.recognised)}" if one.expected else "",
                str(wrong),
                f"{one.seconds / len(one.recognised):.2f}",
            ]
        )
    return table
