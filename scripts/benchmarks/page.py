"""The page of a benchmark, and the same for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.table import markdown_machine
from napari_oneshot_lmk.storage.atomic import atomic_write


def write_page(
    name: str, lines: Sequence[str], content: Mapping[str, Any], folder: Path, *, overwrite: bool
) -> None:
    """Write ``NAME.md`` and ``NAME.json`` into a folder.

    Parameters
    ----------
    name : str
        Of both files.
    lines : sequence of str
        Of the page; its command, its time and the machine follow.
    content : mapping
        Of the JSON file; ``command``, ``made`` and ``machine`` are among it.
    folder : Path
        Where they go.
    overwrite : bool
        Replace what is there.

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
