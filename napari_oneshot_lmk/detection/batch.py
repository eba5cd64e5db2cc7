"""Detection on many images: one bad file does not stop the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage, SpacingSource
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, State

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector

MOST_READERS = 4
"""Threads that read files: decoding an image takes a tenth of the time of detection."""
NEARLY_ALL, FEWEST_POINTS = 0.8, 3
"""From such a share of unsure points on, of so many points at least, the whole image is doubtful:
of 150 cephalograms that show what the template shows the worst has 0.58."""
DOUBTFUL = "nearly all points are unsure; look whether it shows what the template shows"
GPU_BATCH = 8
"""Images per forward pass on a GPU: half a gigabyte of feature maps."""


def is_doubtful(unsure: int, points: int) -> bool:
    """Whether so many unsure ones among the points of an image say that it may be a wrong one.

    Examples
    --------
    >>> is_doubtful(17, 19), is_doubtful(11, 19), is_doubtful(2, 2)
    (True, False, False)
    """
    return points >= FEWEST_POINTS and unsure >= NEARLY_ALL * points


@dataclass(frozen=True)
class BatchSettings:
    """All that the result on an image depends on, apart from the image."""

    method: str
    encoder: str
    """Identity, as in `Provenance`."""
    template_sha256: str
    model_sha256: str = ""
    """Hash of the model's content; empty without a model."""
    spacing_mm_yx: tuple[float, float] | None = None
    """Instead of what the files state."""
    slice_index: int | None = None
    upright: bool = False
    """Whether every image is taken as it is, neither turned nor mirrored."""
    version: str = __version__

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """Name the settings that differ from those read from a JSON file."""
        names = ["method", "encoder", "template", "model", "spacing", "slice"]
        names += ["choice of --upright", "version of this program"]
        own = json.loads(json.dumps(asdict(self)))
        each = zip(names, own.items(), strict=True)
        return [name for name, (key, value) in each if saved.get(key) != value]


@dataclass(frozen=True)
class DetectionResult:
    """The result on one image: landmarks, or the error that its file raised."""

    image: ImageFile
    landmarks: Landmarks | None
    error: OneshotError | None
    index: int
    """Among all images, from 0."""
    total: int
    """Number of images."""
    seconds: float
    """Its share of detecting on its batch and of waiting for files."""
    spacing_source: SpacingSource | None = None
    notes: tuple[str, ...] = ()
    """What a user should know about how it was read."""


@dataclass
class NoteCount:
    """How many images a note is about, and the first of them."""

    first: str
    images: int = 0


@dataclass
class Counts:
    """Numbers of images and points for a summary; notes on images -> how many they are about."""

    images: int = 0
    points: int = 0
    """That have a position."""
    unsure: int = 0
    without_spacing: int = 0
    first_without_spacing: str = ""
    turned: int = 0
    """Images that lie mirrored or turned, compared with the template."""
    notes: dict[str, NoteCount] = field(default_factory=dict)

    def add(self, image: str, found: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        """Count the landmarks of an image, as `Landmarks.to_json` gives them."""
        points = sum(point["state"] == State.PLACED for point in found["points"])
        unsure = sum(point.get("unsure", False) for point in found["points"])
        for note in (*notes, *((DOUBTFUL,) if is_doubtful(unsure, points) else ())):
            self.notes.setdefault(note, NoteCount(image)).images += 1
        self.images += 1
        self.points += points
        self.turned += bool(found["provenance"].get("orientation"))
        self.unsure += unsure
        geometry = found["geometry"]
        if geometry is None or geometry["spacing_mm_yx"] is None:
            self.without_spacing += 1
            self.first_without_spacing = self.first_without_spacing or image


def detect_many(
    detector: Detector,
    images: Sequence[ImageFile],
    *,
    spacing_mm_yx: float | tuple[float, float] | None = None,
    slice_index: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    batch: int | None = None,
    read: Callable[[ImageFile], GrayImage] | None = None,
) -> Generator[DetectionResult, None, None]:
    """Detect on many images. Files are read ahead in threads, a few at a time.

    Parameters
    ----------
    detector : Detector
    images : sequence of ImageFile
        From `find_images`.
    spacing_mm_yx : float or pair of float, optional
        Instead of what the files state.
    slice_index : int, optional
        Which slice of volumes and multi-frame files.
    should_stop : callable
        Asked before each batch.
    batch : int, optional
        Images per forward pass of the encoder, by default 1 on a CPU, which gains nothing
        from more (docs/benchmarks/many.md), and 8 on a GPU. Halved where a GPU is short of
        memory.
    read : callable, optional
        Reads an image, in any thread, instead of `read_image` with the spacing and slice above.

    Yields
    ------
    DetectionResult
        One per image, in order, failed files included.
    """
    from napari_oneshot_lmk.imaging.reader import read_image

    def read_file(image: ImageFile) -> GrayImage:
        return read_image(image.path, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index)

    def prepare(image: ImageFile) -> PreparedImage:
        return detector.prepare((read or read_file)(image))

    size = batch
    if size is None:
        size = 1 if detector.device.type == "cpu" else GPU_BATCH
    threads = min(MOST_READERS, os.cpu_count() or 1)
    arriving = prefetch(images, prepare, threads=threads, waiting=threads + size)
    index = 0
    with closing(arriving):
        while not should_stop():
            start = time.perf_counter()
            group = list(islice(arriving, size))
            if not group:
                return
            usable = [item for _, item in group if isinstance(item, PreparedImage)]
            found = iter(_detect_batch(detector, usable))
            seconds = (time.perf_counter() - start) / len(group)
            for image, result in group:
                unread = DetectionResult(image, None, None, index, len(images), seconds)
                if isinstance(result, OneshotError):
                    yield replace(unread, error=result.about(image.path))
                else:
                    yield replace(
                        unread,
                        landmarks=replace(next(found), image=image.name),
                        spacing_source=result.spacing_source,
                        notes=result.notes,
                    )
                index += 1


def _detect_batch(detector: Detector, images: list[PreparedImage]) -> list[Landmarks]:
    """Detect on a batch, in halves where the GPU runs out of memory."""
    import torch

    try:
        return detector.detect_batch(images)
    except torch.OutOfMemoryError:
        if len(images) < 2:
            raise
    torch.cuda.empty_cache()
    half = len(images) // 2
    return _detect_batch(detector, images[:half]) + _detect_batch(detector, images[half:])
