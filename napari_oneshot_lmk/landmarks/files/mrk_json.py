"""Landmarks as 3D Slicer's markups, ``.mrk.json``, schema 1.0.3.

What the schema has no field for stands under ``napari_oneshot_lmk``. Slicer drops it when it
saves the file again; then reading needs the image's geometry. Positions are written where
Slicer sees them: of some DICOM radiographs it takes another spacing than we do. That spacing
is noted, so reading needs no image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry, Points
from napari_oneshot_lmk.landmarks.files import json_values as values
from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat, ReadContext, only_image
from napari_oneshot_lmk.landmarks.files.json_values import OURS, Object, mapping, text
from napari_oneshot_lmk.landmarks.files.text_file import head_of, read_json, write_json
from napari_oneshot_lmk.landmarks.image_names import stem
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State, geometry_to_json

SUFFIX = ".mrk.json"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/"
    "Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)
_WRITTEN_IN = "geometry_in_slicer"
# Both positions of a point that nobody has moved agree far better than this.
_UNMOVED_MM = 1e-6
# A point clicked in a slice view lies on the plane up to rounding.
_SAME_PLANE_MM = 1.0
_MM_PER_UNIT = {"mm": 1.0, "um": 1e-3}


# -- writing --------------------------------------------------------------------


def write_mrk_json(path: Path, images: Collection[Landmarks], source: Path | None = None) -> None:
    """Write the landmarks of one image in patient coordinates (LPS, mm).

    An OutputError says if there is not exactly one image, a SpacingUnknownError if its
    spacing is unknown.
    """
    landmarks = only_image(images, f"a {SUFFIX} file")
    geometry = landmarks.geometry
    if geometry is None or geometry.spacing_mm_yx is None:
        raise SpacingUnknownError(
            f"a {SUFFIX} file holds millimetres, but the pixel spacing is unknown",
            remedy="give it (--spacing, or the field in the dock) or write a .csv file",
        )
    plane = _plane_for_slicer(geometry, source)
    noted = {"image": landmarks.image, **values.note(landmarks)}
    if plane != geometry:
        noted[_WRITTEN_IN] = geometry_to_json(plane)
    markup = {
        "type": "Fiducial",
        "name": stem(landmarks.image) or "landmarks",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(landmarks),
        "controlPoints": [_control_point(n, p, plane) for n, p in enumerate(landmarks, start=1)],
        "measurements": [],
        "display": {"visibility": True, "pointLabelsVisibility": True},
        OURS: noted,
    }
    write_json(path, {"@schema": SCHEMA, "markups": [markup]})


def _control_point(number: int, point: Landmark, plane: Geometry) -> dict[str, Any]:
    noted = point.to_json()
    control: dict[str, Any] = {
        "id": str(number),
        "label": noted.pop("name"),
        "description": noted.pop("description", ""),
        "associatedNodeID": "",
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "undefined",
    }
    if point.position_yx is not None:
        control["positionStatus"] = "defined"
        control["position"] = plane.points_to_lps([point.position_yx])[0].tolist()
    return {**control, OURS: noted}


# -- reading --------------------------------------------------------------------


def read_mrk_json(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read point lists, ours or Slicer's, in LPS or RAS."""
    document = read_json(path, context.tell)
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list):
        raise LandmarkError("is not a Slicer markups file", remedy="save points from Slicer")
    lists = [m for m in markups if isinstance(m, dict) and m.get("type") == "Fiducial"]
    if not lists:
        remedy = "save a markups node of the type Point List"
        raise LandmarkError("holds no point list", remedy=remedy)
    return tuple(_landmarks(path, m, context, len(lists) > 1) for m in lists)


@dataclass(frozen=True)
class _Control:
    """A control point as it stands in the file, and the fields that we noted of it."""

    label: str
    lps_mm: tuple[float, ...] | None
    noted: dict[str, Any]


