"""What one correction does to the other points of the same image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.corrections import LIMIT_MM, Floats, errors_mm
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source

GROSS_MM = (0.0, 4.0, 6.0, 10.0)
TITLES = [
    "worst point over",
    "images",
    "others before: MRE mm",
    "after",
    "< 2 mm % before",
    "after",
    "images better",
    "worse",
]


@dataclass(frozen=True)
class OneImage:
    """Errors in mm on one image before and after its worst point was corrected."""

    worst_mm: float
    before: Floats
    """(N - 1,), of all points but the worst."""
    after: Floats
    seconds: float
    """Time that the other points took."""


def measure(
    detector: Detector,
    dataset: Dataset,
    images: Sequence[Landmarks],
    on_image: Callable[[int, int], None],
) -> list[OneImage]:
    """Correct the worst point of each of some images of a dataset, and find the others given it.

    The image is encoded once. ``on_image`` is called with (done, total).
    """
    measured = []
    for done, truth in enumerate(images, start=1):
        spacing = dataset.spacing_mm_yx(truth.image)
        detector.set_image(read_image(dataset.file_of(truth.image).path, spacing_mm_yx=spacing))
        found = detector.detect()
        before = errors_mm(found, truth)
        worst = int(before.argmax())
        name = truth.placed[worst].name
        corrected = Landmark(name, truth[name].position_yx, source=Source.CORRECTED)
        given = found.with_landmark(corrected)
        start = time.perf_counter()
        settled = detector.settle(given)
        seconds = time.perf_counter() - start
        after = errors_mm(settled, truth)
        others = np.arange(len(before)) != worst
        measured.append(OneImage(float(before[worst]), before[others], after[others], seconds))
        on_image(done, len(images))
    return measured


def rows(images: Sequence[OneImage]) -> list[list[str]]:
    """Return a row for the images whose worst point is off by more than each of some limits."""
    table = []
    for limit in GROSS_MM:
        chosen = [image for image in images if image.worst_mm > limit]
        if not chosen:
            continue
        before, after = (
            np.concatenate([getattr(i, w) for i in chosen]) for w in ("before", "after")
        )
        change = np.array([image.after.mean() - image.before.mean() for image in chosen])
        table.append(
            [
                f"{limit:g} mm",
                str(len(chosen)),
                f"{before.mean():.3f}",
                f"{after.mean():.3f}",
                f"{100 * (before < LIMIT_MM).mean():.1f}",
                f"{100 * (after < LIMIT_MM).mean():.1f}",
                str(int((change < -0.05).sum())),
                str(int((change > 0.05).sum())),
            ]
        )
    return table
