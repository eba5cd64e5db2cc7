"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_oneshot_lmk.errors import GeometryError

SpacingText = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="MM",
        help="Millimetres per pixel; ROWxCOLUMN (0.3x0.25) where pixels are not "
        "square. Overrides what the file says.",
    ),
]
Slice = Annotated[
    int | None, typer.Option("--slice", help="Which slice (from 0) of a volume or frame of a film.")
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--encoder-weights",
        metavar="FILE",
        help="Weights of the VGG19 encoder; otherwise they are looked for.",
    ),
]
Pack = Annotated[
    bool,
    typer.Option(
        "--pack",
        help="Put the encoder's weights into the model (40 MB): it then works on any "
        "computer. A run that has finished gets them, too.",
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the bootstrap intervals.")]

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Give the work to a dask cluster: tcp://host:8786, or its scheduler file. "
        "Images must lie where all its workers see them.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Or to so many processes on this computer."),
]


def spacing_from(text: str | None) -> tuple[float, float] | None:
    """Return the (row, column) spacing in mm that a user typed.

    Raises
    ------
    GeometryError
        If it is not one or two sensible numbers.
    """
    if text is None:
        return None
    # numpy, which this loads, would slow down --help.
    from napari_oneshot_lmk.geometry import checked_spacing

    parts = text.lower().replace(",", "x").split("x")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise GeometryError(
            f"--spacing {text} is not a number of millimetres",
            remedy="write for example --spacing 0.1, or 0.3x0.25 for row x column",
        ) from error
    if len(values) > 2:
        raise GeometryError(
            f"--spacing {text} is more than two numbers",
            remedy="write for example --spacing 0.1, or 0.3x0.25 for row x column",
        )
    return checked_spacing(values if len(values) == 2 else values[0])
