"""Where words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

# Wide enough for the tables where there is no terminal, so that a log keeps them.
PIPE_WIDTH = 120

results = Console()
messages = Console(stderr=True)


def say(sentence: str) -> None:
    """Tell the user something that is not a result."""
    messages.print(escape(sentence), highlight=False, soft_wrap=True)


def warn(sentence: str) -> None:
    """Tell the user something that may need attention."""
    messages.print(f"[yellow]{escape(sentence)}[/yellow]", highlight=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """Tell the user what went wrong."""
    messages.print(f"[red]{escape(sentence)}[/red]", highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Print one line of a result as it is."""
    results.print(escape(text), highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print a result for machines; nothing else may go to stdout then."""
    # ASCII, because not every terminal's encoding knows every file name.
    print_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """Print a piece of a result for machines as it is, without a line break."""
    results.file.write(text)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        side: JustifyMethod = "right" if index else "left"
        table.add_column(escape(column), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = results if results.is_terminal else Console(width=PIPE_WIDTH)
    console.print(table, highlight=False)
