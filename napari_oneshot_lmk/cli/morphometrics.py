"""``oneshot-lmk morphometrics``: shapes of landmarks, aligned, judged and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    print_info,
    print_json,
    print_line,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.landmark_input import (
    ImagePlaces,
    ReadBatch,
    Sources,
    Study,
    end_with_failures,
    read_named,
)
from napari_oneshot_lmk.cli.observers import compare_observers
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, SpacingText, option, spacing_from
from napari_oneshot_lmk.cli.resample import resample
from napari_oneshot_lmk.measure.morphometrics.outliers import THRESHOLD

if TYPE_CHECKING:
    import pandas as pd

    from napari_oneshot_lmk.measure.morphometrics.outliers import Outliers
    from napari_oneshot_lmk.measure.morphometrics.procrustes import Alignment

SHOWN_ROWS = 20
"""More are in the file."""

Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--landmark", metavar="NAME", help="Use this one; may be given several times. Default: all."
    ),
]
NoScaling = Annotated[
    bool, typer.Option("--no-scaling", help="Keep sizes; needs one unit, mm or px, for all images.")
]

morphometrics_app = typer.Typer(
    help="Shapes: semilandmarks, Procrustes alignment, outliers, observer error.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
morphometrics_app.command("observers")(compare_observers)
morphometrics_app.command("resample")(resample)


@morphometrics_app.command("align")
@handle_errors
def align(
    landmarks: Sources = None,
    project: Study = None,
    images: ImagePlaces = None,
    chosen: Chosen = None,
    no_scaling: NoScaling = False,
    spacing: SpacingText = None,
    out: Annotated[Path | None, option("DIR", "Folder for the tables.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Align the landmarks of many images (generalised Procrustes analysis).

    Writes the aligned points, their mean, and each image's centroid size and distance from
    the mean. Shapes are turned and scaled, never mirrored.
    """
    from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

    if out is not None:
        check_writable(out, overwrite=overwrite)
    batch, alignment = _aligned(landmarks, project, images, chosen, no_scaling, spacing)
    tables = _alignment_tables(alignment)
    if as_json:
        print_json({name: _records(table) for name, table in tables.items()})
    else:
        rows = [
            [
                str(row.image),
                f"{row.centroid_size:.4g} {row.unit}",
                f"{row.procrustes_distance:.4f}",
            ]
            for row in tables["images"].itertuples()
        ]
        distance = "distance from the mean" + (f", {alignment.shapes.units[0]}" * no_scaling)
        _print_rows(
            f"{len(rows)} images, {len(alignment.shapes.landmarks)} landmarks",
            ["image", "centroid size", distance],
            rows,
        )
    if out is not None:
        with atomic_write(out, overwrite=overwrite, folder=True) as unfinished:
            for name, table in tables.items():
                table.to_csv(unfinished / f"{name}.csv", index=False, float_format="%.9g")
        print_info(f"Written to {out}")
    end_with_failures(batch)


