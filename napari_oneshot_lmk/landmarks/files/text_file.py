"""Text files of other programs, or one sentence why they cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError

LOOK_AT_BYTES = 4096
"""Enough for the head of any text format here."""


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


def read_text(path: Path, *, fallback: str | None = None, save_as: str = "") -> str:
    """Return the text of a file.

    Parameters
    ----------
    path : Path
        UTF-8 with or without a byte-order mark, or UTF-16 with one.
    fallback : str, optional
        Encoding of files that are none of these.
    save_as : str
        What to save it as where it is no text, for the remedy.

    Raises
    ------
    LandmarkError
        If it cannot be opened, is empty, or is no text.
    """
    data = read_bytes(path)
    # Spreadsheet programs call UTF-16 "Unicode text" and mark their UTF-8.
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        try:
            text = data.decode("utf-16" if wide else "utf-8-sig")
        except UnicodeDecodeError:
            if fallback is None or wide:
                raise
            text = data.decode(fallback)
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


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    LandmarkError
        If it cannot be opened or is no JSON.
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LandmarkError(
            "is not JSON, it may be cut short", file=path, remedy="save it again"
        ) from error


def head_of(path: Path, count: int = LOOK_AT_BYTES) -> str:
    """Return the beginning of a file as text, whatever is in it."""
    try:
        with path.open("rb") as file:
            data = file.read(count)
    except OSError:
        return ""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
