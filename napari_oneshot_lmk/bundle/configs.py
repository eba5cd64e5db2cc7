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
from napari_oneshot_lmk.matching.uncertainty import UNSURE_BELOW

FILES = Path(__file__).parent / "files"
"""What is the same in each bundle."""
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
    placed = [p.name for p in model.template.landmarks.placed]
    content = read_json("metadata.json") | {
        "version": about.version,
        "changelog": {about.version: "exported by napari-oneshot-lmk " + __version__},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in PACKAGES},
        "name": about.name,
        "task": f"Find {len(placed)} anatomical landmarks on a 2-D image",
        "description": (
            f"{_shots(model)} landmark detection ({model.card.method}): trained from one annotated "
            f"template and {model.card.training.images} images without annotation. "
            "The network reads a grey image and gives one point a landmark."
        ),
        "authors": about.authors,
        "copyright": f"Copyright (c) {about.authors}",
        "intended_use": about.intended_use,
        "data_source": about.data_terms,
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
        SECTION: card.model_dump(mode="json"),
    }
    form = content["network_data_format"]
    shape_yx = list(geometry.network_shape_yx)
    form["inputs"]["image"] |= {"modality": about.modality, "spatial_shape": shape_yx}
    names = {str(i): name for i, name in enumerate(placed)}
    form["outputs"]["pred"] |= {"num_channels": len(placed), "channel_def": names}
    if metrics:
        content["eval_metrics"] = metrics
    return content


def _shots(model: TrainedModel) -> str:
    corrected = model.card.training.corrected
    return f"Few-shot (fine-tuned on {corrected} corrected images)" if corrected else "One-shot"


def make_inference(model: TrainedModel) -> dict[str, Any]:
    """Return the content of inference.json, which detects with MONAI alone."""
    content = read_json("inference.json")
    content["network_shape_yx"] = list(model.template.image.geometry.network_shape_yx)
    # After LoadImaged and EnsureChannelFirstd.
    steps = preprocessing_config()
    if model.fine is not None:
        geometry = model.fine.grid.template
        steps = [
            {"_target_": "CopyItemsd", "keys": "image", "names": "crop"},
            {
                "_target_": "scripts.fine_stage.CropGridd",
                "keys": "crop",
                "pixel": model.fine.grid.pixel,
                "template_shape_yx": list(geometry.image_shape_yx),
                "template_spacing_mm_yx": geometry.spacing_mm_yx,
            },
            *steps,
        ]
        content["imports"].append("$from scripts import fine_stage")
        content["fine_def"] = (
            "$torch.jit.load(@bundle_root + '/models/fine.ts', map_location=@device)"
        )
        content["network"] = "$fine_stage.TwoLooks(@network_def, @fine_def).to(@device).eval()"
        content["evaluator"]["prepare_batch"] = "$fine_stage.prepare_batch"
    content["preprocessing"]["transforms"][2:2] = steps
    return content


def make_training(model: TrainedModel) -> dict[str, Any]:
    """Return the content of train.json, which trains the same kind of model on other images.

    It needs this package, and so does the network that it defines for ``ckpt_export``.
    """
    training = model.card.training
    return read_json("train.json") | {
        "method": model.card.method,
        "preset": training.preset or "laptop",
        "seed": training.seed,
    }


def read_json(name: str) -> dict[str, Any]:
    """Return the content of one of `FILES`."""
    content: dict[str, Any] = json.loads((FILES / name).read_text(encoding="utf-8"))
    return content
