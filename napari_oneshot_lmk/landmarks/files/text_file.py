"""Text, tables and JSON of other programs.

Every reader raises a LandmarkError, without the file's name, for what it cannot read.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError, OneshotError

HEAD_BYTES = 4096
"""Enough for the head of any text format here."""
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS = {
    "utf-16-le": (False, True, False, True),
    "utf-16-be": (True, False, True, False),
    "utf-32-le": (False, True, True, True),
    "utf-32-be": (True, True, True, False),
}
"""Which bytes of four are zero in most of a text without a mark."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EMPTY = ("", "NA", "N/A", "#N/A", "NAN", "NULL", "NONE", "-")
"""What spreadsheet programs, R and pandas write where there is no number."""
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=([,;\t])\"?\s*", re.IGNORECASE)
"""Excel's first line that says what separates the columns."""


def parse_number(text: str) -> float:
    """Return a finite number, NaN where a text is none.

    ``float`` takes "inf" and "1_0" too, which are mistakes in a file of people.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


# -- text -----------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """Return what is in a file that is not empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise LandmarkError(what, remedy="check the path") from error
    if not data.strip():
        raise LandmarkError("is empty", remedy="save it again")
    return data


def read_text(path: Path, *, save_as: str = "", tell: Callable[[str], None] | None = None) -> str:
    """Return the text of a file: UTF-8, -16 or -32, with or without a byte-order mark.

    Else it is taken for Western European (Windows-1252), and ``tell`` is told that it was.
    ``save_as`` is what to save it as where it is no text.
    """
    data = read_bytes(path)
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        text = data.decode("cp1252", "replace") if encoding == "utf-8" else "\ufffd"
        if any(a == "\ufffd" or (a < " " and not a.isspace()) for a in text):
            remedy = f"save it as {save_as or 'UTF-8'}"
            raise LandmarkError("is not UTF-8 text", remedy=remedy) from error
        if tell is not None:
            tell(
                "is not UTF-8 text and was read as Western European "
                "(Windows-1252), so letters with accents may be others"
            )
    if not text.strip():
        raise LandmarkError("is empty", remedy="save it again")
    if "\0" in text:
        raise LandmarkError("is not a text file", remedy=f"save it as {save_as or 'text'}")
    return text


@contextmanager
def at_line(number: int) -> Iterator[None]:
    """Have errors name the line, from 1, that they are about."""
    try:
        yield
    except OneshotError as error:
        raise type(error)(f"line {number}: {error.what}", remedy=error.remedy) from error


def head_bytes(path: Path) -> bytes:
    """Return the beginning of a file; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def head_of(path: Path) -> str:
    """Return the beginning of a file as text, whatever is in it."""
    return decode_anyway(head_bytes(path))


def decode_anyway(data: bytes) -> str:
    """Return bytes as text, whatever is in them; for a first look only."""
    return data.decode(_encoding(data), errors="replace")


def _encoding(data: bytes) -> str:
    """Guess the encoding of a text; UTF-8 where nothing speaks against it."""
    # Spreadsheet programs call UTF-16 "Unicode text" and mark their UTF-8.
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:HEAD_BYTES]
    zeros = [start[place::4].count(0) * 4 / max(len(start), 4) for place in range(4)]
    # Letters of Latin have zeros in their other bytes, in one order or the other.
    for encoding, pattern in _ZEROS.items():
        if all(z > 0.5 if high else z < 0.1 for z, high in zip(zeros, pattern, strict=True)):
            return encoding
    return "utf-8"


# -- JSON -----------------------------------------------------------------------


def read_json(path: Path, tell: Callable[[str], None] | None = None) -> Any:
    """Return what a JSON file holds; no object in it may name a value twice."""
    text = read_text(path, tell=tell)
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise LandmarkError("is not JSON, it may be cut short", remedy="save it again") from error
    except RecursionError as error:
        what = "is JSON of more levels than any landmark file has"
        raise LandmarkError(what, remedy="choose another file") from error
    except ValueError as error:
        what = "holds a number of thousands of digits"
        raise LandmarkError(what, remedy="save it again") from error


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that people can read; numbers keep their full precision."""
    content = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(content + "\n", encoding="utf-8")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of two values of one name neither can be trusted."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LandmarkError(f"names {twice!r} twice in one object", remedy="remove one of the two")
    return values


# -- tables ---------------------------------------------------------------------


