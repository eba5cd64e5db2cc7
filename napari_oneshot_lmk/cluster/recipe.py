"""How a worker makes the detector: content instead of paths.

Template and model travel with the work, once to each worker: they may lie on the
disk of whoever asks. Images and the encoder's weights are not sent: the workers
read them, from a file system that all share.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.trained import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.errors import ClusterError
from napari_oneshot_lmk.landmarks.template import Template


@dataclass(frozen=True)
class EncoderRecipe:
    """How a worker makes the encoder.

    Parameters
    ----------
    weights : Path, optional
        As the workers see them; otherwise each looks for weights as this computer
        does.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    identity : str
        Of the encoder that is expected; one worker with another would make results
        of two kinds.
    version : str
        Of this program, likewise.
    """

    weights: Path | None
    device: str
    identity: str
    version: str = __version__

    def encoder_of(self, worker: str) -> Encoder:
        """Make it.

        Parameters
        ----------
        worker : str
            Who does, for the errors.

        Raises
        ------
        ClusterError
            If this computer has another encoder or version.
        OneshotError
            If the weights cannot be read, or the device is missing.
        """
        self.check_version(worker)
        encoder = self._found()
        if encoder.card.identity != self.identity:
            raise ClusterError(
                f"has the encoder {encoder.card.identity}, not {self.identity}",
                file=worker,
                remedy="name weights that all workers can read with --encoder-weights",
            )
        return encoder

    def check_version(self, worker: str) -> None:
        """Refuse a worker with another version of this program.

        Raises
        ------
        ClusterError
            If it has one.
        """
        if self.version != __version__:
            raise ClusterError(
                f"has version {__version__} of this program, not {self.version}",
                file=worker,
                remedy="install the same version everywhere",
            )

    def _found(self) -> Encoder:
        from napari_oneshot_lmk.encoders.device import resolve_device
        from napari_oneshot_lmk.encoders.orientation import shipped_encoder
        from napari_oneshot_lmk.encoders.select import instant_encoder

        shipped = shipped_encoder(resolve_device(self.device))
        if shipped.card.identity == self.identity:
            # Whatever weights this computer has, or would try to fetch.
            return shipped
        return instant_encoder(self.weights, self.device)


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a detector is made of.

    Parameters
    ----------
    template : Template
        The annotated image.
    model : TrainedModel, optional
        On the processor; without it detection needs no training.
    encoder : EncoderRecipe
        What makes the features.
    """

    template: Template
    model: TrainedModel | None
    encoder: EncoderRecipe

    @classmethod
    def of(cls, detector: Detector, encoder_weights: Path | None, device: str) -> Recipe:
        """Return the recipe of a detector that is on the processor.

        Parameters
        ----------
        detector : Detector
            Or `TrainedDetector`.
        encoder_weights : Path, optional
            The file it was made with; the workers look for it at the same place.
        device : str
            For the workers.
        """
        weights = None if encoder_weights is None else encoder_weights.absolute()
        identity = detector.encoder_card.identity
        return cls(
            detector.template,
            detector.model if isinstance(detector, TrainedDetector) else None,
            EncoderRecipe(weights, device, identity),
        )

    @property
    def key(self) -> str:
        """The same for recipes that make the same detector."""
        parts = (
            self.template.content_sha256,
            "" if self.model is None else self.model.content_sha256,
            repr(self.encoder),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def detector(self, worker: str) -> Detector:
        """Make it.

        Parameters
        ----------
        worker : str
            Who does, for the errors.

        Raises
        ------
        OneshotError
            As `EncoderRecipe.encoder_of`.
        """
        if self.model is not None and self.encoder.weights is None:
            # What it brings has travelled with it; else this worker looks where the
            # weights lay, and in its own cache.
            self.encoder.check_version(worker)
            encoder = encoder_for(self.model, None, self.encoder.device)
        else:
            encoder = self.encoder.encoder_of(worker)
        if self.model is None:
            return Detector.instant(self.template, encoder=encoder)
        return TrainedDetector.from_model(self.model, self.template, encoder)
