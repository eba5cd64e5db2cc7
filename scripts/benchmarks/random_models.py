"""Models with random weights: they find nothing, and take as long as trained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_card import ModelCard
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.crop_config import CropNetworkConfig
from napari_oneshot_lmk.network.crop_network import CropNetwork
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.fine import fine_card
from napari_oneshot_lmk.training.preset import Preset

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.template import Template


def encoder_channels(encoder: Encoder) -> tuple[int, ...]:
    """Return the channels of the maps that networks read."""
    return tuple(level.channels for level in encoder.card.levels if level.after_pooling)


def random_model(
    template: Template, encoder: Encoder, preset: str, *, fine: bool = False
) -> TrainedModel:
    """Return a fused model of a preset's sizes, with its share of instant detection.

    Parameters
    ----------
    template : Template
        Each of its placed landmarks has an adapter.
    encoder : Encoder
    preset : str
        ``"laptop"``, or ``"gpu"`` for the paper's width.
    fine : bool
        With a fine stage.
    """
    settings = Preset.load(preset)
    names = tuple(point.name for point in template.landmarks.placed)
    sizes = settings.network.model_dump()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LandmarkNetwork(NetworkConfig(encoder_channels(encoder), len(names), **sizes))
        network.requires_grad_(False).eval().to(encoder.device)
        stage = _fine_stage(template, encoder, settings, names) if fine else None
    card = ModelCard(
        method="fused", encoder=encoder.card.identity, **settings.detection.model_dump()
    )
    return TrainedModel(card, (Part(names, network),), template, fine=stage)


def random_detector(
    template: Template, encoder: Encoder, preset: str, *, fine: bool = False
) -> TrainedDetector:
    """Return a detector with a `random_model`; it takes every image as it lies."""
    model = random_model(template, encoder, preset, fine=fine)
    return TrainedDetector.from_model(model, encoder=encoder, upright=True)


def _fine_stage(
    template: Template, encoder: Encoder, settings: Preset, names: tuple[str, ...]
) -> FineStage:
    sizes = {"width": settings.fine.width, "cell": settings.fine.cell}
    config = CropNetworkConfig(landmarks=len(names), **sizes)
    network = CropNetwork(config).requires_grad_(False).eval()
    pixel = settings.fine.pixel * float(Detector(template, encoder).shape.size)
    card = fine_card(settings.fine, names, pixel, config)
    return FineStage(card, network, template.image.geometry).to(encoder.device)
