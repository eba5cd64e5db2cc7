"""The documents of a bundle, and what they are written from."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.bundle.configs import FILES, PACKAGES, About, read_json
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.errors import OneshotError, SourceError
from napari_oneshot_lmk.training.dataset import read_images
from napari_oneshot_lmk.training.methods import find_method
from napari_oneshot_lmk.training.run_folder import RunFolder


def make_readme(model: TrainedModel, about: About, metrics: dict[str, Any]) -> str:
    """Return docs/README.md; metrics are empty where nothing was measured."""
    card, template = model.card, model.template
    method = find_method(card.method)
    training, geometry = card.training, template.image.geometry
    rows, columns = geometry.image_shape_yx
    spacing = geometry.spacing_mm_yx
    metadata = read_json("metadata.json")
    meanings = metadata["coordinate_def"].values()
    trained_on = (
        f"{training.images} images without annotation, "
        f"{f'preset {training.preset}' if training.preset else 'settings of its own'}, "
        f"epoch {training.epoch} of {training.epochs}, seed {training.seed}"
        if training.images
        else "not recorded"
    )
    made_from = "one annotated image by one-shot landmark detection"
    if training.corrected:
        trained_on += f"; adapters fine-tuned on {training.corrected} corrected images"
        made_from += f", fine-tuned on {training.corrected} corrected images (few-shot)"
    if card.instant:
        trained_on += f"; detected as without training: {', '.join(card.instant)}"
    values = {
        "name": about.name,
        "made_from": made_from,
        "count": len(template.landmarks.placed),
        "method": f"{method.description} ({method.paper_name})",
        "packages": ", ".join(PACKAGES),
        "grid": "{} x {}".format(*geometry.network_shape_yx),
        "meanings": "\n".join("| {name} | {meaning} |".format_map(each) for each in meanings),
        "landmarks": "\n".join(
            f"| {i} | {point.name} | {point.description or point.state} |"
            for i, point in enumerate(template.landmarks)
        ),
        "template": template.name,
        "size": f"{columns} x {rows}",
        "spacing": f"{spacing[0]:g} x {spacing[1]:g} mm" if spacing else "unknown spacing",
        "trained_on": trained_on,
        "encoder": card.encoder,
        "version": __version__,
        "measured": "\n".join(f"- {name}: {value}" for name, value in metrics.items())
        or "Nothing was measured with annotated images.",
        "intended_use": about.intended_use,
        "references": "\n".join(f"- {reference}" for reference in metadata["references"]),
    }
    return Template((FILES / "README.md").read_text(encoding="utf-8")).substitute(values)


def make_data_terms(model: TrainedModel, about: About, weights: str) -> str:
    """Return docs/data_license.txt; `weights` are the terms of the encoder's, or empty."""
    lines = [f"Template ({model.template.name}) and training images:", f"  {about.data_terms}"]
    if weights:
        lines += ["Encoder's weights (VGG19, trained on ImageNet):", f"  {weights}"]
    return "\n".join(lines) + "\n"


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the main native metrics of a report that ``evaluate --out`` wrote, by name.

    Raises `SourceError` if there is no readable report in the folder.
    """
    try:
        content = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        overall = content["native"]
        metrics = {
            "images": content["images"],
            "errors": overall["n"],
            "MRE mm": overall["mre_mm"],
            "median mm": overall["median_mm"],
            **{f"SDR {limit} mm %": share for limit, share in overall["sdr_percent"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = "holds no report, there is no readable summary.json in it"
        remedy = "name the folder that oneshot-lmk evaluate --out wrote"
        raise SourceError(what, file=folder, remedy=remedy) from error
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
            with suppress(OneshotError):
                return [image.path for image in read_images(path)]
            return []
    return []
