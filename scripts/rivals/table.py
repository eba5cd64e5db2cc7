"""The whole table as text: rows of both scorings, and landmarks beside the paper's table 2."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rivals.published import FIGURES, REMARKS, TABLE_2, TABLE_2_COLUMNS

SCORINGS = {"native": "native resolution", "grid384": "integer cells of the 384 × 384 grid"}
DISTANCES = ("2.0", "2.5", "3.0", "4.0")


def page(rows: Sequence[dict[str, Any]], folders: Sequence[Path], title: str) -> str:
    """Return rows as Markdown; ``folders`` hold each row's ``per_landmark.csv``.

    A row with ``missing`` says what it lacks instead of a number.
    """
    return "\n\n".join(
        [
            f"# {title}",
            *(_accuracy(rows, key, words) for key, words in SCORINGS.items()),
            _cost(rows),
            _landmarks(rows, folders),
        ]
    )


def _accuracy(rows: Sequence[dict[str, Any]], key: str, words: str) -> str:
    distances = [f"{float(each):g} mm" for each in DISTANCES]
    head = ["method", "seed", "images", "MRE mm", "median mm", "SDR 2 mm %", *distances[1:]]
    cells = []
    for row in rows:
        scored = row.get("accuracy", {}).get(key)
        if scored is None:
            missing = row.get("missing", "no spacing is known")
            cells.append([row["title"], str(row["seed"]), missing, *[""] * 7])
        else:
            sdr = scored["sdr_percent"]
            numbers = [f"{scored['mre_mm']:.2f}", f"{scored['median_mm']:.2f}"]
            numbers += [f"{sdr[each]:.1f}" for each in DISTANCES]
            cells.append([row["title"], str(row["seed"]), str(row["images"]), *numbers])
            cells[-1].append(_published(row["name"]))
    return f"## {words[0].upper()}{words[1:]}\n\n" + _markdown([*head, "published"], cells)


def _published(name: str) -> str:
    if name not in FIGURES:
        return REMARKS.get(name, "")
    mre, *sdr, source = FIGURES[name]
    return f"{mre:.2f}; {' / '.join(f'{each:.2f}' for each in sdr)} ({source})"


def _cost(rows: Sequence[dict[str, Any]]) -> str:
    head = ["method", "how it was trained", "trained parameters", "s / image"]
    cells = [
        [
            row["title"],
            row["how"],
            f"{row['training'].get('parameters', 0) / 1e6:.2f} M",
            f"{row['seconds_per_image']:.2f}",
        ]
        for row in rows
        if "missing" not in row
    ]
    return "## Cost\n\n" + _markdown(head, cells)


def _landmarks(rows: Sequence[dict[str, Any]], folders: Sequence[Path]) -> str:
    there = [
        (row, _per_landmark(folder / "per_landmark.csv"))
        for row, folder in zip(rows, folders, strict=True)
        if "missing" not in row
    ]
    names = list(dict.fromkeys(name for _, table in there for name in table))
    known = all(name in TABLE_2 for name in names)
    head = ["landmark", *(f"{row['title']}, seed {row['seed']}" for row, _ in there)]
    head += [f"*{each}, paper*" for each in TABLE_2_COLUMNS] if known else []
    cells = []
    for name in names:
        measured = [table.get(name, ("", "")) for _, table in there]
        printed = TABLE_2[name] if known else ()
        cells.append(
            [
                name,
                *(" / ".join(each) for each in measured),
                *(f"{mre:.2f} / {sdr:.1f}" for mre, sdr in printed),
            ]
        )
    words = "MRE in mm / SDR at 2 mm in %, native resolution"
    words += "; the paper's table 2 is of images 151–400 on the 384 grid." if known else "."
    return f"## Each landmark\n\n{words}\n\n" + _markdown(head, cells)


def _per_landmark(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            line["landmark"]: (f"{float(line['mre_mm']):.2f}", f"{float(line['sdr_2.0']):.1f}")
            for line in csv.DictReader(file)
            if line["scoring"] == "native" and line["mre_mm"]
        }


def _markdown(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
