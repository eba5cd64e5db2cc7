"""Detection over many images: one bad file does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.sources import ImageFile
from napari_oneshot_lmk.landmarks.landmark import Landmarks

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Parameters
    ----------
    image : ImageFile
        The file and its name in the tables.
    landmarks : Landmarks, optional
        What was found; None where the file failed.
    error : OneshotError, optional
        Why it failed: one sentence for the user.
    index, total : int
        Position in the batch, from 0, and the batch's size.
    seconds : float
        Reading and detecting.
    """

    image: ImageFile
    landmarks: Landmarks | None
    error: OneshotError | None
    index: int
    total: int
    seconds: float


def detect_many(
    detector: Detector,
    images: Sequence[ImageFile],
    *,
    spacing_mm_yx: float | tuple[float, float] | None = None,
    slice_index: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Detect on one image after the other.

    Parameters
    ----------
    detector : Detector
        Made once, used for all.
    images : sequence of ImageFile
        From `find_images`.
    spacing_mm_yx : float or pair of float, optional
        Overrides what the files say.
    slice_index : int, optional
        Which slice of volumes and multi-frame files.
    should_stop : callable
        Asked before each image.

    Yields
    ------
    Outcome
        One an image, in order, failed files included.
    """
    from napari_oneshot_lmk.imaging.reader import read_radiograph

    for index, image in enumerate(images):
        if should_stop():
            return
        start = time.perf_counter()
        found: Landmarks | None = None
        failed: OneshotError | None = None
        try:
            detector.set_image(
                read_radiograph(
                    image.path, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index
                )
            )
            found = replace(detector.detect(), image=image.name)
        except OneshotError as error:
            failed = error.about(image.path)
        seconds = time.perf_counter() - start
        yield Outcome(image, found, failed, index, len(images), seconds)