def _landmarks(path: Path, markup: Object, context: ReadContext, several: bool) -> Landmarks:
    ours = mapping(markup.get(OURS) or {}, OURS)
    file_name = path.name[: -len(SUFFIX)]
    name = text(
        ours.get("image", (markup.get("name") or file_name) if several else file_name),
        "the name of the list",
    )
    to_lps = _to_lps(markup)
    listed = values.sequence(markup.get("controlPoints") or [], "controlPoints")
    controls = [_control(f"control point {n}", each, to_lps) for n, each in enumerate(listed, 1)]
    provenance, geometry = values.noted_provenance(ours), values.noted_geometry(ours)
    plane = values.noted_geometry(ours, _WRITTEN_IN) or geometry
    lps_mm = [control.lps_mm for control in controls if control.lps_mm is not None]
    if plane is None and lps_mm:
        plane = plane_in_slicer(name, np.array(lps_mm), context)
    points = tuple(_landmark(control, plane) for control in controls)
    return Landmarks(points, name, geometry or context.geometry_of(name), provenance)


def _to_lps(markup: Object) -> NDArray[np.float64]:
    """Return the factors that take a position to LPS millimetres."""
    system = markup.get("coordinateSystem", "LPS")
    unit = markup.get("coordinateUnits", "mm")
    if isinstance(unit, list) and unit:
        # A coded entry: [code, coding scheme, meaning].
        unit = unit[0]
    if system not in ("LPS", "RAS") or unit not in tuple(_MM_PER_UNIT):
        what = f"is in {system!r} coordinates and {unit!r}"
        raise LandmarkError(what, remedy="save it in LPS or RAS and in millimetres")
    flip = -1.0 if system == "RAS" else 1.0
    return np.array([flip, flip, 1.0]) * _MM_PER_UNIT[unit]


def _control(where: str, value: Any, to_lps: NDArray[np.float64]) -> _Control:
    control = mapping(value, where)
    label = text(control.get("label") or "", f"{where}: label").strip()
    if not label:
        raise LandmarkError(f"{where} has no label", remedy="name it in Slicer")
    described = text(control.get("description") or "", f"{where}: description")
    noted = dict(mapping(control.get(OURS) or {}, OURS))
    noted = {"state": State.SKIPPED, **noted, "name": label, "description": described}
    # Slicer writes an empty text where a point has no position; undefined, preview
    # and missing are its words for points that nobody has placed.
    position = control.get("position") or None
    status = control.get("positionStatus") or "defined"
    if status != "defined" or position is None:
        return _Control(label, None, noted)
    where = f"the position of {label!r}"
    if len(values.sequence(position, where)) != 3:
        raise LandmarkError(f"{where} is not three numbers", remedy="save it again")
    axes = np.array([values.number(axis, where) for axis in position])
    return _Control(label, tuple((axes * to_lps).tolist()), noted)


def _landmark(control: _Control, plane: Geometry | None) -> Landmark:
    fields = control.noted
    with values.noted_by_us():
        # We never note a point as placed without its position: another program did.
        is_ours = fields["state"] != State.PLACED or "position_yx" in fields
        noted = Landmark.from_json(fields if is_ours else {**fields, "state": State.SKIPPED})
    if control.lps_mm is None or plane is None:
        return noted if noted.position_yx is None else noted.edited_at(None)
    if noted.position_yx is not None:
        noted_mm = plane.points_to_lps([noted.position_yx])[0]
        if np.abs(noted_mm - np.array(control.lps_mm)).max() <= _UNMOVED_MM:
            return noted
    # A person has moved it in Slicer: the detector's confidence was in the old position.
    return noted.edited_at(project_to_image(control.label, control.lps_mm, plane))


def _recognise(path: Path) -> bool:
    return "markups-schema" in head_of(path)


MRK_JSON = LandmarkFormat(
    "3D Slicer markups",
    SUFFIX,
    _recognise,
    read_mrk_json,
    write_mrk_json,
    one_image=True,
    patient_mm=True,
)


# -- patient positions on the plane of an image -----------------------------------


