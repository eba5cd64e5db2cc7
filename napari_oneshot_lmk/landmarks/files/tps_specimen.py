"""One specimen of a TPS file as it stands in the text: landmarks, curves, KEY=VALUE fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files.text_file import at_line, parse_number

Position = tuple[float, float]
"""(x, y) as written: y upwards from the bottom of the image."""
_FIELD = re.compile(r"\s*([A-Za-z]\w*)\s*=(.*)")
# Whatever follows one of these up to the next KEY= is no landmark.
_PASSED_OVER = {**dict.fromkeys(("OUTLINES", "CHAIN"), "outlines"), "RADII": "radii"}


@dataclass
class Specimen:
    """One specimen; positions are None where missing."""

    line: int  # of its LM=, from 1
    positions: list[Position | None]
    curves: list[list[Position]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)  # key in capitals -> text
    passed_over: set[str] = field(default_factory=set)

    @property
    def comment(self) -> tuple[str, str]:
        """The first word of the comment, and the rest."""
        mark, _, content = self.fields.get("COMMENT", "").partition(" ")
        return mark, content


def split_specimens(text: str) -> list[Specimen]:
    """Return the specimens of a TPS file, one or more.

    A LandmarkError says in which line something makes no sense.
    """
    specimens: list[Specimen] = []
    rows = iter([pair for pair in enumerate(text.splitlines(), start=1) if pair[1].strip()])
    passing = ""
    for number, line in rows:
        with at_line(number):
            match = _FIELD.fullmatch(line)
            if match is None:
                if passing:
                    continue
                raise LandmarkError("is not KEY=VALUE", remedy="check the count in LM=")
            key, value = match[1].upper(), match[2].strip()
            # The points of an outline are announced like those of a curve.
            if key != "POINTS":
                passing = _PASSED_OVER.get(key, "")
            if key == "LM3":
                raise LandmarkError("holds 3-D landmarks", remedy="only LM= (2-D) can be read")
            if key != "LM" and not specimens:
                raise LandmarkError("stands before any LM=", remedy="begin with LM=")
            is_block = key == "LM" or (key == "POINTS" and not passing)
            block = _block(rows, line.strip(), value) if is_block else []
        if key == "LM":
            specimens.append(Specimen(number, [_position(*row) for row in block]))
        elif key == "POINTS" and not passing:
            if block:
                specimens[-1].curves.append([_curve_position(*row) for row in block])
        elif passing:
            if value != "0":
                specimens[-1].passed_over.add(passing)
        elif key != "CURVES":
            specimens[-1].fields.setdefault(key, value)
    if not any(specimen.positions or specimen.curves for specimen in specimens):
        raise LandmarkError("holds no landmarks", remedy="digitise them before it is saved")
    return specimens


def _block(rows: Iterator[tuple[int, str]], line: str, count: str) -> list[tuple[int, str]]:
    """Return the numbered lines of coordinates that a line LM= or POINTS= announces."""
    if not re.fullmatch(r"\d{1,9}", count, re.ASCII):
        raise LandmarkError(f"{line!r} counts nothing", remedy="correct it")
    block = list(islice(rows, int(count)))
    if len(block) < int(count):
        what = f"{line} announces {count} lines, but {len(block)} have come"
        raise LandmarkError(what, remedy="the file may be cut short: copy it again")
    return block


def _position(number: int, row: str) -> Position | None:
    """Return a landmark; None where it is not available, or has a negative number."""
    position = _numbers(number, row)
    return None if position is None or min(position) < 0 else position


def _curve_position(number: int, row: str) -> Position:
    position = _numbers(number, row)
    if position is None:
        what = f"line {number}: a curve has a point without a position"
        raise LandmarkError(what, remedy="remove the line, and count one less in POINTS=")
    return position


def _numbers(number: int, row: str) -> Position | None:
    parts = row.replace("\t", " ").split()
    # R writes NA where one of the two is missing, too.
    if len(parts) == 2 and any(part.upper() in ("NA", "NAN") for part in parts):
        return None
    # On some computers the tps programs write a decimal comma.
    numbers = [parse_number(part if "." in part else part.replace(",", ".")) for part in parts]
    if len(numbers) != 2 or any(map(math.isnan, numbers)):
        what = f"line {number}: is not two numbers"
        raise LandmarkError(what, remedy="the file may be cut short, or the count before it wrong")
    return numbers[0], numbers[1]
