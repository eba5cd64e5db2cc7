"""Options that several measurements have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results go.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="A data folder.")]
Model = Annotated[
    Path | None, typer.Option("--model", metavar="RUN", help="A trained model of it.")
]
Counts = Annotated[str, typer.Option("--counts", help="Numbers of corrected images.")]
Draws = Annotated[int, typer.Option("--draws", min=1)]
Parts = Annotated[
    int,
    typer.Option(
        "--parts", min=1, help="Score each draw on one of so many parts of the images, in turn."
    ),
]
OfTraining = Annotated[
    bool,
    typer.Option("--training", help="Draw from one half of the training images, score the other."),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep what was computed here; the same command goes on from there. "
        "Default: a temporary folder.",
    ),
]
