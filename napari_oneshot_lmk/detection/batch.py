"""Detection over many images: one bad file does not stop the others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import PreparedImage, SpacingSource
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
    import torch

    from napari_oneshot_lmk.detection.detector import Detector

MOST_READERS = 4
"""Threads that read files: decoding a film takes a tenth of the time of detection."""
GPU_BATCH = 8
"""Images at once on a graphics card: half a gigabyte of maps."""


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
        Detecting, and waiting for the file where reading is behind; of a batch, its
        share.
    spacing_source : SpacingSource, optional
        What states the image's spacing.
    notes : tuple of str
        What a user should know of how it was read.
    """

    image: ImageFile
    landmarks: Landmarks | None
    error: OneshotError | None
    index: int
    total: int
    seconds: float
    spacing_source: SpacingSource | None = None
    notes: tuple[str, ...] = ()


def detect_many(
    detector: Detector,
    images: Sequence[ImageFile],
    *,
    spacing_mm_yx: float | tuple[float, float] | None = None,
    slice_index: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    batch: int | None = None,
) -> Generator[Outcome, None, None]:
    """Detect on one image after the other; files are read ahead in threads.

    Parameters
    ----------
    detector : Detector
        Made once, used for all.
    images : sequence of ImageFile
        From `find_images`. However many: only a few are in memory at a time.
    spacing_mm_yx : float or pair of float, optional
        Overrides what the files say.
    slice_index : int, optional
        Which slice of volumes and multi-frame files.
    should_stop : callable
        Asked before each batch.
    batch : int, optional
        Images that the encoder sees at once; see `usual_batch`. A graphics card
        without room for them gets fewer.

    Yields
    ------
    Outcome
        One an image, in order, failed files included.
    """
    from napari_oneshot_lmk.imaging.reader import read_image

    def read(image: ImageFile) -> PreparedImage:
        radiograph = read_image(image.path, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index)
        return detector.prepare(radiograph)

    size = usual_batch(detector.device) if batch is None else batch
    threads = min(MOST_READERS, os.cpu_count() or 1)
    arriving = prefetch(images, read, threads=threads, waiting=threads + size)
    index = 0
    with closing(arriving):
        while not should_stop():
            start = time.perf_counter()
            group = list(islice(arriving, size))
            if not group:
                return
            usable = [item for _, item in group if isinstance(item, PreparedImage)]
            found = iter(_detected(detector, usable))
            seconds = (time.perf_counter() - start) / len(group)
            for image, result in group:
                outcome = Outcome(image, None, None, index, len(images), seconds)
                if isinstance(result, OneshotError):
                    yield replace(outcome, error=result.about(image.path))
                else:
                    yield replace(
                        outcome,
                        landmarks=replace(next(found), image=image.name),
                        spacing_source=result.spacing_source,
                        notes=result.notes,
                    )
                index += 1


def usual_batch(device: torch.device) -> int:
    """Return how many images the encoder best sees at once.

    A processor gains nothing from several (docs/benchmarks/many.md); a graphics card
    would idle between single ones.
    """
    return 1 if device.type == "cpu" else GPU_BATCH


def _detected(detector: Detector, images: list[PreparedImage]) -> list[Landmarks]:
    """Detect on a batch, in halves where the graphics card has no room for it."""
    import torch

    try:
        return detector.detect_batch(images)
    except torch.OutOfMemoryError:
        if len(images) < 2:
            raise
    torch.cuda.empty_cache()
    half = len(images) // 2
    return _detected(detector, images[:half]) + _detected(detector, images[half:])
