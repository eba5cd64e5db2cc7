"""Keeps encoder and detector between clicks, so that only the first one waits.

Nothing here imports torch before a detection is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.encoders.encoder import EncoderCard
    from napari_oneshot_lmk.imaging.radiograph import Radiograph
    from napari_oneshot_lmk.landmarks.landmark import Landmarks
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

    def set_image(self, image: Radiograph) -> None:
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
    """Makes detectors, and keeps the encoder and the last detector."""

    def __init__(self) -> None:
        self._encoder: Any = None
        self._encoder_for: tuple[Path | None, str, bool] | None = None
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
        from napari_oneshot_lmk.encoders.choice import instant_encoder

        wanted = (
            preferences.encoder_weights,
            preferences.device,
            preferences.allow_download,
        )
        if self._encoder_for != wanted:
            self._detector = None
            self._encoder = instant_encoder(
                preferences.encoder_weights,
                device=preferences.device,
                allow_download=preferences.allow_download,
                progress=progress,
            )
            self._encoder_for = wanted
        detector, detector_for = self._detector, (template.content_sha256, model)
        if detector is None or self._detector_for != detector_for:
            detector = self._made(template, model)
            self._detector, self._detector_for = detector, detector_for
        return detector

    def _made(self, template: Template, model: Path | None) -> Detecting:
        from napari_oneshot_lmk.detection.detector import Detector

        if model is None:
            return Detector.instant(template, encoder=self._encoder)
        from napari_oneshot_lmk.bundle.opening import open_model
        from napari_oneshot_lmk.detection.trained import TrainedDetector, encoder_for

        opened = open_model(model)
        encoder = self._encoder
        if opened.encoder_weights is not None:
            # A bundle's own, in its precision: the same points as anywhere else.
            encoder = encoder_for(opened, None, str(encoder.device))
        return TrainedDetector.from_model(opened, template, encoder)
