"""The text files of the ISBI 2015 cephalometric challenge, ``.txt``.

One file per image: 19 lines ``x,y`` (column, row) in the challenge's order, then in the
original files eight lines with a class of the skull each. Whole numbers are taken as pixel
centres.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.landmarks.files.base import (
    PLACEHOLDERS,
    LandmarkFormat,
    ReadContext,
    filled_fields,
    only_image,
    without_zeros,
)
from napari_oneshot_lmk.landmarks.files.text_file import at_line, head_of, read_text
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State

SUFFIX = ".txt"
DESCRIPTIONS = {
    "sella": "centre of the pituitary fossa",
    "nasion": "front end of the suture between frontal and nasal bone",
    "orbitale": "lowest point of the lower rim of the orbit",
    "porion": "highest point of the bony ear canal",
    "subspinale_A": "deepest point of the curve in front of the upper jaw",
    "supramentale_B": "deepest point of the curve in front of the lower jaw",
    "pogonion": "foremost point of the bony chin",
    "menton": "lowest point of the bony chin",
    "gnathion": "point of the bony chin halfway from pogonion to menton",
    "gonion": "point of the jaw angle farthest back and down",
    "lower_incisal_incision": "tip of the foremost lower incisor",
    "upper_incisal_incision": "tip of the foremost upper incisor",
    "upper_lip": "foremost point of the upper lip",
    "lower_lip": "foremost point of the lower lip",
    "subnasale": "where the base of the nose meets the upper lip",
    "soft_tissue_pogonion": "foremost point of the skin over the chin",
    "posterior_nasal_spine": "rear end of the bony palate",
    "anterior_nasal_spine": "front tip of the bony palate",
    "articulare": "where the rear edge of the jaw crosses the base of the skull",
}
"""The challenge's landmarks in its order, name -> description in our own words."""
NAMES = tuple(DESCRIPTIONS)
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
_POSITION = re.compile(f"{_NUMBER},{_NUMBER}", re.ASCII)
_NOTHING = re.compile(r"\s*(na|nan|null|none)?\s*,\s*(na|nan|null|none)?\s*", re.I)
_CLASS = re.compile(r"\s*\d{1,2}\s*", re.ASCII)


def write_isbi(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write the 19 landmarks of one cephalogram, in the challenge's order.

    An OutputError says if there is not exactly one image, or its landmarks are others.
    """
    landmarks = only_image(images, "a file of the ISBI 2015 challenge")
    obstacle = _obstacle(landmarks)
    if obstacle:
        raise OutputError(
            "a file of the ISBI 2015 challenge holds the 19 landmarks of its list, all "
            f"of them placed, but here {obstacle}",
            remedy="write a .csv file",
        )
    places_yx = (landmarks[name].position_yx or () for name in NAMES)
    lines = (",".join(map(_text, reversed(yx))) for yx in places_yx)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _obstacle(landmarks: Landmarks) -> str:
    """Say what keeps landmarks from being written, "" where nothing does."""
    if len(landmarks) != len(NAMES):
        return f"there are {len(landmarks)}"
    for name in NAMES:
        if name not in landmarks:
            return f"{name} is not among them"
        if landmarks[name].state is not State.PLACED:
            return f"{name} has no position"
        if landmarks[name].position_yx in PLACEHOLDERS:
            return f"{name} lies where the file says that it is not placed"
    if without_zeros(landmarks.points)[1]:
        return "several lie at 0,0, where the file says that nobody placed them"
    return ""


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def read_isbi(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read the 19 landmarks; the classes that may follow are passed over."""
    numbered = enumerate(read_text(path, tell=context.tell).splitlines(), start=1)
    lines = [(number, line) for number, line in numbered if line.strip()]
    points = []
    for name, (number, line) in zip(NAMES, lines, strict=False):
        with at_line(number):
            points.append(_landmark(name, line))
    if len(points) < len(NAMES):
        raise LandmarkError(
            f"line {lines[-1][0]}: is the last, but only {len(points)} of {len(NAMES)} "
            "landmarks have come",
            remedy="it may be cut short: copy it again",
        )
    rest = lines[len(NAMES) :]
    for number, line in rest:
        if not _CLASS.fullmatch(line):
            what = f"line {number}: is none of the classes that follow the 19 landmarks"
            raise LandmarkError(what, remedy="write other lists of landmarks as a .csv file")
    if rest:
        context.tell("the classes below the landmarks are passed over")
    placed, zeros = without_zeros(points)
    if zeros:
        context.tell(f"{zeros} landmarks at 0,0 are taken for not placed")
    image = path.name[: -len(SUFFIX)]
    return (Landmarks(placed, image, context.geometry_of(image)),)


def _landmark(name: str, line: str) -> Landmark:
    if _NOTHING.fullmatch(line):
        return Landmark(name, None, State.SKIPPED)
    match = _POSITION.fullmatch(line)
    if match is None or not all(map(math.isfinite, map(float, match.groups()))):
        raise LandmarkError(
            "is not x,y", remedy="a file of the ISBI 2015 challenge begins with 19 such lines"
        )
    position_yx = float(match[2]), float(match[1])
    is_placed = position_yx not in PLACEHOLDERS
    return Landmark(name, position_yx) if is_placed else Landmark(name, None, State.SKIPPED)


def _recognise(path: Path) -> bool:
    lines = [line for line in head_of(path).splitlines() if line.strip()]
    return len(lines) >= len(NAMES) and all(
        _POSITION.fullmatch(line) or _NOTHING.fullmatch(line) for line in lines[: len(NAMES)]
    )


ISBI_TXT = LandmarkFormat(
    "ISBI 2015 cephalogram",
    SUFFIX,
    _recognise,
    read_isbi,
    write_isbi,
    one_image=True,
    shared=True,
    unsupported=filled_fields,
)
