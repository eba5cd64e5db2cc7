"""``oneshot-lmk morphometrics resample``: semilandmarks along curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import print_line
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.landmark_input import (
    ImagePlaces,
    Sources,
    Study,
    end_with_failures,
    read_named,
)
from napari_oneshot_lmk.cli.landmark_output import warn_of_losses
from napari_oneshot_lmk.cli.options import Overwrite, option
from napari_oneshot_lmk.errors import OneshotError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import CurveDefinition


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
    batch = read_named(landmarks, project, images, None)
    done = []
    for each in batch.done:
        try:
            done.append(resample_curves(each, points, definitions))
        except OneshotError as error:
            batch.failed.append(error)
    if not done:
        end_with_failures(batch)
    joined = as_landmarks or not form.holds_curves
    written = with_semilandmarks(done) if joined else done
    table = _slider_table(done, joined)
    write_landmarks(out, written, overwrite=overwrite)
    warn_of_losses(out, written)
    if sliders is not None:
        with atomic_write(sliders, overwrite=overwrite) as partial:
            table.to_csv(partial, index=False)
    names = ", ".join(dict.fromkeys(curve.name for each in done for curve in each.curves))
    print_line(f"{out}: {points} points on each of {names}, on {len(done)} images")
    end_with_failures(batch)


def _definition(text: str) -> CurveDefinition:
    from napari_oneshot_lmk.measure.morphometrics.semilandmarks import CurveDefinition

    name, _, through = text.partition("=")
    names = tuple(part.strip() for part in through.split(","))
    if not name.strip() or len(names) < 2 or not all(names):
        raise UsageError(
            f"--curve {text} is no curve", remedy="write it like jaw=gonion,menton,pogonion"
        )
    return CurveDefinition(name.strip(), names)


def _slider_table(images: Sequence[Landmarks], joined: bool) -> pd.DataFrame:
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
