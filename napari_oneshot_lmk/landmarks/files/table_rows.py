"""The rows of a text table, whatever spreadsheet program wrote it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.text_file import read_text

# float() takes "nan", "inf" and "1_0" too, which are mistakes in a table.
_NOTHING = ("", "NA", "N/A", "#N/A", "NAN", "NULL", "NONE", "-")
"""What spreadsheet programs, R and pandas write where there is no number."""
_SEPARATORS = ",;\t"
_TOLD_BY_EXCEL = re.compile(r"\s*\"?sep=([,;\t])\"?\s*", re.IGNORECASE)
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
        """Return a finite number, or None where the cell is empty or says NA.

        Raises
        ------
        LandmarkError
            If the cell holds anything else.
        """
        cell = self.text(column)
        if cell.upper() in _NOTHING:
            return None
        plain = self.plain(column)
        value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
        if not math.isfinite(value):
            raise self.wrong(f"{column} is {cell!r}, which is not a number", "correct it")
        return value

    def plain(self, column: str) -> str:
        """Return a cell that holds numbers, decimal commas turned to points."""
        cell = self.text(column)
        if not self.decimal_comma or "." in cell:
            return cell
        return " ".join(
            part.replace(",", ".") if part.count(",") == 1 else part for part in cell.split()
        )

    def wrong(self, what: str, remedy: str) -> LandmarkError:
        """Return an error that names file and line."""
        return LandmarkError(f"line {self.line}: {what}", file=self.path, remedy=remedy)


def titles_of(text: str) -> set[str]:
    """Return the column titles at the beginning of a text, in lower case."""
    for line in text.splitlines():
        if line.strip() and not _TOLD_BY_EXCEL.fullmatch(line):
            parts = re.split(f"[{_SEPARATORS}]", line.lower())
            return {title.strip(' "') for title in parts}
    return set()


def table_rows(
    path: Path,
    required: Sequence[str],
    once: Sequence[str],
    tell: Callable[[str], None] | None = None,
) -> Iterator[TableRow]:
    """Read a table separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : Path
        A text as spreadsheet programs write it; a first line ``sep=;`` is one of
        Excel's and says what separates the columns.
    required : sequence of str
        Columns that the first line must name, in any order and case.
    once : sequence of str
        Columns that it may name once only.
    tell : callable, optional
        Is given one sentence about what had to be supposed.

    Yields
    ------
    TableRow
        Empty lines are passed over.

    Raises
    ------
    LandmarkError
        If it is no such table.
    """
    text = read_text(path, save_as="CSV UTF-8", tell=tell)
    separator = _separator(path, text, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for fields in reader:
            written = separator.join(fields)
            told = not columns and _TOLD_BY_EXCEL.fullmatch(written)
            if told or not written.strip(separator + " \t\n\r"):
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
    lines = [line for line in text.splitlines() if line.strip()]
    told = _TOLD_BY_EXCEL.fullmatch(lines[0]) if lines[1:] else None
    header = lines[0] if told is None else lines[1]
    named = {}
    for separator in _SEPARATORS:
        titles = {title.strip(' "').lower() for title in header.split(separator)}
        named[separator] = len(titles & set(required))
    best = max(named, key=lambda separator: named[separator])
    if told is not None and named[told[1]] == named[best]:
        best = told[1]
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
