"""The training that configs/train.json runs on other images, with this package."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.errors import TrainingError
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Failed, Finished, Noted
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.train import train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleTrainer:
    """Trains with a bundle's template, encoder and method, as ``oneshot-lmk train``."""

    bundle_root: str
    template_dir: str
    dataset_dir: str
    """Of images without landmarks."""
    output_dir: str
    """The run's folder: new, or one to go on with."""
    method: str
    preset: str
    seed: int = 0
    device: str = "auto"
    max_epochs: int | None = None
    """Instead of the preset's."""

    def run(self) -> Path:
        """Train to the end, or go on where it was interrupted; return the model's folder.

        Raises `OneshotError` if the training cannot begin or go on.
        """
        preset = Preset.load(self.preset)
        if self.max_epochs is not None:
            preset = preset.changed({"training.epochs": self.max_epochs})
        # A bundle computes in float32, training in what is fast.
        source = replace(load_model(self.bundle_root), precision="auto")
        events = train(
            Template.load(self.template_dir),
            find_images([self.dataset_dir]),
            Path(self.output_dir),
            TrainingConfig(method=self.method, preset=preset, seed=self.seed),
            encoder=encoder_for(source, None, self.device),
        )
        model = ""
        for event in events:
            if isinstance(event, EpochEnded):
                logger.info("epoch %d of %d", event.epoch, preset.training.epochs)
            elif isinstance(event, Noted):
                logger.info("%s", event.text)
            elif isinstance(event, Failed):
                raise TrainingError(event.sentence, file=self.output_dir)
            elif isinstance(event, Finished):
                model = event.model
        logger.info("%s: the trained model", model)
        return Path(model)
