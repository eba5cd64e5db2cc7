"""Landmarks as 3D Slicer's markups, ``.mrk.json``, schema 1.0.3.

The fields are those of Slicer's published schema (``markups-schema-v1.0.3.json``
in its Markups module). The schema allows further fields in every object; what it
has no place for (state, score, provenance, the image's grid) stands under
``napari_oneshot_lmk``. Slicer drops those when it saves the file again, so
reading does without them where the caller knows the image's geometry.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_oneshot_lmk.errors import (
    LandmarkError,
    OneshotError,
    OutputError,
    SpacingUnknownError,
)
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.landmark_format import Known, LandmarkFormat
from napari_oneshot_lmk.landmarks.files.patient_points import (
    on_image,
    with_millimetres,
)
from napari_oneshot_lmk.landmarks.files.text_file import head_of, read_json
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.record import (
    geometry_from_record,
    geometry_to_record,
    landmark_from_record,
    landmark_to_record,
    provenance_from_record,
)

SUFFIX = ".mrk.json"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/"
    "Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)
OURS = "napari_oneshot_lmk"

# Both positions of a point that nobody has moved agree far better than this.
_UNMOVED_MM = 1e-6
_MM_PER_UNIT = {"mm": 1.0, "um": 1e-3}


# -- writing ------------------------------------------------------------------


def write_mrk_json(
    path: Path, images: Collection[Landmarks], source: Path | None = None
) -> None:
    """Write the landmarks of one image in patient coordinates (LPS, mm).

    Raises
    ------
    OutputError
        If there is more than one image, or none.
    SpacingUnknownError
        If the image's spacing is unknown: the file holds millimetres.
    """
    if len(images) != 1:
        raise OutputError(
            f"a {SUFFIX} file holds one image, not {len(images)}",
            remedy="write a .csv file, or one file for each image",
        )
    (landmarks,) = images
    geometry = landmarks.geometry
    if geometry is None or geometry.spacing_mm_yx is None:
        raise SpacingUnknownError(
            f"a {SUFFIX} file holds millimetres, but the pixel spacing is unknown",
            remedy="give it (--spacing, or the field in the dock) or write a .csv file",
        )
    markup = {
        "type": "Fiducial",
        "name": Path(landmarks.image).stem or "landmarks",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(landmarks),
        "controlPoints": [
            _control_point(number, point, geometry)
            for number, point in enumerate(landmarks, start=1)
        ],
        "measurements": [],
        "display": {"visibility": True, "pointLabelsVisibility": True},
        OURS: {
            "image": landmarks.image,
            "geometry": geometry_to_record(geometry),
            "provenance": asdict(landmarks.provenance),
        },
    }
    document = {"@schema": SCHEMA, "markups": [markup]}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _control_point(number: int, point: Landmark, geometry: Geometry) -> dict[str, Any]:
    record = landmark_to_record(point)
    control: dict[str, Any] = {
        "id": str(number),
        "label": record.pop("name"),
        "description": record.pop("description", ""),
        "associatedNodeID": "",
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "undefined",
    }
    if point.position_yx is not None:
        control["positionStatus"] = "defined"
        control["position"] = geometry.points_to_lps([point.position_yx])[0].tolist()
    return {**control, OURS: record}


# -- reading ------------------------------------------------------------------


def read_mrk_json(path: Path, known: Known) -> tuple[Landmarks, ...]:
    """Read point lists, ours or Slicer's, in LPS or RAS.

    Raises
    ------
    LandmarkError
        If it is no such file, or its points cannot be brought onto the image.
    """
    document = read_json(path)
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list):
        raise LandmarkError(
            "is not a Slicer markups file", file=path, remedy="save points from Slicer"
        )
    lists = [m for m in markups if isinstance(m, dict) and m.get("type") == "Fiducial"]
    if not lists:
        raise LandmarkError(
            "holds no point list",
            file=path,
            remedy="save a markups node of the type Point List",
        )
    try:
        return tuple(_landmarks(path, m, known, len(lists) > 1) for m in lists)
    except OneshotError as error:
        raise error.about(path) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LandmarkError(
            f"does not follow Slicer's markups schema ({error!r})",
            file=path,
            remedy="save it again",
        ) from error


def _landmarks(
    path: Path, markup: Mapping[str, Any], known: Known, several: bool
) -> Landmarks:
    ours = markup.get(OURS, {})
    stated = geometry_from_record(ours["geometry"]) if "geometry" in ours else None
    stem = path.name[: -len(SUFFIX)]
    name = str(ours.get("image", markup.get("name", stem) if several else stem))
    geometry = with_millimetres(stated or known.geometry_of(name))
    to_lps = _to_lps(markup)
    controls = markup.get("controlPoints", [])
    points = tuple(
        _landmark(number, control, to_lps, geometry)
        for number, control in enumerate(controls, start=1)
    )
    return Landmarks(
        points,
        name,
        geometry,
        provenance_from_record(ours.get("provenance", {})),
    )


def _to_lps(markup: Mapping[str, Any]) -> np.ndarray:
    """Return the factors that take a position to LPS millimetres."""
    system = markup.get("coordinateSystem", "LPS")
    unit = markup.get("coordinateUnits", "mm")
    if isinstance(unit, list):
        # A coded entry: [code, coding scheme, meaning].
        unit = unit[0]
    if system not in ("LPS", "RAS") or unit not in _MM_PER_UNIT:
        raise LandmarkError(
            f"is in {system!r} coordinates and {unit!r}",
            remedy="save it in LPS or RAS and in millimetres",
        )
    flip = -1.0 if system == "RAS" else 1.0
    return np.array([flip, flip, 1.0]) * _MM_PER_UNIT[unit]


def _landmark(
    number: int, control: Mapping[str, Any], to_lps: np.ndarray, geometry: Geometry
) -> Landmark:
    label = str(control.get("label", "")).strip()
    if not label:
        raise LandmarkError(
            f"control point {number} has no label", remedy="name it in Slicer"
        )
    record = {**control.get(OURS, {}), "name": label}
    record["description"] = str(control.get("description", ""))
    kept_yx = record.pop("position_yx", None)
    # Slicer writes an empty text where a point has no position.
    position = control.get("position") or None
    if control.get("positionStatus", "defined") != "defined" or position is None:
        if record.get("state") == State.PLACED:
            # It was placed by us and unset in Slicer.
            record = {"name": label, "description": record["description"]}
        return landmark_from_record({"state": State.SKIPPED, **record})
    values = np.array(position, dtype=float)
    if values.shape != (3,) or not np.all(np.isfinite(values)):
        raise LandmarkError(
            f"the position of {label!r} is not three numbers", remedy="save it again"
        )
    lps_mm = values * to_lps
    if kept_yx is not None:
        moved_mm = np.abs(geometry.points_to_lps([kept_yx])[0] - lps_mm).max()
        if moved_mm <= _UNMOVED_MM:
            return landmark_from_record({**record, "position_yx": kept_yx})
    # Moved by a person: what the detector thought of the old place is void.
    point = Landmark(label, on_image(label, lps_mm, geometry))
    return replace(point, description=record["description"])


def _sniff(path: Path) -> bool:
    return "markups-schema" in head_of(path)


MRK_JSON = LandmarkFormat(
    SUFFIX, "3D Slicer markups", read_mrk_json, write_mrk_json, _sniff, one_image=True
)
