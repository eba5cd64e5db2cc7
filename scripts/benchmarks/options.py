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
