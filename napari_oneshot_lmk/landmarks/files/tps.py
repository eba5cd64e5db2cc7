"""Landmarks for morphometrics, ``.tps``: as tpsDig writes and geomorph reads them.

x counts from the left edge of the image and y from its **bottom** edge, upwards, in pixels;
the centre of the first pixel of an image of H rows is (0.5, H − 0.5). What TPS has no field
for, such as names, stands as JSON in a COMMENT line. SCALE is a number without a unit: it is
written where the pixels are square, and not read as millimetres. Curves (CURVES=, POINTS=)
are kept; outlines are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.curve import Curve
from napari_oneshot_lmk.landmarks.files.base import (
    LandmarkFormat,
    ReadContext,
    filled_fields,
    has_spacing,
)
from napari_oneshot_lmk.landmarks.files.text_file import at_line, head_of, read_text
from napari_oneshot_lmk.landmarks.files.tps_specimen import Position, Specimen, split_specimens
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State

SUFFIX = ".tps"
MARK = "napari-oneshot-lmk"
_MISSING = "-1 -1"
# A thousandth of a length is less than anybody digitises to.
_SQUARE = 1e-3


# -- writing --------------------------------------------------------------------


def write_tps(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write one specimen per image, all with the same landmarks in the same order.

    An OutputError says if the size of an image is unknown, or a landmark lies off its image
    to the left or below, where TPS would call it missing.
    """
    names = tuple(dict.fromkeys(name for la in images for name in la.names))
    specimens = [_specimen_lines(number, la, names) for number, la in enumerate(images)]
    path.write_text("\n".join(chain(*specimens)) + "\n", encoding="utf-8")


def _specimen_lines(number: int, landmarks: Landmarks, names: Sequence[str]) -> list[str]:
    geometry = landmarks.geometry
    if geometry is None:
        raise OutputError(
            "TPS counts y from the bottom of the image, but the height of "
            f"{landmarks.image!r} is unknown",
            remedy="convert it together with its image (--image, --images)",
        )
    if landmarks.image != " ".join(landmarks.image.splitlines()):
        what = f"the image name {landmarks.image!r} has several lines"
        raise OutputError(what, remedy="rename the image")
    spacing = geometry.spacing_mm_yx
    comment: dict[str, Any] = {
        "landmarks": list(names),
        "absent": [p.name for p in landmarks if p.state is State.ABSENT],
        "unlisted": [name for name in names if name not in landmarks],
        "image_shape_yx": geometry.image_shape_yx,
        "spacing_mm_yx": spacing,
    }
    if sources := {p.name: p.source for p in landmarks if p.source is not None}:
        comment["sources"] = sources
    if authors := {p.name: p.author for p in landmarks if p.author}:
        comment["authors"] = authors
    if landmarks.curves:
        comment["curves"] = [curve.name for curve in landmarks.curves]
    height = geometry.image_shape_yx[0]
    lines = [
        f"LM={len(names)}",
        *(_position_line(name, landmarks, height) for name in names),
        *_curve_lines(landmarks.curves, height),
        f"IMAGE={landmarks.image}",
        f"ID={number}",
        f"COMMENT={MARK} {json.dumps(comment)}",
    ]
    if spacing is not None and _is_square(spacing):
        lines.append(f"SCALE={sum(spacing) / 2!r}")
    return lines


def _position_line(name: str, landmarks: Landmarks, height: int) -> str:
    position_yx = landmarks[name].position_yx if name in landmarks else None
    if position_yx is None:
        return _MISSING
    x, y = _to_tps(position_yx, height)
    if x < 0 or y < 0:
        raise OutputError(
            f"landmark {name!r} lies outside {landmarks.image!r}, which TPS would take for missing",
            remedy="move it onto the image, or write a .csv file",
        )
    return f"{x!r} {y!r}"


def _curve_lines(curves: Sequence[Curve], height: int) -> list[str]:
    lines = [f"CURVES={len(curves)}"] if curves else []
    for curve in curves:
        lines.append(f"POINTS={len(curve)}")
        for point_yx in curve.points_yx:
            x, y = _to_tps(point_yx, height)
            lines.append(f"{x!r} {y!r}")
    return lines


def _to_tps(position_yx: tuple[float, float], height: int) -> Position:
    return position_yx[1] + 0.5, height - (position_yx[0] + 0.5)


def _from_tps(position: Position, height: int) -> tuple[float, float]:
    x, y = position
    return height - y - 0.5, x - 0.5


def _is_square(spacing_mm_yx: tuple[float, float]) -> bool:
    row_mm, column_mm = spacing_mm_yx
    return abs(row_mm - column_mm) <= _SQUARE * row_mm


# -- reading --------------------------------------------------------------------


@dataclass(frozen=True)
class _Noted:
    """What our own comment says of a specimen; nothing where there is none."""

    names: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    geometry: Geometry | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    authors: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[str, ...] = ()


