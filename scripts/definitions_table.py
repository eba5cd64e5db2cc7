"""Write the table of definitions in ``docs/measurements.md`` from the set that is shipped.

    python scripts/definitions_table.py

A test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from napari_oneshot_lmk.measure.measurement import Kind, Measurement
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet

PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurements.md"
BEGIN, END = "<!-- definitions: begin -->\n", "<!-- definitions: end -->\n"


def table(chosen: MeasurementSet) -> str:
    """Return the measurements and the tracing of a set as two tables in Markdown."""
    lines = ["| | between | what it is | norm |", "|---|---|---|---|"]
    for each in chosen.measurement:
        what = f"{each.definition} *{each.source}.*"
        lines.append(f"| **{each.name}** | {_between(each)} | {what} | {_norm(each)} |")
    lines += ["", "| line | through |", "|---|---|"]
    lines += [f"| {line.name} | {_names(line.points)} |" for line in chosen.tracing]
    return "\n".join(lines) + "\n"


def page_with_table(page: str, chosen: MeasurementSet) -> str:
    """Return the page's text with the tables in their place."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + table(chosen) + "\n" + END + after


def _between(each: Measurement) -> str:
    named = each.of if each.kind is Kind.DIFFERENCE else each.points
    return f"`{each.kind}` {_names(named)}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _norm(each: Measurement) -> str:
    norm = each.norm
    if norm is None:
        return "–"
    spread = "" if norm.sd is None else f" ± {norm.sd:g}"
    return f"{norm.mean:g}{spread}; {norm.population}. *{norm.source}*"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    ready = MeasurementSet.load("lateral_cephalogram")
    PAGE.write_text(page_with_table(text, ready), encoding="utf-8")
