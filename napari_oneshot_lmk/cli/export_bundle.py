"""``oneshot-lmk export-bundle``: a trained model for whoever runs MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from napari_oneshot_lmk.cli.console import print_info, print_json, print_line
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, Weights, option


@handle_errors
def export_model(
    model: Annotated[Path, option("RUN", "What oneshot-lmk train wrote.")],
    out: Annotated[Path, option("BUNDLE", "The folder to write.")],
    try_on: Annotated[
        list[str] | None,
        option(
            "IMAGE|FOLDER",
            "Images on which the bundle is tried, three of them. By default "
            "those that it was trained on, else moved copies of the template.",
        ),
    ] = None,
    name: Annotated[str, option(None, "Of the model; else that of the folder.")] = "",
    model_version: Annotated[str, option(None, "Of the model.")] = "0.1.0",
    authors: Annotated[str, option(None, "Who trained it.")] = "",
    intended_use: Annotated[str, option(None, "One sentence.")] = "",
    data_terms: Annotated[
        str, option(None, "Under which terms template and training images may be used.")
    ] = "",
    modality: Annotated[str, option(None, "Of the images, such as CR.")] = "",
    measured: Annotated[
        Path | None,
        option(
            "FOLDER",
            "What oneshot-lmk evaluate --out wrote: its figures go into the bundle's documents.",
        ),
    ] = None,
    encoder_weights: Weights = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as a MONAI bundle that runs without this program.

    The bundle is run with MONAI on the template and on three images before it
    appears; if it does not find the same points, there is none.
    """
    from napari_oneshot_lmk.storage.atomic import check_writable

    check_writable(out, overwrite=overwrite)

    from napari_oneshot_lmk.bundle.configs import make_about
    from napari_oneshot_lmk.bundle.documents import read_metrics, training_images
    from napari_oneshot_lmk.bundle.export import Export, export_bundle, weights_for
    from napari_oneshot_lmk.bundle.load import load_model
    from napari_oneshot_lmk.bundle.verify import Comparison
    from napari_oneshot_lmk.imaging.find import find_images

    metrics = read_metrics(measured) if measured else {}
    opened = load_model(model)
    export = Export(
        model=opened,
        out=out,
        about=make_about(
            name=name or out.absolute().name,
            version=model_version,
            authors=authors,
            intended_use=intended_use,
            data_terms=data_terms,
            modality=modality,
        ),
        weights=weights_for(opened, encoder_weights),
        images=[each.path for each in find_images(try_on)] if try_on else training_images(model),
        metrics=metrics,
    )
    for step in export_bundle(export, overwrite=overwrite):
        if isinstance(step, Comparison):
            found = step
        else:
            print_info(f"{step}…")
    if as_json:
        compared = {"largest_px": found.largest_px, "worst": found.worst}
        print_json({"out": str(out), **compared, "images": list(found.images)})
        return
    print_line(f"{out}: a MONAI bundle; {found.summary}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print_line(f"{size / 1e6:.0f} MB, the template's image among them")
