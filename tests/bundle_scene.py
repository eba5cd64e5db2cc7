"""A small model of the scene of shifted images, as a run's folder and as a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from learning_scene import Kept, small_task
from torch import nn

from napari_oneshot_lmk.bundle.configs import About
from napari_oneshot_lmk.bundle.export import Export, export_bundle
from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_card import ModelCard, Training
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.crop_config import CropNetworkConfig
from napari_oneshot_lmk.network.crop_network import CropNetwork
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.trainer import fit

NEVER = "missing tooth"
"""A landmark that the template says is absent."""


class Unrecorded:
    """In place of a recorded network, where a test has no use for one."""

    @staticmethod
    def save(path: str) -> None:
        Path(path).write_bytes(b"")


def trained_model(folder: Path) -> TrainedModel:
    """Two epochs on three images, with the encoder that needs no weights."""
    kept = Kept()
    list(fit(small_task(folder), kept))
    assert kept.model is not None
    return with_absent(kept.model)


def random_model(folder: Path, **card: object) -> TrainedModel:
    """As quick as can be: nothing was learnt."""
    task = small_task(folder)
    torch.manual_seed(1)
    channels = tuple(level.channels for level in task.encoder.card.levels if level.after_pooling)
    layout = NetworkConfig(
        channels, len(task.config.landmarks), 2, 0.05, 8, lateral_channels=8, rfb=False
    )
    network = LandmarkNetwork(layout).eval().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2)
    said = {"method": "fused", "instant_share": 0.5, "search_cells": 12, **card}
    training = Training(preset="laptop", images=3, epoch=2, epochs=2, seed=5)
    return with_absent(
        TrainedModel(
            ModelCard(encoder=task.encoder.card.identity, training=training, **said),
            (Part(task.config.landmarks, network),),
            task.template,
        )
    )


def with_absent(model: TrainedModel) -> TrainedModel:
    """Let the template say of one more landmark that it is not there."""
    template = model.template
    points = (*template.landmarks, Landmark(NEVER, None, State.ABSENT))
    landmarks = Landmarks(points, template.landmarks.image)
    return replace(model, template=Template.create(template.image, landmarks, template.name))


def with_fine_stage(model: TrainedModel) -> TrainedModel:
    """Add one that has learnt nothing: a different share for each landmark."""
    torch.manual_seed(0)
    network = CropNetwork(CropNetworkConfig(landmarks=3, width=4))
    card = FineCard(
        landmarks=tuple(reversed(model.landmarks)),
        shares=(0.5, 1.0, 0.0),
        pixel=0.4,
        side=32,
        coarse_sd_px=3.0,
        network=network.config,
    )
    geometry = model.template.image.geometry
    return replace(model, fine=FineStage.build(card, network.state_dict(), geometry))


def exported(model: TrainedModel, out: Path, images: Path, **about: str) -> Path:
    """Export a model, tried on a folder's images."""
    said = About(**{"name": "Blobs", "data_terms": "generated, free", **about})
    list(export_bundle(Export(model, out, said, None, sorted(images.iterdir()))))
    return out
