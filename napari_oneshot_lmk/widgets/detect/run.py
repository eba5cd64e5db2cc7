"""One run of detection in another thread, and in words how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import Preferences, preferences

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.widgets.workbench import Workbench

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


class Pixels(Protocol):
    """An image that is loaded when its turn comes."""

    @property
    def name(self) -> str:
        """Name for tables."""

    def gray_image(self) -> GrayImage:
        """Load it; an `OneshotError` says why it cannot be."""


Images = Sequence[tuple[Hashable, Pixels]]


class DetectorCache:
    """Makes detectors in a worker's thread, and keeps the encoders and the last detector."""

    def __init__(self) -> None:
        self._loading = Lock()
        self._settings: Any = None
        self._encoders: dict[Path | None, Any] = {}
        """That of instant detection (None) and that of the last model."""
        self._detector: Detector | None = None
        self._detector_for: tuple[list[str], Path | None] = ([], None)
        self.download_failed = False
        """Whether the last detector lacks weights because their download failed."""

    def retry_download(self) -> None:
        """Forget that a download failed, and what was loaded instead."""
        from napari_oneshot_lmk.encoders.weights import forget_failed_download

        forget_failed_download()
        self._encoders, self._detector = {}, None

    def __call__(
        self,
        template: Template,
        wanted: Preferences,
        progress: Progress,
        model: Path | None = None,
        further: Sequence[Template] = (),
    ) -> Detector:
        """Return a detector for templates, loading encoder and trained model when needed."""
        # Detection and the points around a correction run in threads of their own.
        with self._loading:
            return self._make(template, wanted, progress, model, further)

    def encoder(self, wanted: Preferences, progress: Progress) -> Encoder:
        """Return the encoder of instant detection, loading it when needed."""
        with self._loading:
            settings = wanted.encoder_weights, wanted.device, wanted.allow_download
            if self._settings != settings:
                self._settings, self._encoders, self._detector = settings, {}, None
            return self._instant_encoder(progress)

    def _make(
        self,
        template: Template,
        wanted: Preferences,
        progress: Progress,
        model: Path | None,
        further: Sequence[Template],
    ) -> Detector:
        from napari_oneshot_lmk.encoders.weights import failed_download

        settings = wanted.encoder_weights, wanted.device, wanted.allow_download
        if self._settings != settings:
            self._settings, self._encoders, self._detector = settings, {}, None
        replaced = True
        try:
            hashes = [each.content_sha256 for each in (template, *further)]
            detector, detector_for = self._detector, (hashes, model)
            if detector is None or self._detector_for != detector_for:
                if model is None:
                    detector = self._instant(template, further, progress)
                else:
                    detector = self._trained(template, further, progress, model)
                self._detector, self._detector_for = detector, detector_for
            # The shipped encoder says in its note why it replaces VGG19.
            replaced = bool(detector.encoder_card.note)
        finally:
            self.download_failed = replaced and failed_download() is not None
        return detector

    def _instant(
        self, template: Template, further: Sequence[Template], progress: Progress
    ) -> Detector:
        from napari_oneshot_lmk.detection.detector import Detector

        encoder = self._instant_encoder(progress)
        return Detector.instant(template, encoder=encoder, further=further)

    def _instant_encoder(self, progress: Progress) -> Encoder:
        from napari_oneshot_lmk.encoders.select import instant_encoder

        if None not in self._encoders:
            weights, device, allowed = self._settings
            self._encoders[None] = instant_encoder(weights, device, allowed, progress)
        encoder: Encoder = self._encoders[None]
        return encoder

    def _trained(
        self, template: Template, further: Sequence[Template], progress: Progress, model: Path
    ) -> Detector:
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
                usual, device, allowed = self._settings
                self._encoders[model] = encoder_for(
                    opened, None, device, progress, usual=usual, allow_download=allowed
                )
        encoder = self._encoders[model]
        return TrainedDetector.from_model(opened, template, encoder, further=further)


def detectors_of(bench: Workbench) -> DetectorCache:
    """Return what makes the detectors of a viewer: its docks share encoders and the last one."""
    if bench.detectors is None:
        bench.detectors = DetectorCache()
    made: DetectorCache = bench.detectors
    return made


MEGABYTE = 1e6


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
    lies = [landmarks.provenance.orientation for landmarks in found]
    if total > 1:
        many, turned = texts.FOUND_MANY.format(images=images, seconds=seconds), sum(map(bool, lies))
        return texts.SOME_TURNED.format(found=many, turned=turned) if turned else many
    placed = found[0].placed
    unsure = sum(p.unsure for p in placed)
    text = texts.FOUND_UNSURE if unsure else texts.FOUND_ONE
    landmarks = texts.counted(len(placed), "landmark")
    one = text.format(landmarks=landmarks, seconds=seconds, unsure=unsure)
    return texts.LIES.format(found=one, orientation=lies[0]) if lies[0] else one
