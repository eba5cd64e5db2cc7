"""Keeps encoder and detector between clicks, so that only the first one waits.

Nothing here imports torch before a detection is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.encoders.encoder import EncoderCard
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.settings import Preferences

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


class Detecting(Protocol):
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


class MakesDetectors(Protocol):
    """What turns a template into a detector; tests bring their own."""

    def __call__(
        self,
        template: Template,
        preferences: Preferences,
        progress: Progress,
        model: Path | None = None,
    ) -> Detecting:
        """Return a detector, with a trained model or without; in a worker's thread."""


class WarmDetectors:
    """Makes detectors, and keeps the encoders and the last detector."""

    def __init__(self) -> None:
        self._settings: tuple[object, ...] = ()
        self._encoders: dict[Path | None, Any] = {}
        """That of instant detection (None) and that of the last model."""
        self._detector: Detecting | None = None
        self._detector_for: tuple[str, Path | None] = ("", None)

    def __call__(
        self,
        template: Template,
        preferences: Preferences,
        progress: Progress,
        model: Path | None = None,
    ) -> Detecting:
        """Return a detector for a template, loading encoder and model when needed."""
        settings = (preferences.encoder_weights, preferences.device, preferences.allow_download)
        if self._settings != settings:
            self._encoders.clear()
            self._detector, self._settings = None, settings
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
    ) -> Detecting:
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
    ) -> Detecting:
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
