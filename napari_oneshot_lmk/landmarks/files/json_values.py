"""Values of another program's JSON file, checked one by one.

Each function takes a value and its place in the file, which the LandmarkError names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.text_file import parse_number
from napari_oneshot_lmk.landmarks.landmarks import (
    Landmarks,
    Provenance,
    geometry_from_json,
    geometry_to_json,
)

Object = Mapping[str, Any]
OURS = "napari_oneshot_lmk"
"""The key under which this package notes what another program's format has no field for."""

_LONGEST = 40


def mapping(value: Any, where: str) -> Object:
    """Return a value that has to be an object."""
    if not isinstance(value, Mapping):
        raise _wrong(value, where, "an object")
    return value


def sequence(value: Any, where: str) -> Sequence[Any]:
    """Return a value that has to be a list."""
    if not isinstance(value, list):
        raise _wrong(value, where, "a list")
    return value


def number(value: Any, where: str) -> float:
    """Return a value that has to be a finite number; it may be written as text."""
    found = math.nan
    if isinstance(value, str):
        found = parse_number(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            found = float(value)
    if not math.isfinite(found):
        raise _wrong(value, where, "a finite number")
    return found


def whole_number(value: Any, where: str) -> int:
    """Return a value that has to be a whole number, ``600.0`` among them."""
    found = number(value, where)
    if not found.is_integer():
        raise _wrong(value, where, "a whole number")
    return int(found)


def text(value: Any, where: str) -> str:
    """Return a value that has to be a text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(value, where, "a text")
    try:
        return str(value)
    except ValueError as error:  # an integer of thousands of digits
        raise _wrong(0, where, "a text") from error


def identifier(value: Any, where: str) -> str:
    """Return an identifier: 1, 1.0, "1" and "1.0" are the same."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    plain = text(value, where).strip()
    whole = re.fullmatch(r"(\d+)\.0+", plain, re.ASCII)
    return whole[1] if whole else plain


def by_identifier(values: Sequence[Any], what: str) -> dict[str, Object]:
    """Return objects by their ``id``, a number or the same number as text."""
    found: dict[str, Object] = {}
    for count, value in enumerate(values, start=1):
        where = f"{what} {count}"
        each = mapping(value, where)
        key = identifier(each.get("id"), f"{where}: id")
        if key in found:
            raise LandmarkError(f"{where}: the id {key} stands twice", remedy="number them anew")
        found[key] = each
    return found


def is_nothing(value: Any) -> bool:
    """Say whether a value stands for no number: null, NaN, or a word for it."""
    if isinstance(value, str):
        return value.strip().upper() in ("", "NA", "N/A", "NAN", "NULL", "NONE")
    return value is None or (isinstance(value, float) and math.isnan(value))


def _wrong(value: Any, where: str, wanted: str) -> LandmarkError:
    shown = {dict: "an object", list: "a list", type(None): "null"}.get(type(value), "")
    if not shown:
        try:
            shown = " ".join(repr(value).split())
        except ValueError:
            shown = "a number of thousands of digits"
        shown = f"{shown[:_LONGEST]}…" if len(shown) > _LONGEST else shown
    return LandmarkError(f"{where} is {shown}, not {wanted}", remedy="save it again")


def note(landmarks: Landmarks) -> dict[str, Any]:
    """Return what other programs' formats have no field for: the image's grid, the provenance."""
    geometry = landmarks.geometry
    return {
        "geometry": None if geometry is None else geometry_to_json(geometry),
        "provenance": asdict(landmarks.provenance),
    }


def noted_geometry(ours: Object, key: str = "geometry") -> Geometry | None:
    """Undo `note`."""
    with noted_by_us():
        return None if ours.get(key) is None else geometry_from_json(ours[key])


def noted_provenance(ours: Object) -> Provenance:
    """Undo `note`."""
    with noted_by_us():
        return Provenance.from_json(ours.get("provenance") or {})


@contextmanager
def noted_by_us() -> Iterator[None]:
    """Turn what a damaged note of this package raises into one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LandmarkError(
            "what napari-oneshot-lmk has noted in it is damaged",
            remedy="save it again, or remove what stands under napari_oneshot_lmk",
        ) from error
