"""The content tree of a structured report: landmarks in it, and out of it.

Imported only where highdicom is there.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import highdicom
import numpy as np
import pydicom
from highdicom import sr
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

# DCM: certainty that a device places upon a detection, 0 to 100.
_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
_PERCENT = Code("%", "UCUM", "Percent")
_PROCEDURE = Code("363680008", "SCT", "Radiographic imaging procedure")
PROGRAM = "napari-oneshot-lmk"
_UNDEFINED = 0xFFFFFFFF
# Spatial coordinates begin at the corner of the first pixel.
_CENTRE = 0.5


def report_on(image: pydicom.Dataset, landmarks: Landmarks) -> sr.ComprehensiveSR:
    """Build the report on one single-frame image.

    An AttributeError, TypeError or ValueError says if the image lacks what a report takes
    from it.
    """
    method, author = landmarks.provenance.method, landmarks.provenance.author
    source = sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=highdicom.UID(), name=PROGRAM, model_name=f"{PROGRAM} {__version__}"
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_person_context=_person(author) if author else None,
            observer_device_context=sr.ObserverContext(codes.DCM.Device, device),
        ),
        procedure_reported=_PROCEDURE,
        imaging_measurements=[_group(point, source, method) for point in landmarks.placed],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = sr.ComprehensiveSR(
        evidence=[_complete(image)],
        content=content,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=PROGRAM,
        is_complete=True,
    )
    # Names of patients and landmarks in any script, whatever the image had.
    report.SpecificCharacterSet = "ISO_IR 192"
    return report


def _complete(image: pydicom.Dataset) -> pydicom.Dataset:
    """Return the image's header with the fields of type 2 that a report takes over."""
    header = pydicom.Dataset()
    header.update({element.tag: element for element in image})
    for keyword in (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
        *("StudyID", "StudyDate", "StudyTime", "AccessionNumber"),
    ):
        if keyword not in header:
            setattr(header, keyword, None)
    return header


def _group(
    point: Landmark, source: sr.SourceImageForRegion, method: str
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    assert point.position_yx is not None  # only placed ones are reported
    y_px, x_px = point.position_yx
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POINT,
        graphic_data=np.array([[x_px + _CENTRE, y_px + _CENTRE]]),
        source_image=source,
    )
    measurements, algorithm = None, None
    if point.score is not None:
        measurements = [sr.Measurement(name=_CERTAINTY, value=100 * point.score, unit=_PERCENT)]
    if method not in ("", "manual") and not point.is_position_of_person:
        algorithm = sr.AlgorithmIdentification(f"{PROGRAM} {method}", __version__)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=highdicom.UID(), identifier=point.name),
        referenced_region=region,
        measurements=measurements,
        algorithm_id=algorithm,
    )


def _person(author: str) -> sr.ObserverContext:
    # Carets and equals signs separate the parts of a DICOM name.
    name = re.sub(r"[\^=\\]", " ", author)[:64]
    return sr.ObserverContext(codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name=name))


def check_whole(dataset: pydicom.Dataset) -> None:
    """Raise a ValueError if a file just read ends before its elements do.

    pydicom takes what there is, which would be fewer landmarks than were saved.
    """
    for tag in dataset.keys():  # noqa: SIM118 - iterating would decode the elements
        element = dataset.get_item(tag)
        if not isinstance(element, RawDataElement) or element.value is None:
            continue
        if element.length != _UNDEFINED and len(element.value) < element.length:
            raise ValueError("it is cut short")


def points_by_image(dataset: pydicom.Dataset) -> dict[str, tuple[Landmark, ...]]:
    """Return the points of a report by the SOP instance that they lie on.

    A LandmarkError says if a point has no name, or two on an image have the same.
    """
    report = _parsed(dataset)
    found: dict[str, list[Landmark]] = {}
    for group in report.content.get_planar_roi_measurement_groups():
        region = group.roi
        is_point = getattr(region, "graphic_type", None) is sr.GraphicTypeValues.POINT
        if not is_point or not isinstance(region, sr.ImageRegion):
            continue
        name = str(group.tracking_identifier or "").strip()
        if not name:
            what = "a point has no tracking identifier, so it has no name"
            raise LandmarkError(what, remedy="name the points where they were made")
        ((x, y),) = region.value
        uid = str(region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        points = found.setdefault(uid, [])
        if any(point.name == name for point in points):
            what = f"landmark {name!r} stands twice"
            raise LandmarkError(what, remedy="choose a report without that")
        position_yx = float(y) - _CENTRE, float(x) - _CENTRE
        points.append(Landmark(name, position_yx, score=_score(group)))
    return {uid: tuple(points) for uid, points in found.items()}


def _parsed(dataset: pydicom.Dataset) -> Any:
    name = dataset.SOPClassUID.name.removesuffix(" Storage").replace(" ", "")
    kinds = (sr.EnhancedSR, sr.ComprehensiveSR, sr.Comprehensive3DSR)
    kind = next((kind for kind in kinds if kind.__name__ == name), None)
    if kind is None:
        what = f"is a {dataset.SOPClassUID.name}, which holds no points on images"
        raise LandmarkError(what, remedy="choose a measurement report (TID 1500)")
    report = kind.from_dataset(dataset)
    if not isinstance(report.content, sr.MeasurementReport):
        what = "is no measurement report after TID 1500"
        raise LandmarkError(what, remedy="choose another report")
    return report


def _score(group: Any) -> float | None:
    measured = group.get_measurements(name=_CERTAINTY)
    score = float(measured[0].value) / 100 if measured else None
    return score if score is not None and 0 <= score <= 1 else None


@contextmanager
def silence() -> Iterator[None]:
    """Keep the libraries' warnings about other programs' files from the user."""
    levels = {name: logging.getLogger(name).level for name in ("highdicom", "pydicom")}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # What pydicom says of a sequence that the file ends in.
            warnings.filterwarnings("error", message="No tag to read")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
