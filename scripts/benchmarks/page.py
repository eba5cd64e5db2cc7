"""The page of a measurement, and the same for programs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.machine import describe, markdown_machine
from napari_oneshot_lmk.cli.console import print_table
from napari_oneshot_lmk.storage.atomic import atomic_write


def stamped(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its command, its time and the machine."""
    return {
        **content,
        "command": command_line(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
    }


def write_page(
    name: str, lines: Sequence[str], content: Mapping[str, Any], folder: Path, overwrite: bool
) -> None:
    """Write `lines` as ``NAME.md`` and a `stamped` content as ``NAME.json`` into a folder.

    Raises
    ------
    OutputError
        If the folder exists or cannot be written.
    """
    page = [
        *lines,
        "",
        f"Command: `{content['command']}`",
        "",
        f"Made {content['made']} on",
        "",
        *markdown_machine(content["machine"]),
    ]
    with atomic_write(folder, overwrite=overwrite, folder=True) as unfinished:
        (unfinished / f"{name}.md").write_text("\n".join(page) + "\n", encoding="utf-8")
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (unfinished / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def show_table(
    name: str,
    title: str,
    titles: list[str],
    table: list[list[str]],
    content: dict[str, Any],
    out: Path,
    overwrite: bool,
) -> None:
    """Write a table as a page with its figures, and print it."""
    lines = table_lines(titles, table)
    write_page(name, lines, stamped(content), out, overwrite)
    print_table(title, titles, table)


def table_lines(titles: list[str], table: list[list[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [
        " | ".join(["", *cells, ""]).strip() for cells in (titles, ["---"] * len(titles), *table)
    ]


def command_line() -> str:
    """Return the call as the user could type it."""
    return shlex.join(["python", "scripts/benchmarks", *sys.argv[1:]])
