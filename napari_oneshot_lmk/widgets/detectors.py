"""Detectors and encoders of a viewer, made once and shared by its docks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.widgets.settings import Preferences

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.workbench import Workbench

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


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
        self._warm = False

    def warm_up(self, wanted: Preferences) -> None:
        """Load what instant detection needs in another thread, once, without any download.

        The first detection then need not wait for it. A failure is not told here: that detection
        meets it again and says so.
        """
        if not self._warm:
            self._warm = True
            # A daemon: it does not keep a window from closing.
            Thread(target=self._load_ahead, args=(wanted,), name="warm-up", daemon=True).start()

    def _load_ahead(self, wanted: Preferences) -> None:
        with suppress(Exception), self._loading:
            import napari_oneshot_lmk.detection.detector  # noqa: F401
            from napari_oneshot_lmk.encoders.select import instant_encoder

            if self._settings is None:
                encoder = instant_encoder(wanted.encoder_weights, wanted.device, False)
                # One that stands in for missing weights would prevent their download later.
                if not encoder.card.note:
                    self._settings, self._encoders = _settings_of(wanted), {None: encoder}

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
            self._apply(wanted)
            return self._instant_encoder(progress)

    def _apply(self, wanted: Preferences) -> None:
        """Forget what was loaded with other preferences."""
        settings = _settings_of(wanted)
        if self._settings != settings:
            self._settings, self._encoders, self._detector = settings, {}, None

    def _make(
        self,
        template: Template,
        wanted: Preferences,
        progress: Progress,
        model: Path | None,
        further: Sequence[Template],
    ) -> Detector:
        from napari_oneshot_lmk.encoders.weights import failed_download

        self._apply(wanted)
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


def _settings_of(wanted: Preferences) -> tuple[Path | None, str, bool]:
    return wanted.encoder_weights, wanted.device, wanted.allow_download


def detectors_of(bench: Workbench) -> DetectorCache:
    """Return what makes the detectors of a viewer: its docks share encoders and the last one."""
    if bench.detectors is None:
        bench.detectors = DetectorCache()
    made: DetectorCache = bench.detectors
    return made
