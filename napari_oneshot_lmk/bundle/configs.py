"""The files of configs/: metadata.json, inference.json, train.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.bundle.layout import SECTION, BundleCard
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.imaging.transforms import preprocessing_config
from napari_oneshot_lmk.matching.confidence import UNSURE_BELOW

FILES = Path(__file__).parent / "files"
"""What is the same in each bundle."""
SCHEMA_URL = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
    "0.8.1/meta_schema_20240725.json"
)
MEANINGS = {
    "y": "row of the landmark on the network's grid, in pixels from the centre of "
    "the first; image row = (y + 0.5) * image rows / grid rows - 0.5",
    "x": "column, likewise",
    "score": "how far to trust the point, 0 to 1",
    "expected_y": "row where the other landmarks expect this one, in pixels of the grid",
    "expected_x": "column where they expect it",
}
"""Of `PointNetwork`'s columns."""
REFERENCES = (
    "He X, Huang Z, Yao Q, Zhou X, Zhou SK. Landmarks are alike yet distinct: "
    "harnessing similarity and individuality for one-shot medical landmark detection. "
    "arXiv 2503.16058.",
    "Yao Q, Quan Q, Xiao L, Zhou SK. One-shot medical landmark detection. MICCAI 2021.",
    "Simonyan K, Zisserman A. Very deep convolutional networks for large-scale image "
    "recognition. ICLR 2015.",
)
PACKAGES = ("SimpleITK", "pytorch-ignite", "fire")
"""What configs/inference.json needs beside torch, MONAI and numpy."""


@dataclass(frozen=True)
class About:
    """What only the person who exports a model knows of it.

    ``data_terms`` are those under which training images and template may be used, ``modality``
    is that of the images (``"CR"``, ``"photograph"``, ...).
    """

    name: str = ""
    """By default that of the bundle's folder."""
    version: str = "0.1.0"
    authors: str = "not stated"
    intended_use: str = (
        "Research use. Each point is to be looked at by a person before it is used; "
        "not for diagnosis or treatment without that."
    )
    data_terms: str = "not stated by whoever exported this bundle; ask them before you hand it on"
    modality: str = "n/a"


def make_about(**texts: str) -> About:
    """Return an `About` in which empty texts leave the defaults."""
    return About(**{key: text for key, text in texts.items() if text})


def make_metadata(
    model: TrainedModel, card: BundleCard, about: About, metrics: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of metadata.json: for MONAI, for people, and for `load_model`."""
    geometry = model.template.image.geometry
    rows, columns = geometry.network_shape_yx
    placed = [p.name for p in model.template.landmarks.placed]
    training = model.card.training
    content: dict[str, Any] = {
        "schema": SCHEMA_URL,
        "version": about.version,
        "changelog": {about.version: "exported by napari-oneshot-lmk " + __version__},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in PACKAGES},
        "name": about.name,
        "task": f"Find {len(placed)} anatomical landmarks on a 2-D image",
        "description": (
            f"One-shot landmark detection ({model.card.method}): trained from one "
            f"annotated template and {training.images} images without annotation. "
            "The network reads a grey image and gives one point a landmark."
        ),
        "authors": about.authors,
        "copyright": f"Copyright (c) {about.authors}",
        "intended_use": about.intended_use,
        "data_source": about.data_terms,
        "data_type": "2-D grey images",
        "image_classes": "one channel, grey values scaled to 0..1 between the 0.1th "
        "and the 99.9th percentile",
        "references": list(REFERENCES),
        "coordinate_def": {
            str(i): {"name": name, "meaning": meaning}
            for i, (name, meaning) in enumerate(MEANINGS.items())
        },
        "template_spacing_mm_yx": geometry.spacing_mm_yx,
        "landmarks": [
            {"name": point.name, "state": str(point.state), "description": point.description}
            for point in model.template.landmarks
        ],
        "unsure_below": UNSURE_BELOW,
        "provenance": {
            "method": model.card.method,
            "encoder": model.card.encoder,
            "template": model.template.name,
        },
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": about.modality,
                    "num_channels": 1,
                    "spatial_shape": [rows, columns],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "tuples",
                    "format": "points",
                    "num_channels": len(placed),
                    "spatial_shape": [len(MEANINGS)],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(i): name for i, name in enumerate(placed)},
                }
            },
        },
        SECTION: card.model_dump(mode="json"),
    }
    if metrics:
        content["eval_metrics"] = metrics
    return content


def make_inference(model: TrainedModel) -> dict[str, Any]:
    """Return the content of inference.json, which detects with MONAI alone."""
    content = _read_json("inference.json")
    content["network_shape_yx"] = list(model.template.image.geometry.network_shape_yx)
    # After LoadImaged and EnsureChannelFirstd.
    content["preprocessing"]["transforms"][2:2] = preprocessing_config()
    return content


def make_training(model: TrainedModel) -> dict[str, Any]:
    """Return the content of train.json, which trains the same kind of model on other images.

    It needs this package, and so does the network that it defines for ``ckpt_export``.
    """
    training = model.card.training
    return _read_json("train.json") | {
        "method": model.card.method,
        "preset": training.preset or "laptop",
        "seed": training.seed,
    }


def _read_json(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FILES / name).read_text(encoding="utf-8"))
    return content