def plane_in_slicer(image: str, lps_mm: Points, context: ReadContext) -> Geometry:
    """Return the geometry with which 3D Slicer has computed the points of a file.

    Slicer reads images with ITK. For many DICOM radiographs ITK takes another of the spacings in
    the header than we do, and where a file states none it takes 1 mm. So where the image file is
    known, ITK is asked.

    Parameters
    ----------
    image : str
        What the landmark file calls its image.
    lps_mm : (N, 3) array
        The points of the file, in patient millimetres.
    context : ReadContext

    Raises
    ------
    LandmarkError
        If neither the geometry nor the file of the image is known.
    SpacingUnknownError
        If the image's pixel spacing is unknown.
    """

    def taken(geometry: Geometry, which: str, more: str = "") -> Geometry:
        assert geometry.spacing_mm_yx is not None
        shown = "{:.6g} x {:.6g} mm".format(*geometry.spacing_mm_yx)
        context.tell(f"its millimetres are converted with the {which} ({shown}){more}")
        return geometry

    own, source = context.geometry_of(image), context.source_of(image)
    if source is None:
        more = "; 3D Slicer may use another one for a DICOM image, and this cannot be checked "
        more += "without the image file"
        return taken(_with_spacing(own), "pixel spacing known here", more)
    # SimpleITK takes a second to load, which tables do not need.
    from napari_oneshot_lmk.imaging.formats.itk import is_default_spacing, itk_geometry, same_places

    seen = itk_geometry(source)
    if seen is None or (own and own.image_shape_yx != seen.image_shape_yx):
        return _with_spacing(own)
    if own and same_places(own, seen):
        return own
    if is_default_spacing(seen) and not _states_spacing(source):
        given = _with_spacing(own)
        fits = given.contains(given.points_from_lps(lps_mm)).all()
        if fits or not seen.contains(seen.points_from_lps(lps_mm)).all():
            more = f"; 3D Slicer takes 1 mm per pixel for {source.name} unless it was given there, "
            more += "too"
            return taken(given, "pixel spacing that was given", more)
    return taken(seen, f"pixel spacing that 3D Slicer takes for {source.name}")


def _plane_for_slicer(geometry: Geometry, source: Path | None) -> Geometry:
    """Return the geometry in which 3D Slicer will see points on their image file."""
    if source is None:
        return geometry
    from napari_oneshot_lmk.imaging.formats.itk import itk_geometry, same_places

    seen = itk_geometry(source)
    if seen is None or seen.image_shape_yx != geometry.image_shape_yx:
        return geometry
    return geometry if same_places(geometry, seen) else seen


def project_to_image(name: str, lps_mm: Sequence[float], plane: Geometry) -> tuple[float, float]:
    """Return the (row, column) of one patient position, (3,) LPS mm, on the plane."""
    # Absurd positions overflow to infinity, which is off the plane.
    with np.errstate(over="ignore", invalid="ignore"):
        off_mm = float(plane.off_plane_mm([lps_mm])[0])
    # Not "off_mm > …": NaN lies nowhere.
    if not off_mm <= _SAME_PLANE_MM:
        what = f"{name!r} lies {off_mm:.1f} mm off the image's plane"
        raise LandmarkError(what, remedy="check that the file belongs to this image")
    y_px, x_px = plane.points_from_lps([lps_mm])[0]
    return float(y_px), float(x_px)


def _with_spacing(geometry: Geometry | None) -> Geometry:
    """Return a geometry that is there and has a spacing, or raise."""
    if geometry is None:
        raise LandmarkError(
            "has positions in millimetres, but not where the image's pixels are",
            remedy="open it together with its image (convert it with --image), or use a .csv file",
        )
    if geometry.spacing_mm_yx is None:
        what = "has positions in millimetres, but the pixel spacing of the image is unknown"
        raise SpacingUnknownError(what, remedy="give it (--spacing, or the field in the dock)")
    return geometry


def _states_spacing(path: Path) -> bool:
    """Say whether an image file itself states what we take for its spacing."""
    from napari_oneshot_lmk.imaging.reader import read_image

    try:
        return read_image(path).geometry.spacing_mm_yx is not None
    except OneshotError:
        return False
