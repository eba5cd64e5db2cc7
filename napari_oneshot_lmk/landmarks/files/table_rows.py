"""The rows of a text table, whatever spreadsheet program wrote it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.text_file import read_text

# float() takes "nan", "inf" and "1_0" too, which are mistakes in a table.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TableRow:
    """One row of a table, with what is needed to complain about it.

    Parameters
    ----------
    path : Path
        The file.
    line : int
        Number of the row's first line in it, from 1.
    cells : dict
        Column title, in lower case -> text.
    decimal_comma : bool
        Commas do not separate columns, so one in a number is a decimal comma.
    """

    path: Path
    line: int
    cells: dict[str, str]
    decimal_comma: bool

    def text(self, column: str) -> str:
        """Return a cell without surrounding blanks; "" where there is none."""
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float | None:
        """Return a finite number, or None where the cell is empty.

        Raises
        ------
        LandmarkError
            If the cell holds anything else.
        """
        cell = self.text(column)
        if not cell:
            return None
        plain = cell
        if self.decimal_comma and cell.count(",") == 1 and "." not in cell:
            plain = cell.replace(",", ".")
        value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
        if not math.isfinite(value):
            raise self.wrong(
                f"{column} is {cell!r}, which is not a number", "correct it"
            )
        return value

    def wrong(self, what: str, remedy: str) -> LandmarkError:
        """Return an error that names file and line."""
        return LandmarkError(f"line {self.line}: {what}", file=self.path, remedy=remedy)


def table_rows(
    path: Path, required: Sequence[str], once: Sequence[str]
) -> Iterator[TableRow]:
    """Read a table separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
        UTF-8 with or without a byte-order mark, or UTF-16 with one.
    required : sequence of str
        Columns that the first line must name, in any order and case.
    once : sequence of str
        Columns that it may name once only.

    Yields
    ------
    TableRow
        Empty lines are passed over.

    Raises
    ------
    LandmarkError
        If it is no such table.
    """
    text = read_text(path, save_as="CSV UTF-8")
    separator = _separator(path, text, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for fields in reader:
            if not any(cell.strip() for cell in fields):
                pass
            elif not columns:
                columns = _columns(path, fields, required, once)
            else:
                cells = dict(zip(columns, fields, strict=False))
                row = TableRow(path, line, cells, separator != ",")
                if len(fields) < len(columns) or any(fields[len(columns) :]):
                    raise row.wrong(
                        f"{len(fields)} fields where the first line has {len(columns)}",
                        "write numbers with a dot, not a comma"
                        if separator == "," and len(fields) > len(columns)
                        else "complete or remove the line",
                    )
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        raise LandmarkError(
            f"line {line} is not a line of a table ({error})",
            file=path,
            remedy="save it again as CSV",
        ) from error


def _separator(path: Path, text: str, required: Sequence[str]) -> str:
    """Find the separator by which the first line names most required columns."""
    header = next(line for line in text.splitlines() if line.strip())
    named = {}
    for separator in ",;\t":
        titles = {title.strip(' "').lower() for title in header.split(separator)}
        named[separator] = len(titles & set(required))
    best = max(named, key=lambda separator: named[separator])
    if not named[best] and all(title in header.lower() for title in required):
        raise LandmarkError(
            "the columns are not separated by commas, semicolons or tabs",
            file=path,
            remedy="save it again as CSV",
        )
    return best


def _columns(
    path: Path, titles: Sequence[str], required: Sequence[str], once: Sequence[str]
) -> list[str]:
    columns = [title.strip().lower() for title in titles]
    missing = [title for title in required if title not in columns]
    if missing:
        raise LandmarkError(
            f"has no column {', '.join(missing)} in its first line",
            file=path,
            remedy=f"a landmark table needs {','.join(required)}",
        )
    for title in once:
        if columns.count(title) > 1:
            raise LandmarkError(
                f"has two columns {title}", file=path, remedy="remove one of the two"
            )
    return columns
