"""docs/README.md of a bundle: for whoever is handed it."""

from __future__ import annotations

from typing import Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.bundle.metadata import MEANINGS, PACKAGES, REFERENCES, About
from napari_oneshot_lmk.detection.model import TrainedModel

METHODS = {
    "fused": "one network for all landmarks with a small adapter for each (C-Adapter)",
    "single": "one network a landmark (CC2D-SLA, C-ATD)",
    "joint": "one network, trained on random points (CC2D)",
}


def readme(model: TrainedModel, about: About, figures: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    model : TrainedModel
        What is exported.
    about : About
        What a person says of it.
    figures : dict
        Measured ones; empty where nothing was measured.
    """
    card, template = model.card, model.template
    training, geometry = card.training, template.image.geometry
    rows, columns = geometry.image_shape_yx
    spacing = geometry.spacing_mm_yx
    stated = f"{spacing[0]:g} x {spacing[1]:g} mm" if spacing else "unknown spacing"
    points = [
        f"| {i} | {point.name} | {point.description or point.state} |"
        for i, point in enumerate(template.landmarks)
    ]
    measured = [f"- {name}: {value}" for name, value in figures.items()]
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


def data_terms(model: TrainedModel, about: About, weights: str) -> str:
    """Return docs/data_license.txt.

    Parameters
    ----------
    model : TrainedModel
        What is exported.
    about : About
        What a person says of the data.
    weights : str
        What is known of the encoder's weights; empty where there are none.
    """
    lines = [f"Template ({model.template.name}) and training images:", f"  {about.data_terms}"]
    if weights:
        lines += ["Encoder's weights (VGG19, trained on ImageNet):", f"  {weights}"]
    return "\n".join(lines) + "\n"