def read_tps(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read every specimen; outlines are passed over."""
    specimens = split_specimens(read_text(path, tell=context.tell))
    skipped = sorted(set().union(*(specimen.passed_over for specimen in specimens)))
    if skipped:
        context.tell(f"{', '.join(skipped)} are passed over, only landmarks and curves are read")
    found: dict[str, Landmarks] = {}
    zeros: list[str] = []
    for specimen in specimens:
        with at_line(specimen.line):
            landmarks = _landmarks(path, specimen, context, alone=len(specimens) == 1)
            if landmarks.image in found:
                what = f"image {landmarks.image!r} stands twice"
                raise LandmarkError(what, remedy="keep one specimen for each image")
        found[landmarks.image] = landmarks
        if (0.0, 0.0) in specimen.positions and specimen.comment[0] != MARK:
            zeros.append(landmarks.image)
    if zeros:
        more = f" and {len(zeros) - 1} more" if zeros[1:] else ""
        context.tell(
            f"landmarks at 0 0 of {zeros[0]!r}{more} are taken for not "
            "digitised, as geomorph writes them"
        )
    if any(
        "SCALE" in specimen.fields and not has_spacing(landmarks)
        for specimen, landmarks in zip(specimens, found.values(), strict=True)
    ):
        context.tell(
            "SCALE= names no unit, so the pixel spacing stays unknown (give it with --spacing)"
        )
    return tuple(found.values())


def _landmarks(path: Path, specimen: Specimen, context: ReadContext, *, alone: bool) -> Landmarks:
    image = specimen.fields.get("IMAGE", "").replace("\\", "/") or specimen.fields.get("ID", "")
    if not image and not alone:
        what = "the specimen has neither IMAGE= nor ID="
        raise LandmarkError(what, remedy="add the image's name")
    image = image or path.name[: -len(SUFFIX)]
    noted = _noted(*specimen.comment)
    geometry = _geometry(context.geometry_of(image), noted.geometry)
    if geometry is None:
        raise LandmarkError(
            f"y counts from the bottom, but the height of image {image!r} is unknown",
            remedy=f"name the image: oneshot-lmk convert {path.name} found.csv --image IMAGE "
            "(or --images FOLDER)",
        )
    count = len(specimen.positions)
    names = noted.names or context.names or tuple(str(n + 1) for n in range(count))
    if len(names) != count:
        what = f"there are {count} landmarks but {len(names)} names"
        raise LandmarkError(what, remedy="correct the COMMENT= line or the list of names")
    height = geometry.image_shape_yx[0]
    points = []
    for name, position in zip(names, specimen.positions, strict=True):
        position_yx, state = None, State.PLACED
        # geomorph's digitize2d writes 0 0, the corner, for what is still to be done.
        if position is not None and (position != (0.0, 0.0) or noted.names):
            position_yx = _from_tps(position, height)
        elif name in noted.unlisted:
            continue
        else:
            state = State.ABSENT if name in noted.absent else State.SKIPPED
        source, author = noted.sources.get(name), noted.authors.get(name, "")
        points.append(Landmark(name, position_yx, state, source=source, author=author))
    curves = _curves(specimen, noted.curves, height)
    return Landmarks(tuple(points), image, geometry, curves=curves)


def _curves(specimen: Specimen, noted: Sequence[str], height: int) -> tuple[Curve, ...]:
    """Name the curves as our comment does, else by their number."""
    count = len(specimen.curves)
    names = noted if len(noted) == count else [f"curve {n + 1}" for n in range(count)]
    return tuple(
        Curve(name, tuple(_from_tps(position, height) for position in positions))
        for name, positions in zip(names, specimen.curves, strict=True)
    )


def _geometry(given: Geometry | None, noted: Geometry | None) -> Geometry | None:
    """Take the given geometry where it is about the noted grid: it knows more."""
    if given is None or noted is None:
        return given or noted
    if given.image_shape_yx != noted.image_shape_yx:
        return noted
    return given.with_spacing(given.spacing_mm_yx or noted.spacing_mm_yx)


def _noted(mark: str, content: str) -> _Noted:
    if mark != MARK:
        return _Noted()
    try:
        noted: dict[str, Any] = json.loads(content)
        rows, columns = noted["image_shape_yx"]
        return _Noted(
            tuple(str(name) for name in noted["landmarks"]),
            frozenset(noted["absent"]),
            frozenset(noted["unlisted"]),
            Geometry((rows, columns)).with_spacing(noted["spacing_mm_yx"]),
            {n: Source(s) for n, s in dict(noted.get("sources", {})).items()},
            {n: str(a) for n, a in dict(noted.get("authors", {})).items()},
            tuple(str(name) for name in noted.get("curves", ())),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        what = f"the comment of {MARK} is damaged"
        raise LandmarkError(what, remedy="save the file again") from error


def _recognise(path: Path) -> bool:
    return head_of(path).lstrip().upper().startswith(("LM=", "LM3="))


def _unsupported(images: Collection[Landmarks]) -> tuple[str, ...]:
    held = ("sources", "pixel spacing", "size of the image")
    fields = tuple(name for name in filled_fields(images) if name not in held)
    spacings = [la.geometry.spacing_mm_yx for la in images if la.geometry is not None]
    if any(mm is not None and not _is_square(mm) for mm in spacings):
        # Only our own comment holds it: other programs take pixels for square.
        fields += ("for other programs, that pixels are not square",)
    return fields


TPS = LandmarkFormat(
    "tpsDig",
    SUFFIX,
    _recognise,
    read_tps,
    write_tps,
    unsupported=_unsupported,
    holds_curves=True,
)
