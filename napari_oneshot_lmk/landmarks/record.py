"""Landmarks and geometry as plain values, for the files that are JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, Provenance


def landmarks_to_record(landmarks: Landmarks) -> dict[str, Any]:
    """Return everything but the geometry; numbers keep their full precision."""
    return {
        "image": landmarks.image,
        "provenance": asdict(landmarks.provenance),
        "points": [landmark_to_record(point) for point in landmarks],
    }


def landmarks_from_record(record: Mapping[str, Any], geometry: Geometry | None) -> Landmarks:
    """Undo :func:`landmarks_to_record`.

    Raises
    ------
    LandmarkError
        If a value is missing or of the wrong kind.
    """
    try:
        return Landmarks(
            tuple(landmark_from_record(point) for point in record["points"]),
            str(record["image"]),
            geometry,
            provenance_from_record(record["provenance"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LandmarkError(f"holds landmarks that make no sense ({error})") from error


def landmark_to_record(point: Landmark) -> dict[str, Any]:
    """Return the fields of one landmark; those at their default are left out."""
    record: dict[str, Any] = {"name": point.name, "state": str(point.state)}
    if point.position_yx is not None:
        record["position_yx"] = list(point.position_yx)
    for name, default in (
        ("score", None),
        ("unsure", False),
        ("shape_residual_mm", None),
        ("description", ""),
        ("author", ""),
    ):
        if getattr(point, name) != default:
            record[name] = getattr(point, name)
    if point.source is not None:
        record["source"] = str(point.source)
    return record


def landmark_from_record(record: Mapping[str, Any]) -> Landmark:
    """Undo :func:`landmark_to_record`; unknown keys are passed over."""
    known = {field.name for field in fields(Landmark)}
    values = {key: value for key, value in record.items() if key in known}
    if "position_yx" in values:
        row, column = values["position_yx"]
        values["position_yx"] = (float(row), float(column))
    for key in ("score", "shape_residual_mm"):
        if values.get(key) is not None:
            values[key] = float(values[key])
    if values.get("score") is not None and not 0 <= values["score"] <= 1:
        raise ValueError(f"the score {values['score']:g} is not between 0 and 1")
    for key in ("name", "description", "author"):
        if not isinstance(values.get(key, ""), str):
            raise TypeError(f"{key} is no text")
    if not isinstance(values.get("unsure", False), bool):
        raise TypeError("unsure is neither true nor false")
    return Landmark(**values)


def provenance_from_record(record: Mapping[str, Any]) -> Provenance:
    """Read provenance; missing keys are empty, unknown ones passed over."""
    known = (field.name for field in fields(Provenance))
    return Provenance(**{name: str(record.get(name, "")) for name in known})


def geometry_to_record(geometry: Geometry) -> dict[str, Any]:
    """Return the fields of a geometry that belong to the image."""
    spacing = geometry.spacing_mm_yx
    return {
        "image_shape_yx": list(geometry.image_shape_yx),
        "spacing_mm_yx": None if spacing is None else list(spacing),
        "origin_lps_mm": list(geometry.origin_lps_mm),
        "row_axis_lps": list(geometry.row_axis_lps),
        "column_axis_lps": list(geometry.column_axis_lps),
    }


def geometry_from_record(record: Mapping[str, Any]) -> Geometry:
    """Undo :func:`geometry_to_record`.

    Raises
    ------
    GeometryError
        If the values make no sense.
    KeyError, TypeError, ValueError
        If a value is missing or of the wrong kind.
    """
    rows, columns = record["image_shape_yx"]
    if isinstance(rows, bool) or rows != int(rows) or columns != int(columns):
        raise ValueError(f"{rows!r} x {columns!r} are not whole numbers of pixels")
    geometry = Geometry(
        (rows, columns),
        origin_lps_mm=tuple(record["origin_lps_mm"]),
        row_axis_lps=tuple(record["row_axis_lps"]),
        column_axis_lps=tuple(record["column_axis_lps"]),
    )
    return geometry.with_spacing(record["spacing_mm_yx"])