@dataclass(frozen=True)
class TableRow:
    """One row of a table."""

    line: int
    """Number of its first line in the file, from 1."""
    cells: dict[str, str]
    """Column title, in lower case -> text."""
    decimal_comma: bool
    """Commas do not separate columns, so one in a number is a decimal comma."""

    def text(self, column: str) -> str:
        """Return a cell without surrounding blanks; "" where there is none."""
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float | None:
        """Return a finite number, or None where the cell is empty or says NA."""
        cell = self.text(column)
        if cell.upper() in _EMPTY:
            return None
        value = parse_number(self.plain(column))
        if math.isnan(value):
            raise self.wrong(f"{column} is {cell!r}, which is not a number", "correct it")
        return value

    def rounding(self, column: str) -> float:
        """Return half of the last digit of a number, which it may be off by; 0 where it is none."""
        digits, _, exponent = self.plain(column).lower().partition("e")
        if not _NUMBER.fullmatch(digits):
            return 0.0
        return 0.5 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))

    def plain(self, column: str) -> str:
        """Return a cell that holds numbers, decimal commas turned to points."""
        cell = self.text(column)
        if not self.decimal_comma or "." in cell:
            return cell
        return " ".join(p.replace(",", ".") if p.count(",") == 1 else p for p in cell.split())

    def wrong(self, what: str, remedy: str) -> LandmarkError:
        """Return an error that names the line."""
        return LandmarkError(f"line {self.line}: {what}", remedy=remedy)


def titles_of(text: str) -> set[str]:
    """Return the column titles at the beginning of a text, in lower case."""
    for line in text.splitlines():
        if line.strip() and not _SEPARATOR_LINE.fullmatch(line):
            parts = re.split(f"[{_SEPARATORS}]", line.lower())
            return {title.strip(' "') for title in parts}
    return set()


def table_rows(
    path: Path,
    required: Sequence[str],
    once: Sequence[str],
    tell: Callable[[str], None] | None = None,
) -> Iterator[TableRow]:
    """Read a table separated by commas, semicolons or tabs; empty lines are passed over.

    The first line must name the ``required`` columns, in any order and case, and may name
    those of ``once`` once only.
    """
    text = read_text(path, save_as="CSV UTF-8", tell=tell)
    separator = _separator(text, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for fields in reader:
            joined = separator.join(fields)
            is_separator_line = not columns and _SEPARATOR_LINE.fullmatch(joined)
            if is_separator_line or not joined.strip(separator + " \t\n\r"):
                pass
            elif not columns:
                columns = _columns(fields, required, once)
            else:
                yield _row(line, columns, fields, separator)
            line = reader.line_num + 1
    except csv.Error as error:
        what = f"line {line} is not a line of a table ({error})"
        raise LandmarkError(what, remedy="save it again as CSV") from error


def _row(line: int, columns: Sequence[str], fields: Sequence[str], separator: str) -> TableRow:
    row = TableRow(line, dict(zip(columns, fields, strict=False)), separator != ",")
    if len(fields) < len(columns) or any(fields[len(columns) :]):
        remedy = "complete or remove the line"
        if separator == "," and len(fields) > len(columns):
            remedy = "write numbers with a dot, not a comma"
        raise row.wrong(f"{len(fields)} fields where the first line has {len(columns)}", remedy)
    return row


def _separator(text: str, required: Sequence[str]) -> str:
    """Find the separator by which the first line names most required columns."""
    lines = [line for line in text.splitlines() if line.strip()]
    stated = _SEPARATOR_LINE.fullmatch(lines[0]) if lines[1:] else None
    header = lines[0] if stated is None else lines[1]
    named = {
        separator: len({t.strip(' "').lower() for t in header.split(separator)} & set(required))
        for separator in _SEPARATORS
    }
    best = max(_SEPARATORS, key=named.__getitem__)
    if stated is not None and named[stated[1]] == named[best]:
        best = stated[1]
    if not named[best] and all(title in header.lower() for title in required):
        what = "the columns are not separated by commas, semicolons or tabs"
        raise LandmarkError(what, remedy="save it again as CSV")
    return best


def _columns(titles: Sequence[str], required: Sequence[str], once: Sequence[str]) -> list[str]:
    columns = [title.strip().lower() for title in titles]
    missing = [title for title in required if title not in columns]
    if missing:
        what = f"has no column {', '.join(missing)} in its first line"
        raise LandmarkError(what, remedy=f"a landmark table needs {','.join(required)}")
    for title in once:
        if columns.count(title) > 1:
            raise LandmarkError(f"has two columns {title}", remedy="remove one of the two")
    return columns
