"""One run of detection: follows the worker and says in words how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt import worker
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun, explained
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from napari_oneshot_lmk.encoders.encoder import EncoderCard
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.layers.image_view import Key, LayerPixels
    from napari_oneshot_lmk.widgets.settings import Preferences
    from napari_oneshot_lmk.widgets.workbench import Workbench

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


class ImageDetector(Protocol):
    """What the docks need of a detector."""

    @property
    def encoder_card(self) -> EncoderCard:
        """Identity of the encoder."""

    @property
    def device(self) -> object:
        """Where it computes."""

    def set_image(self, image: GrayImage) -> None:
        """Take an image."""

    def detect(self) -> Landmarks:
        """Find the template's landmarks on it."""


class DetectorFactory(Protocol):
    """What turns a template into a detector; tests bring their own."""

    @property
    def download_failed(self) -> bool:
        """Whether the last detector lacks weights because their download failed."""

    def retry_download(self) -> None:
        """Let the next call try the download again."""

    def __call__(
        self,
        template: Template,
        preferences: Preferences,
        progress: Progress,
        model: Path | None = None,
    ) -> ImageDetector:
        """Return a detector, with a trained model or without; in a worker's thread."""


class DetectorCache:
    """Makes detectors, and keeps the encoders and the last detector."""

    def __init__(self) -> None:
        self._settings: tuple[object, ...] = ()
        self._encoders: dict[Path | None, Any] = {}
        """That of instant detection (None) and that of the last model."""
        self._detector: ImageDetector | None = None
        self._detector_for: tuple[str, Path | None] = ("", None)
        self.download_failed = False

    def retry_download(self) -> None:
        """Forget that a download failed, and what was loaded instead."""
        from napari_oneshot_lmk.encoders.weights import forget_failed_download

        forget_failed_download()
        self._forget()

    def _forget(self) -> None:
        self._encoders.clear()
        self._detector = None

    def __call__(
        self,
        template: Template,
        preferences: Preferences,
        progress: Progress,
        model: Path | None = None,
    ) -> ImageDetector:
        """Return a detector for a template, loading encoder and model when needed."""
        from napari_oneshot_lmk.encoders.weights import failed_download

        replaced = True
        try:
            detector = self._cached(template, preferences, progress, model)
            # The shipped encoder says in its note why it replaces VGG19.
            replaced = bool(detector.encoder_card.note)
        finally:
            self.download_failed = replaced and failed_download() is not None
        return detector

    def _cached(
        self,
        template: Template,
        preferences: Preferences,
        progress: Progress,
        model: Path | None,
    ) -> ImageDetector:
        settings = (preferences.encoder_weights, preferences.device, preferences.allow_download)
        if self._settings != settings:
            self._forget()
            self._settings = settings
        detector, detector_for = self._detector, (template.content_sha256, model)
        if detector is None or self._detector_for != detector_for:
            if model is None:
                detector = self._instant(template, preferences, progress)
            else:
                detector = self._trained(template, preferences, progress, model)
            self._detector, self._detector_for = detector, detector_for
        return detector

    def _instant(
        self, template: Template, preferences: Preferences, progress: Progress
    ) -> ImageDetector:
        from napari_oneshot_lmk.detection.detector import Detector
        from napari_oneshot_lmk.encoders.select import instant_encoder

        if None not in self._encoders:
            self._encoders[None] = instant_encoder(
                preferences.encoder_weights,
                device=preferences.device,
                allow_download=preferences.allow_download,
                progress=progress,
            )
        return Detector.instant(template, encoder=self._encoders[None])

    def _trained(
        self, template: Template, preferences: Preferences, progress: Progress, model: Path
    ) -> ImageDetector:
        from napari_oneshot_lmk.bundle.load import load_model
        from napari_oneshot_lmk.detection.model_encoder import encoder_for
        from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

        opened = load_model(model)
        if model not in self._encoders:
            instant = self._encoders.get(None)
            self._encoders = {} if instant is None else {None: instant}
            known = None if instant is None else instant.card.identity
            # What a bundle or a packed model brings it reads in its own precision:
            # the same points as anywhere else.
            if known == opened.card.encoder and opened.encoder_weights is None:
                self._encoders[model] = instant
            else:
                self._encoders[model] = encoder_for(
                    opened,
                    None,
                    preferences.device,
                    progress,
                    usual=preferences.encoder_weights,
                    allow_download=preferences.allow_download,
                )
        return TrainedDetector.from_model(opened, template, self._encoders[model])


def detectors_of(bench: Workbench) -> DetectorFactory:
    """Return what makes the detectors of a viewer: its docks share encoders and the last one."""
    if bench.detectors is None:
        bench.detectors = DetectorCache()
    made: DetectorFactory = bench.detectors
    return made


@dataclass(frozen=True)
class EncoderReady:
    """The encoder is loaded."""

    card: EncoderCard
    device: str


@dataclass(frozen=True)
class Started:
    """An image is being worked on: its name, its number from 1, and how many."""

    image: str
    number: int
    total: int


@dataclass(frozen=True)
class Detected:
    """An image is done."""

    key: Hashable
    landmarks: Landmarks
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """An image cannot be worked on; the others go on."""

    key: Hashable
    error: OneshotError


