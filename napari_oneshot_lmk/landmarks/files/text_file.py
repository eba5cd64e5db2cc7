"""Text files of other programs, or one sentence why they cannot be read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError, OneshotError

LOOK_AT_BYTES = 4096
"""Enough for the head of any text format here."""
_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
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


def read_bytes(path: Path) -> bytes:
    """Return what is in a file.

    Raises
    ------
    LandmarkError
        If it cannot be opened, or is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LandmarkError(
            f"cannot be read ({error.strerror})", file=path, remedy="check the path"
        ) from error
    if not data.strip():
        raise LandmarkError("is empty", file=path, remedy="save it again")
    return data


def read_text(path: Path, *, save_as: str = "", tell: Callable[[str], None] | None = None) -> str:
    """Return the text of a file.

    Parameters
    ----------
    path : Path
        UTF-8, UTF-16 or UTF-32, with or without a byte-order mark, else
        Western European (Windows-1252).
    save_as : str
        What to save it as where it is no text, for the remedy.
    tell : callable, optional
        Is told where the text is Western European only by supposition.

    Raises
    ------
    LandmarkError
        If it cannot be opened, is empty, or is no text.
    """
    data = read_bytes(path)
    encoding = _encoding(data)
    try:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            if encoding != "utf-8":
                raise
            text = data.decode("cp1252")
            if any(ord(letter) < 32 and not letter.isspace() for letter in text):
                raise
            if tell is not None:
                tell(
                    f"{path}: is not UTF-8 text and was read as Western European "
                    "(Windows-1252), so letters with accents may be others"
                )
    except UnicodeDecodeError as error:
        raise LandmarkError(
            "is not UTF-8 text", file=path, remedy=f"save it as {save_as or 'UTF-8'}"
        ) from error
    if not text.strip():
        raise LandmarkError("is empty", file=path, remedy="save it again")
    if "\0" in text:
        raise LandmarkError(
            "is not a text file", file=path, remedy=f"save it as {save_as or 'text'}"
        )
    return text


def read_json(path: Path, tell: Callable[[str], None] | None = None) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    LandmarkError
        If it cannot be opened, is no JSON, or says one thing twice.
    """
    text = read_text(path, tell=tell)
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise LandmarkError(
            "is not JSON, it may be cut short", file=path, remedy="save it again"
        ) from error
    except RecursionError as error:
        raise LandmarkError(
            "is JSON of more levels than any landmark file has",
            file=path,
            remedy="choose another file",
        ) from error
    except OneshotError as error:
        raise error.about(path) from error
    except ValueError as error:
        raise LandmarkError(
            "holds a number of thousands of digits", file=path, remedy="save it again"
        ) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of two values of one name neither can be trusted."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LandmarkError(f"names {twice!r} twice in one object", remedy="remove one of the two")
    return values


def head_of(path: Path, count: int = LOOK_AT_BYTES) -> str:
    """Return the beginning of a file as text, whatever is in it."""
    try:
        with path.open("rb") as file:
            data = file.read(count)
    except OSError:
        return ""
    return decoded(data)


def decoded(data: bytes) -> str:
    """Return bytes as text, whatever is in them; for a first look only."""
    return data.decode(_encoding(data), errors="replace")


def _encoding(data: bytes) -> str:
    """Guess the encoding of a text; UTF-8 where nothing speaks against it."""
    # Spreadsheet programs call UTF-16 "Unicode text" and mark their UTF-8.
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:LOOK_AT_BYTES]
    zeros = [start[place::4].count(0) * 4 / max(len(start), 4) for place in range(4)]
    # Letters of Latin have zeros in their other bytes, in one order or the other.
    for encoding, pattern in _ZEROS.items():
        if all(
            (z > 0.5) == high and (z < 0.1 or high) for z, high in zip(zeros, pattern, strict=True)
        ):
            return encoding
    return "utf-8"
