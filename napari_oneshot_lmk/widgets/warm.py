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
        self, template: Template, preferences: Preferences, progress: Progress
    ) -> Detecting:
        """Return a detector; called in a worker's thread."""


class WarmDetectors:
    """Makes instant detectors, and keeps the encoder and the last detector."""

    def __init__(self) -> None:
        self._encoder: Any = None
        self._encoder_for: tuple[Path | None, str, bool] | None = None
        self._detector: Detecting | None = None
        self._detector_for: str = ""

    def __call__(
        self, template: Template, preferences: Preferences, progress: Progress
    ) -> Detecting:
        """Return a detector for a template, loading the encoder when needed."""
        from napari_oneshot_lmk.detection.detector import Detector
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
        detector = self._detector
        if detector is None or self._detector_for != template.content_sha256:
            detector = Detector.instant(template, encoder=self._encoder)
            self._detector, self._detector_for = detector, template.content_sha256
        return detector