Event = EncoderReady | Started | Detected | Skipped


def detect_images(
    images: Sequence[tuple[Hashable, LayerPixels]],
    template: Template,
    preferences: Preferences,
    make: DetectorFactory,
    progress: Progress,
    model: Path | None = None,
) -> Iterator[Event]:
    """Detect a template's landmarks on images, each loaded when its turn comes.

    ``progress`` is called in this thread while something is downloaded; ``model`` is a
    trained one to detect with.
    """
    options = {} if model is None else {"model": model}
    detector = make(template, preferences, progress, **options)
    yield EncoderReady(detector.encoder_card, str(detector.device))
    for number, (key, pixels) in enumerate(images, start=1):
        yield Started(pixels.name, number, len(images))
        began = time.perf_counter()
        try:
            detector.set_image(pixels.gray_image())
            landmarks = detector.detect()
        except OneshotError as error:
            yield Skipped(key, error.about(pixels.name))
            continue
        yield Detected(key, landmarks, time.perf_counter() - began)


MEGABYTE = 1e6


class DetectionRun(WorkerRun):
    """Runs detection on some images."""

    ready = Signal(object)
    """The encoder is loaded: a :class:`EncoderReady`."""
    found = Signal(object)
    """An image is done: a :class:`Detected`."""
    going = Signal(str, int, int)
    """What runs, in words; steps done and in all, or 0 where nobody knows."""
    ended = Signal(str, bool, str)
    """What to tell, whether something failed, and a report to copy or ""."""
    _downloading = Signal(object, object)

    def __init__(self, make_detector: DetectorFactory) -> None:
        super().__init__()
        self._make = make_detector
        self._found: list[Detected] = []
        self._errors: list[OneshotError] = []
        self._total = 0
        # Emitted in the worker's thread; Qt brings it into the window's.
        self._downloading.connect(self._on_download)

    def start(
        self,
        images: Sequence[tuple[Key, LayerPixels]],
        template: Template,
        model: Path | None = None,
    ) -> None:
        """Begin, unless a run is under way; with a trained model where one is given."""
        if self.running:
            return
        self._found, self._errors, self._total = [], [], len(images)
        # Settings belong to the window's thread.
        wanted, tell = preferences(), self._downloading.emit
        self.going.emit(texts.BUSY_LOADING, 0, 0)
        self._worker = worker.start(
            lambda: detect_images(images, template, wanted, self._make, tell, model),
            self._on_step,
            self._on_cancelled,
        )

    @property
    def download_failed(self) -> bool:
        """Whether the last run lacked weights because their download failed."""
        return self._make.download_failed

    def retry_download(self) -> None:
        """Let the next run try the download again."""
        if not self.running:
            self._make.retry_download()

    def _on_step(self, step: Any) -> None:
        if isinstance(step, EncoderReady):
            self.ready.emit(step)
        elif isinstance(step, Started):
            self._on_started(step)
        elif isinstance(step, Detected):
            self._found.append(step)
            self.found.emit(step)
        elif isinstance(step, Skipped):
            self._errors.append(step.error)
        elif isinstance(step, Failure):
            text, report = explained(step)
            self._end(texts.FAILED.format(error=text), True, report)
        elif isinstance(step, Done):
            self._end(self._summary(), bool(self._errors))

    def _on_started(self, step: Started) -> None:
        if step.total == 1:
            # Of one image there is no telling how far it is.
            self.going.emit(texts.BUSY_DETECTING.format(image=step.image), 0, 0)
            return
        text = texts.BUSY_DETECTING_MANY.format(
            image=step.image, number=step.number, count=step.total
        )
        self.going.emit(text, step.number - 1, step.total)

    def _on_download(self, done: int, total: int) -> None:
        text = texts.BUSY_DOWNLOADING.format(done=done / MEGABYTE, total=total / MEGABYTE)
        permille = round(1000 * done / total) if total else 0
        self.going.emit(text, permille, 1000 if total else 0)

    def _on_cancelled(self) -> None:
        self._end(texts.CANCELLED, False)

    def _end(self, text: str, failed: bool, report: str = "") -> None:
        self._worker = None
        self.ended.emit(text, failed, report)

    def _summary(self) -> str:
        images = texts.counted(len(self._found), "image")
        seconds = sum(found.seconds for found in self._found)
        if self._errors and self._total == 1:
            return f"{self._errors[0]}."
        if self._errors:
            return texts.FOUND_SOME.format(
                images=images, failed=len(self._errors), error=self._errors[0]
            )
        lies = [found.landmarks.provenance.orientation for found in self._found]
        if self._total > 1:
            many = texts.FOUND_MANY.format(images=images, seconds=seconds)
            turned = sum(map(bool, lies))
            return texts.SOME_TURNED.format(found=many, turned=turned) if turned else many
        placed = self._found[0].landmarks.placed
        unsure = sum(p.unsure for p in placed)
        text = texts.FOUND_UNSURE if unsure else texts.FOUND_ONE
        landmarks = texts.counted(len(placed), "landmark")
        one = text.format(landmarks=landmarks, seconds=seconds, unsure=unsure)
        return texts.LIES.format(found=one, orientation=lies[0]) if lies[0] else one
