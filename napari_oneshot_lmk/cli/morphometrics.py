"""``oneshot-lmk morphometrics``: shapes of landmarks, aligned, judged and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_info,
    print_json,
    print_line,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.image_lookup import NamedImages
from napari_oneshot_lmk.cli.landmark_input import (
    ReadBatch,
    landmark_files,
    read_files,
    read_project,
)
from napari_oneshot_lmk.cli.observers import compare_observers
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, SpacingText, option, spacing_from
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.measure.morphometrics.outliers import THRESHOLD

if TYPE_CHECKING:
    import pandas as pd

    from napari_oneshot_lmk.measure.morphometrics.outliers import Outliers
    from napari_oneshot_lmk.measure.morphometrics.procrustes import Alignment
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import CurveDefinition

SHOWN_ROWS = 20
"""More are in the file."""

Sources = Annotated[
    list[Path] | None,
    typer.Argument(metavar="LANDMARKS", help="Landmark files, or folders of some."),
]
Study = Annotated[Path | None, option("PROJECT", "The landmarks of this project instead.")]
ImagePlaces = Annotated[
    list[str] | None,
    option("FOLDER|GLOB", "Where the images are; for files that lack their size (TPS)."),
]
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
    _end(batch)


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
    _end(batch)


@morphometrics_app.command("resample")
@handle_errors
def resample(
    out: Annotated[Path, option("FILE", "Landmark file; only .tps holds curves.")],
    landmarks: Sources = None,
    project: Study = None,
    images: ImagePlaces = None,
    curves: Annotated[
        list[str] | None,
        typer.Option(
            "--curve",
            metavar="NAME=A,B,...",
            help="A curve through these landmarks, beside those of the file.",
        ),
    ] = None,
    points: Annotated[int, option("N", "Points of each curve, its ends among them.", min=3)] = 10,
    as_landmarks: Annotated[
        bool,
        typer.Option(
            "--as-landmarks",
            help="Write semilandmarks as landmarks into a TPS file, too, instead of curves.",
        ),
    ] = False,
    sliders: Annotated[
        Path | None, option("FILE.csv", "Which semilandmark lies on which curve, for geomorph.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Place semilandmarks at equal distances along curves.

    Curves come from TPS files, or go through landmarks with --curve. Files that hold no curves
    get the points as landmarks named CURVE:NUMBER.
    """
    from napari_oneshot_lmk.landmarks.files import format_to_write, write_landmarks
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import (
        resample_curves,
        with_semilandmarks,
    )
    from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

    form = format_to_write(out)
    for path in (out, sliders):
        if path is not None:
            check_writable(path, overwrite=overwrite)
    definitions = [_definition(text) for text in curves or ()]
    batch = _read(landmarks, project, images, None)
    done = []
    for each in batch.done:
        try:
            done.append(resample_curves(each, points, definitions))
        except OneshotError as error:
            batch.failed.append(error)
    if not done:
        _end(batch)
    joined = as_landmarks or not form.holds_curves
    written = with_semilandmarks(done) if joined else done
    table = _slider_table(done, joined)
    write_landmarks(out, written, overwrite=overwrite)
    if sliders is not None:
        with atomic_write(sliders, overwrite=overwrite) as partial:
            table.to_csv(partial, index=False)
    names = ", ".join(dict.fromkeys(curve.name for each in done for curve in each.curves))
    print_line(f"{out}: {points} points on each of {names}, on {len(done)} images")
    _end(batch)


# -- reading ---------------------------------------------------------------------------


def _read(
    sources: Sequence[Path] | None,
    project: Path | None,
    images: Sequence[str] | None,
    spacing_mm_yx: tuple[float, float] | None,
) -> ReadBatch:
    """Read what a user names; a UsageError says if that is nothing, or both."""
    if bool(sources) == (project is not None):
        raise UsageError(
            "name either landmark files or a project",
            remedy="for example oneshot-lmk morphometrics align found.csv, or --project STUDY",
        )
    if project is not None:
        batch = read_project(project)
    else:
        files = [file for source in sources or () for file in landmark_files(source)]
        beside = NamedImages(images or (), spacing_mm_yx if images else None, None)
        with counting_bar("Opening images") as beside.advance:
            batch = read_files(files, beside)
    batch.end()
    if not batch.done:
        _end(batch)
    return batch


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
    batch = _read(sources, project, images, spacing_mm_yx)
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


def _end(batch: ReadBatch) -> None:
    """Name what could not be used; the exit code says so, too."""
    list_failures(batch.failed, what="file")
    if batch.failed:
        raise typer.Exit(ExitCode.FAILED)


def _definition(text: str) -> CurveDefinition:
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import CurveDefinition

    name, _, through = text.partition("=")
    names = tuple(part.strip() for part in through.split(","))
    if not name.strip() or len(names) < 2 or not all(names):
        raise UsageError(
            f"--curve {text} is no curve", remedy="write it like jaw=gonion,menton,pogonion"
        )
    return CurveDefinition(name.strip(), names)


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


def _slider_table(images: Sequence[Any], joined: bool) -> pd.DataFrame:
    """Return the semilandmarks with names and the numbers that they have in the file."""
    import pandas as pd

    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import semilandmark_names
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import sliders as sliders_of

    order = dict.fromkeys(name for each in images for name in each.names)
    for names in semilandmark_names(images, join_ends=joined).values():
        order |= dict.fromkeys(names)
    number = {name: n for n, name in enumerate(order, start=1)}
    return pd.DataFrame(
        [
            {
                **asdict(each),
                "before_number": number[each.before],
                "slide_number": number[each.semilandmark],
                "after_number": number[each.after],
            }
            for each in sliders_of(images, join_ends=joined)
        ]
    )


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
