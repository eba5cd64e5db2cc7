"""The text files of the ISBI 2015 cephalometric challenge, ``.txt``.

One file an image: 19 lines ``x,y`` in the challenge's order, then in the original
files eight lines with a class of the skull each. x counts columns, y rows, from
the top left; no half pixel is known of, so the numbers are taken as ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.landmarks.files.base import (
    FRAME,
    PLACEHOLDERS,
    SIZE,
    SOURCES,
    SPACING,
    TEXTS,
    THOUGHTS,
    Known,
    LandmarkFormat,
    present,
    without_zeros,
)
from napari_oneshot_lmk.landmarks.files.text_file import head_of, read_text
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM

SUFFIX = ".txt"
NAMES = ISBI19_CEPHALOGRAM.names
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
_POSITION = re.compile(f"{_NUMBER},{_NUMBER}", re.ASCII)
_NOTHING = re.compile(r"\s*(na|nan|null|none)?\s*,\s*(na|nan|null|none)?\s*", re.I)
_CLASS = re.compile(r"\s*\d{1,2}\s*", re.ASCII)


def write_isbi(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write the 19 landmarks of one cephalogram, in the challenge's order.

    Raises
    ------
    OutputError
        If there is not exactly one image, or its landmarks are others.
    """
    if len(images) != 1:
        raise OutputError(
            f"a file of the ISBI 2015 challenge holds one image, not {len(images)}",
            remedy="write a .csv file, or one file for each image",
        )
    (landmarks,) = images
    what = ""
    if len(landmarks) != len(NAMES):
        what = f"there are {len(landmarks)}"
    for name in NAMES:
        if name not in landmarks:
            what = what or f"{name} is not among them"
        elif landmarks[name].state is not State.PLACED:
            what = what or f"{name} has no position"
        elif landmarks[name].position_yx in PLACEHOLDERS:
            what = what or f"{name} lies where the file says that it is not placed"
    if without_zeros(landmarks.points)[1]:
        what = what or "several lie at 0,0, where the file says that nobody placed them"
    if what:
        raise OutputError(
            "a file of the ISBI 2015 challenge holds the 19 landmarks of its list, all "
            f"of them placed, but here {what}",
            remedy="write a .csv file",
        )
    lines = []
    for name in NAMES:
        position_yx = landmarks[name].position_yx
        assert position_yx is not None  # all are placed
        lines.append(f"{_text(position_yx[1])},{_text(position_yx[0])}\n")
    path.write_text("".join(lines), encoding="ascii")


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def read_isbi(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read the 19 landmarks; the classes that may follow are passed over.

    Raises
    ------
    LandmarkError
        Naming the line, if it is no such file.
    """
    lines = [
        (number, line)
        for number, line in enumerate(read_text(path, tell=known.tell).splitlines(), start=1)
        if line.strip()
    ]
    points = []
    for name, (number, line) in zip(NAMES, lines, strict=False):
        if _NOTHING.fullmatch(line):
            points.append(Landmark(name, None, State.SKIPPED))
            continue
        match = _POSITION.fullmatch(line)
        if match is None or not all(math.isfinite(float(n)) for n in match.groups()):
            raise LandmarkError(
                f"line {number}: is not x,y",
                file=path,
                remedy="a file of the ISBI 2015 challenge begins with 19 such lines",
            )
        position_yx = float(match[2]), float(match[1])
        if position_yx in PLACEHOLDERS:
            points.append(Landmark(name, None, State.SKIPPED))
        else:
            points.append(Landmark(name, position_yx))
    if len(points) < len(NAMES):
        raise LandmarkError(
            f"line {lines[-1][0]}: is the last, but only {len(points)} of {len(NAMES)} "
            "landmarks have come",
            file=path,
            remedy="it may be cut short: copy it again",
        )
    rest = lines[len(NAMES) :]
    for number, line in rest:
        if not _CLASS.fullmatch(line):
            raise LandmarkError(
                f"line {number}: is none of the classes that follow the 19 landmarks",
                file=path,
                remedy="write other lists of landmarks as a .csv file",
            )
    if rest:
        known.tell(f"{path}: the classes below the landmarks are passed over")
    placed, zeros = without_zeros(points)
    if zeros:
        known.tell(f"{path}: {zeros} landmarks at 0,0 are taken for not placed")
    image = path.name[: -len(SUFFIX)]
    return (Landmarks(placed, image, known.geometry_of(image)),)


def _sniff(path: Path) -> bool:
    lines = [line for line in head_of(path).splitlines() if line.strip()]
    return len(lines) >= len(NAMES) and all(
        _POSITION.fullmatch(line) or _NOTHING.fullmatch(line) for line in lines[: len(NAMES)]
    )


def _lost(images: Collection[Landmarks]) -> tuple[str, ...]:
    return present(images, (*THOUGHTS, SOURCES, *TEXTS, SPACING, FRAME, SIZE))


ISBI_TXT = LandmarkFormat(
    SUFFIX,
    "ISBI 2015 cephalogram",
    read_isbi,
    write_isbi,
    _sniff,
    one_image=True,
    shared=True,
    lost=_lost,
)
