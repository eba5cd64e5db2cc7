"""One run of detection in another thread, and in words how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.detectors import DetectorCache
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import Preferences, preferences

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.image import GrayImage


class Pixels(Protocol):
    """An image that is loaded when its turn comes."""

    @property
    def name(self) -> str:
        """Name for tables."""

    def gray_image(self) -> GrayImage:
        """Load it; an `OneshotError` says why it cannot be."""


Images = Sequence[tuple[Hashable, Pixels]]


MEGABYTE = 1e6
NAMES_SHOWN = 5


class DetectionRun(WorkerRun):
    """Runs detection on some images; tests bring their own `DetectorCache`."""

    ready = Signal(object, str)
    """The encoder is loaded: its `EncoderCard`, and where it computes."""
    found = Signal(object, object)
    """An image is done: its key and its landmarks."""
    learned = Signal(object)
    """The further templates that it detects with."""
    _downloading = Signal(object, object)
    cancelled_text, failed_text = texts.CANCELLED, texts.FAILED

    def __init__(self, make_detector: DetectorCache) -> None:
        super().__init__()
        self._make = make_detector
        # Emitted in the worker's thread; Qt brings it into the window's.
        self._downloading.connect(self._on_download)

    def start(
        self,
        images: Images,
        template: Template,
        model: Path | None = None,
        read_further: Callable[[], Sequence[Template]] = tuple,
        offsets: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Begin, unless a run is under way; with a trained model where one is given.

        ``read_further`` reads more templates, in the worker's thread. Found points are moved by
        the ``offsets``.
        """
        if not self.running:
            # Settings belong to the window's thread.
            wanted = preferences()
            self.going.emit(texts.BUSY_LOADING, 0, 0)
            self._work(lambda: self._detect(images, template, wanted, model, read_further, offsets))

    def _detect(
        self,
        images: Images,
        template: Template,
        wanted: Preferences,
        model: Path | None,
        read_further: Callable[[], Sequence[Template]],
        offsets: Mapping[str, tuple[float, float]] | None,
    ) -> Generator[Any, None, tuple[str, bool]]:
        """Detect on images, each loaded when its turn comes; returns what to tell."""
        options: dict[str, Any] = {} if model is None else {"model": model}
        further = read_further()
        if further:
            options["further"] = further
        yield self.learned, further
        detector = self._make(template, wanted, self._downloading.emit, **options)
        if offsets:
            detector = detector.with_offsets(offsets)
        yield self.ready, detector.encoder_card, str(detector.device)
        done: list[Landmarks] = []
        errors: list[OneshotError] = []
        total, seconds = len(images), 0.0
        for number, (key, pixels) in enumerate(images, start=1):
            if total == 1:
                # Of one image there is no telling how far it is.
                yield self.going, texts.BUSY_DETECTING.format(image=pixels.name), 0, 0
            else:
                text = texts.BUSY_DETECTING_MANY
                text = text.format(image=pixels.name, number=number, count=total)
                yield self.going, text, number - 1, total
            began = time.perf_counter()
            try:
                detector.set_image(pixels.gray_image())
                done.append(detector.detect())
            except OneshotError as error:
                errors.append(error.about(pixels.name))
                yield None
            else:
                seconds += time.perf_counter() - began
                yield self.found, key, done[-1]
        return _summary(done, errors, total, seconds), bool(errors)

    @property
    def download_failed(self) -> bool:
        """Whether the last run lacked weights because their download failed."""
        return self._make.download_failed

    def retry_download(self) -> None:
        """Let the next run try the download again."""
        if not self.running:
            self._make.retry_download()

    def _on_download(self, done: int, total: int) -> None:
        text = texts.BUSY_DOWNLOADING.format(done=done / MEGABYTE, total=total / MEGABYTE)
        permille = round(1000 * done / total) if total else 0
        self.going.emit(text, permille, 1000 if total else 0)


def _summary(
    found: Sequence[Landmarks], errors: Sequence[OneshotError], total: int, seconds: float
) -> str:
    images = texts.counted(len(found), "image")
    if errors and total == 1:
        return f"{errors[0]}."
    if errors:
        return texts.FOUND_SOME.format(images=images, failed=len(errors), error=errors[0])
    if total > 1:
        many = texts.FOUND_MANY.format(images=images, seconds=seconds)
        turned = [landmarks.image for landmarks in found if landmarks.provenance.orientation]
        names = ", ".join(turned[:NAMES_SHOWN]) + (", …" if len(turned) > NAMES_SHOWN else "")
        said = texts.SOME_TURNED.format(found=many, turned=len(turned), names=names)
        return said if turned else many
    placed = found[0].placed
    unsure = sum(p.unsure for p in placed)
    text = texts.FOUND_UNSURE if unsure else texts.FOUND_ONE
    landmarks = texts.counted(len(placed), "landmark")
    return text.format(landmarks=landmarks, seconds=seconds, unsure=unsure)
