"""Landmarks as a DICOM structured report, ``.dcm``: TID 1500, one image per file.

Each placed landmark is a planar measurement group (TID 1410) of a POINT; its name is the
tracking identifier, its score the measurement "Certainty of Finding" in per cent. Spatial
coordinates are (column, row) in single precision from the *corner* of the first pixel, whose
centre is (0.5, 0.5) (DICOM PS3.3, C.18.6.1.1). Everything else, and the positions in full,
stands as JSON in a private element. highdicom, the extra ``dicom-sr``, reads and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, OutputError
from napari_oneshot_lmk.landmarks.files.base import (
    LandmarkFormat,
    ReadContext,
    only_image,
    unless_moved,
)
from napari_oneshot_lmk.landmarks.files.text_file import head_bytes, read_bytes
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

if TYPE_CHECKING:
    import pydicom

SUFFIX = ".dcm"
# Structured reports are 1.2.840.10008.5.1.4.1.1.88.…
_REPORT = b"1.2.840.10008.5.1.4.1.1.88."
_GROUP, _CREATOR, _ELEMENT = 0x0071, "NAPARI_ONESHOT_LMK", 0x01
# What is left of a position in single precision: a millionth of it.
_ROUNDED = 1e-6
_INSTALL = "pip install 'napari-oneshot-lmk[dicom-sr]'"
_LOOK_AT_FILES = 500

# -- writing ------------------------------------------------------------------


def write_sr(path: Path, images: Collection[Landmarks], source: Path | None) -> None:
    """Write the report on one DICOM image.

    An OutputError says if there is not exactly one image, no DICOM file of it is named, it
    is another image, or nothing is placed on it.
    """
    landmarks = only_image(images, "a DICOM structured report here")
    if source is None:
        raise OutputError(
            "a DICOM structured report refers to the DICOM image that it is about, but "
            "none is named",
            remedy="use oneshot-lmk convert with --image IMAGE.dcm",
        )
    check_installed()
    from napari_oneshot_lmk.landmarks.files import dicom_sr_report

    # The user cannot mend what is unusual about the image.
    with dicom_sr_report.silence():
        image = _image(source)
    shape_yx = int(image.Rows), int(image.Columns)
    geometry = landmarks.geometry
    if geometry is not None and geometry.image_shape_yx != shape_yx:
        has, size = (" x ".join(map(str, each)) for each in (shape_yx, geometry.image_shape_yx))
        what = f"{source.name} has {has} pixels, but the landmarks are on {size}"
        raise OutputError(what, remedy="name the image that they were placed on")
    if not landmarks.placed:
        what = "no landmark has a position, and a report is about positions"
        raise OutputError(what, remedy="write a .csv file")
    noted = landmarks.to_json(with_geometry=True)
    try:
        with dicom_sr_report.silence():
            report = dicom_sr_report.report_on(image, landmarks)
            block = report.private_block(_GROUP, _CREATOR, create=True)
            block.add_new(_ELEMENT, "UT", json.dumps(noted, allow_nan=False))
            report.save_as(path, enforce_file_format=True)
    except (AttributeError, ValueError, TypeError) as error:
        what = f"no report can be made on {source.name} ({_first_line(error)})"
        raise OutputError(what, remedy="export the image again from the archive") from error


def _first_line(error: Exception) -> str:
    """Return what a library says without the damaged part that it prints below."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")


