"""The documents of a bundle, and what they are written from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.bundle.configs import MEANINGS, PACKAGES, REFERENCES, About
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.training.dataset import read_images
from napari_oneshot_lmk.training.run_folder import RunFolder

METHODS = {
    "fused": "one network for all landmarks with a small adapter for each (C-Adapter)",
    "single": "one network a landmark (CC2D-SLA, C-ATD)",
    "joint": "one network, trained on random points (CC2D)",
}


def make_readme(model: TrainedModel, about: About, metrics: dict[str, Any]) -> str:
    """Return docs/README.md; metrics are empty where nothing was measured."""
    card, template = model.card, model.template
    training, geometry = card.training, template.image.geometry
    rows, columns = geometry.image_shape_yx
    spacing = geometry.spacing_mm_yx
    stated = f"{spacing[0]:g} x {spacing[1]:g} mm" if spacing else "unknown spacing"
    points = [
        f"| {i} | {point.name} | {point.description or point.state} |"
        for i, point in enumerate(template.landmarks)
    ]
    measured = [f"- {name}: {value}" for name, value in metrics.items()]
    trained_on = (
        f"{training.images} images without annotation, preset {training.preset}, "
        f"epoch {training.epoch} of {training.epochs}, seed {training.seed}"
        if training.images
        else "not recorded"
    )
    return "\n".join(
        [
            f"# {about.name}",
            "",
            f"Finds {len(template.landmarks.placed)} anatomical landmarks on a 2-D "
            "image. Made from one annotated image by one-shot landmark detection: "
            f"{METHODS[card.method]}.",
            "",
            "## Use",
            "",
            "In the folder of this bundle, with torch, MONAI, "
            f"{', '.join(PACKAGES)} installed in the versions of "
            "`configs/metadata.json`:",
            "",
            "```",
            "python -m monai.bundle run --config_file configs/inference.json "
            "--bundle_root . --dataset_dir DIR --output_dir OUT",
            "```",
            "",
            "writes `OUT/landmarks.csv`, one row for each landmark of each image. "
            "`--slice_index N` chooses a slice of volumes, `--spacing_mm MM` overrides "
            "the pixel spacing that the files state. A file that cannot be used is "
            "named at the end, and the exit code is 1.",
            "",
            "With napari-oneshot-lmk, `oneshot-lmk detect --model THIS_FOLDER --out "
            "found.csv IMAGES` gives the same points, on a GPU too; "
            "`configs/train.json` trains on other images. The recorded network "
            "(`models/model.ts`) computes on the processor, one image at a time.",
            "",
            "## Input and output",
            "",
            "One grey image on a grid of "
            f"{geometry.network_shape_yx[0]} x {geometry.network_shape_yx[1]} that "
            "covers the whole image, grey values scaled to 0..1. Each row of the "
            "output is one placed landmark:",
            "",
            "| column | meaning |",
            "|---|---|",
            *(f"| {name} | {meaning} |" for name, meaning in MEANINGS.items()),
            "",
            "| landmark | name | |",
            "|---|---|---|",
            *points,
            "",
            "## Where it comes from",
            "",
            f"- Template: {template.name}, {columns} x {rows} pixels, {stated}. Its "
            "pixels are in `template/`: hand the bundle on only where the template "
            "may go.",
            f"- Trained on {trained_on}.",
            f"- Encoder: {card.encoder}, frozen. VGG19's ImageNet weights have the "
            "licence of their source, see `docs/data_license.txt`.",
            f"- Exported by napari-oneshot-lmk {__version__}, computing in float32.",
            "",
            "## Measured",
            "",
            *(measured or ["Nothing was measured with annotated images."]),
            "",
            "## Limits",
            "",
            f"{about.intended_use}",
            "",
            "- For images that look like the template: same anatomy and view, not "
            "mirrored, turned by no more than about 20 degrees.",
            "- A landmark is always placed, also where it cannot be seen; its score is "
            "low then, and the table marks it as unsure.",
            "- Body parts that repeat (teeth, fingers, vertebrae) can be confused with "
            "their neighbours.",
            "",
            "## References",
            "",
            *(f"- {reference}" for reference in REFERENCES),
            "",
        ]
    )


def make_data_terms(model: TrainedModel, about: About, weights: str) -> str:
    """Return docs/data_license.txt; `weights` are the terms of the encoder's, or empty."""
    lines = [f"Template ({model.template.name}) and training images:", f"  {about.data_terms}"]
    if weights:
        lines += ["Encoder's weights (VGG19, trained on ImageNet):", f"  {weights}"]
    return "\n".join(lines) + "\n"


SUMMARY = "summary.json"


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the main native metrics of a report that ``evaluate --out`` wrote, by name.

    Raises
    ------
    UsageError
        If there is no readable report in the folder.
    """
    try:
        content = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        overall = content["native"]
        metrics = {
            "images": content["images"],
            "errors": overall["n"],
            "MRE mm": overall["mre_mm"],
            "median mm": overall["median_mm"],
        }
        for limit, share in overall["sdr_percent"].items():
            metrics[f"SDR {limit} mm %"] = share
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"holds no report, there is no readable {SUMMARY} in it",
            file=folder,
            remedy="name the folder that oneshot-lmk evaluate --out wrote",
        ) from error
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in metrics.items()
    }


def training_images(model: Path) -> list[Path]:
    """Return the images that a model was trained on, if its run still lists them.

    ``model`` is a run, a model's folder inside one, or any other model.
    """
    for folder in (model, model.absolute().parent):
        path = RunFolder(folder).images_path
        if path.is_file():
            try:
                return [image.path for image in read_images(path)]
            except OneshotError:
                return []
    return []
