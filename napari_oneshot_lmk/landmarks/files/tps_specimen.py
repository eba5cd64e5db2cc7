"""The specimens of a TPS file as they stand there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError

Position = tuple[float, float]
_FIELD = re.compile(r"\s*([A-Za-z]\w*)\s*=(.*)")
# Whatever follows one of these up to the next KEY= is no landmark.
_PASSED_OVER = {
    "CURVES": "curves",
    "POINTS": "curves",
    "OUTLINES": "outlines",
    "CHAIN": "outlines",
    "RADII": "radii",
}


@dataclass
class TpsSpecimen:
    """One specimen.

    Parameters
    ----------
    line : int
        Line of its LM=, from 1.
    positions : list of tuple of float, or None
        (x, y) as written, y upwards; None where the landmark is missing.
    fields : dict
        Key in capitals -> text.
    passed_over : set of str
        What else it holds.
    """

    line: int
    positions: list[Position | None] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)


def read_specimens(path: Path, text: str) -> list[TpsSpecimen]:
    """Take a TPS file apart.

    Raises
    ------
    LandmarkError
        Naming the line, if it is damaged or three-dimensional.
    """
    specimens: list[TpsSpecimen] = []
    lines = [pair for pair in enumerate(text.splitlines(), start=1) if pair[1].strip()]
    rows = iter(lines)
    passing = False
    for number, line in rows:
        match = _FIELD.fullmatch(line)
        if match is None:
            if passing:
                continue
            raise _wrong(path, number, "is not KEY=VALUE", "check the count in LM=")
        key, value = match[1].upper(), match[2].strip()
        passing = key in _PASSED_OVER
        if key == "LM3":
            raise _wrong(path, number, "holds 3-D landmarks", "only LM= (2-D) can be read")
        if key == "LM":
            specimen = TpsSpecimen(number)
            for place, row in _block(path, rows, number, line, value):
                specimen.positions.append(_position(path, place, row))
            specimens.append(specimen)
        elif not specimens:
            raise _wrong(path, number, "stands before any LM=", "begin with LM=")
        elif not passing:
            specimens[-1].fields.setdefault(key, value)
        elif value != "0":
            specimens[-1].passed_over.add(_PASSED_OVER[key])
    if not any(specimen.positions for specimen in specimens):
        raise LandmarkError(
            "holds no landmarks", file=path, remedy="digitise them before it is saved"
        )
    return specimens


def _block(
    path: Path, rows: Iterator[tuple[int, str]], number: int, line: str, value: str
) -> Iterator[tuple[int, str]]:
    """Yield the lines of coordinates that a count announces."""
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise _wrong(path, number, f"{line.strip()!r} counts nothing", "correct it")
    for done in range(int(value)):
        row = next(rows, None)
        if row is None:
            raise _wrong(
                path,
                number,
                f"{line.strip()} announces {value} lines, but {done} have come",
                "the file may be cut short: copy it again",
            )
        yield row


def _position(path: Path, number: int, row: str) -> Position | None:
    parts = row.replace("\t", " ").split()
    # R writes NA where one of the two is missing, too.
    if len(parts) == 2 and any(part.upper() in ("NA", "NAN") for part in parts):
        return None
    try:
        x, y = (_number(part) for part in parts)
    except ValueError:
        x = y = math.nan
    if not math.isfinite(x) or not math.isfinite(y):
        raise _wrong(
            path,
            number,
            "is not two numbers",
            "the file may be cut short, or the count in LM= wrong",
        )
    return None if x < 0 or y < 0 else (x, y)


def _number(text: str) -> float:
    """Read a number; on some computers the tps programs write a decimal comma."""
    whole = text.count(",") == 1 and "." not in text
    return float(text.replace(",", ".") if whole else text)


def _wrong(path: Path, number: int, what: str, remedy: str) -> LandmarkError:
    return LandmarkError(f"line {number}: {what}", file=path, remedy=remedy)