def _image(source: Path) -> pydicom.Dataset:
    """Read the header of the image that a report is about."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        try:
            image = pydicom.dcmread(source, stop_before_pixels=True)
        except InvalidDicomError:
            # Old files have no header that says so.
            image = pydicom.dcmread(source, stop_before_pixels=True, force=True)
            if "SOPClassUID" not in image:
                raise
    except Exception as error:
        # A file of any other kind was forced upon the library.
        what = f"a DICOM structured report refers to a DICOM image, and {source.name} is none"
        raise OutputError(what, remedy="name the DICOM file, or write a .csv file") from error
    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    missing = [key for key in (*needed, "Rows", "Columns") if key not in image]
    if missing:
        what = f"{source.name} has no {', '.join(missing)}, so no report can refer to it"
        raise OutputError(what, remedy="export the image again from the archive")
    frames = int(image.get("NumberOfFrames") or 1)
    if frames > 1:
        what = f"{source.name} has {frames} frames, and reports are written on images with one"
        raise OutputError(what, remedy="write a .csv file")
    return image


# -- reading ------------------------------------------------------------------


def read_sr(path: Path, context: ReadContext) -> tuple[Landmarks, ...]:
    """Read the points of a TID 1500 report, one set for each image it is about."""
    read_bytes(path)
    if not _recognise(path):
        remedy = "an image is named with --image"
        raise LandmarkError("is no DICOM structured report", remedy=remedy)
    check_installed()
    import pydicom

    from napari_oneshot_lmk.landmarks.files import dicom_sr_report

    try:
        # Files of all vintages: pydicom warns of oddities that do not matter here.
        with dicom_sr_report.silence():
            dataset = pydicom.dcmread(path)
            dicom_sr_report.check_whole(dataset)
            found = dicom_sr_report.points_by_image(dataset)
            noted = _noted(dataset)
    except OneshotError:
        raise
    except Exception as error:
        # What a damaged tree makes the libraries raise is not documented.
        what = f"is damaged, or no measurement report after TID 1500 ({_first_line(error)})"
        raise LandmarkError(what, remedy="export it again") from error
    if not found:
        raise LandmarkError("holds no points on an image", remedy="choose another report")
    if noted is not None and len(found) == 1:
        (points,) = found.values()
        return (_merge(noted, points),)
    images = []
    for uid, points in found.items():
        own = path.name[: -len(SUFFIX)].removesuffix(".sr")
        image = _name_beside(path, uid) or (uid if len(found) > 1 else own)
        images.append(Landmarks(points, image, context.geometry_of(image)))
    return tuple(images)


def _noted(dataset: pydicom.Dataset) -> Landmarks | None:
    """Return the landmarks of our private element, if there is one."""
    from napari_oneshot_lmk.landmarks.files import dicom_sr_report

    try:
        text = dataset.private_block(_GROUP, _CREATOR)[_ELEMENT].value
    except KeyError as error:
        if dataset.get("Manufacturer") == dicom_sr_report.PROGRAM:
            raise ValueError("its end is missing") from error
        return None
    return Landmarks.from_json(json.loads(text))


def _merge(noted: Landmarks, points: Sequence[Landmark]) -> Landmarks:
    """Return what was noted; where the report says otherwise, the report."""
    reported = {point.name: point for point in points}
    merged = []
    for point in noted:
        other = reported.pop(point.name, None)
        if other is not None:
            farthest = max(map(abs, point.position_yx or (0.0,)))
            point = unless_moved(point, other.position_yx, _ROUNDED * (1 + farthest))
        merged.append(point)
    return noted.with_points((*merged, *reported.values()))


def _name_beside(path: Path, uid: str) -> str:
    """Return the name of the DICOM file beside the report that it refers to."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    for other in sorted(path.parent.iterdir())[:_LOOK_AT_FILES]:
        if not other.is_file() or other == path:
            continue
        try:
            only = ["SOPInstanceUID"]
            header = pydicom.dcmread(other, stop_before_pixels=True, specific_tags=only)
        except (InvalidDicomError, OSError, ValueError, EOFError):
            continue
        if header.get("SOPInstanceUID") == uid:
            return other.name
    return ""


def _recognise(path: Path) -> bool:
    head = head_bytes(path)
    return head[128:132] == b"DICM" and _REPORT in head


def why_no_report(source: Path | None) -> str:
    """Say in a phrase why no report can be written on an image file; empty where one can.

    Only the head of the file is read: what is wrong further inside is said by `write_sr`.
    """
    if source is None:
        return "a DICOM report refers to a DICOM file, and this image was opened from no file"
    if head_bytes(source)[128:132] != b"DICM":
        return f"a DICOM report refers to a DICOM file, and {source.name} is none"
    try:
        check_installed()
    except LandmarkError as error:
        return str(error)
    return ""


def check_installed() -> None:
    """Raise a LandmarkError if the extra ``dicom-sr`` is not installed."""
    for library in ("highdicom", "pydicom"):
        if find_spec(library) is None:
            what = f"DICOM structured reports need the library {library}, which is not installed"
            raise LandmarkError(what, remedy=f"install it: {_INSTALL}")


DICOM_SR = LandmarkFormat(
    "DICOM structured report",
    SUFFIX,
    _recognise,
    read_sr,
    write_sr,
    own_suffix=".sr.dcm",
    one_image=True,
    shared=True,
    check_installed=check_installed,
)