@morphometrics_app.command("outliers")
@handle_errors
def outliers(
    landmarks: Sources = None,
    project: Study = None,
    images: ImagePlaces = None,
    chosen: Chosen = None,
    threshold: Annotated[
        float, option(None, "Robust score from which on something is an outlier.", min=0.0)
    ] = THRESHOLD,
    no_scaling: NoScaling = False,
    spacing: SpacingText = None,
    out: Annotated[Path | None, option("FILE.csv", "Where the table goes.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Name images and landmarks that do not fit to the others of the batch.

    Shapes are aligned; distances from the mean shape are compared with their median and
    median absolute deviation.
    """
    from napari_oneshot_lmk.measure.morphometrics.outliers import find_outliers
    from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

    if out is not None:
        check_writable(out, overwrite=overwrite)
    batch, alignment = _aligned(landmarks, project, images, chosen, no_scaling, spacing)
    found = find_outliers(alignment, threshold=threshold)
    table = _outlier_table(found)
    if as_json:
        print_json(
            {
                "images": found.images,
                "landmarks": [asdict(each) for each in found.landmarks],
                "table": _records(table),
            }
        )
    else:
        _print_outliers(found)
    if out is not None:
        with atomic_write(out, overwrite=overwrite) as partial:
            table.to_csv(partial, index=False, float_format="%.6g")
        print_info(f"Written to {out}")
    end_with_failures(batch)


# -- reading ---------------------------------------------------------------------------


def _aligned(
    sources: Sequence[Path] | None,
    project: Path | None,
    images: Sequence[str] | None,
    chosen: Sequence[str] | None,
    no_scaling: bool,
    spacing: str | None,
) -> tuple[ReadBatch, Alignment]:
    from napari_oneshot_lmk.measure.morphometrics.procrustes import align_shapes
    from napari_oneshot_lmk.measure.morphometrics.shapes import stack_shapes

    spacing_mm_yx = spacing_from(spacing)
    batch = read_named(sources, project, images, spacing_mm_yx)
    shapes = stack_shapes(batch.done, chosen or (), spacing_mm_yx)
    alignment = align_shapes(shapes, scaling=not no_scaling)
    lacking = [n for n, whole in zip(shapes.images, shapes.complete, strict=True) if not whole]
    if lacking:
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        print_warning(
            f"{lacking[0]}{more} lack landmarks: they are aligned by those that they have, and "
            "do not count for the mean."
        )
    return batch, alignment


# -- tables ----------------------------------------------------------------------------


def _alignment_tables(alignment: Alignment) -> dict[str, pd.DataFrame]:
    import pandas as pd

    shapes = alignment.shapes
    points = [
        {"image": image, "landmark": name, "x": x, "y": y}
        for image, of_image in zip(shapes.images, alignment.aligned_yx, strict=True)
        for name, (y, x) in zip(shapes.landmarks, of_image.tolist(), strict=True)
        if x == x
    ]
    mean = alignment.mean_yx.tolist()
    return {
        "aligned": pd.DataFrame(points),
        "mean": pd.DataFrame(
            [
                {"landmark": n, "x": x, "y": y}
                for n, (y, x) in zip(shapes.landmarks, mean, strict=True)
            ]
        ),
        "images": pd.DataFrame(
            {
                "image": shapes.images,
                "complete": shapes.complete.astype(int),
                "centroid_size": alignment.centroid_sizes,
                "unit": shapes.units,
                "procrustes_distance": alignment.distances,
            }
        ),
    }


def _outlier_table(found: Outliers) -> pd.DataFrame:
    """One row per image, its landmark empty, and one per image and landmark."""
    import pandas as pd

    alignment, shapes = found.alignment, found.alignment.shapes
    unit = "" if alignment.scaling else shapes.units[0]
    rows: list[dict[str, Any]] = [
        {"image": image, "landmark": "", "distance": distance, "unit": unit, "score": score}
        for image, distance, score in zip(
            shapes.images, alignment.distances, found.image_scores, strict=True
        )
    ]
    residuals = alignment.residuals
    for row, image in enumerate(shapes.images):
        for column, name in enumerate(shapes.landmarks):
            if residuals[row, column] == residuals[row, column]:
                rows.append(
                    {
                        "image": image,
                        "landmark": name,
                        "distance": residuals[row, column],
                        "unit": shapes.units[row],
                        "score": found.landmark_scores[row, column],
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(outlier=(table["score"] > found.threshold).astype(int))


def _records(table: pd.DataFrame) -> Any:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_table(title, columns, rows[:SHOWN_ROWS])
    if len(rows) > SHOWN_ROWS:
        print_info(f"and {len(rows) - SHOWN_ROWS} more; --out writes all of them")


def _print_outliers(found: Outliers) -> None:
    names, scores = found.alignment.shapes.images, found.image_scores
    distances = found.alignment.distances
    of_images = [
        [image, f"{distances[n]:.4f}", f"{scores[n]:.1f}"]
        for image in found.images
        for n in [names.index(image)]
    ]
    if of_images:
        _print_rows(
            f"{len(of_images)} of {len(names)} images are unusual",
            ["image", "distance from the mean", "score"],
            of_images,
        )
    of_landmarks = [
        [each.image, each.landmark, f"{each.residual:.2f} {each.unit}", f"{each.score:.1f}"]
        for each in found.landmarks
    ]
    if of_landmarks:
        _print_rows(
            f"{len(of_landmarks)} landmarks are unusual",
            ["image", "landmark", "distance from the mean", "score"],
            of_landmarks,
        )
    if not of_images and not of_landmarks:
        print_line(f"No outliers among {len(names)} images (threshold {found.threshold:g}).")
