"""DICOM structured reports: what others read in ours, and we in theirs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom import spatial, sr
from landmark_sets import refuses
from oblique_image import SHAPE_YX, geometry, on, same_places, write_dicom
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from napari_oneshot_lmk.errors import LandmarkError, OutputError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import (
    format_to_write,
    holds_landmarks,
    read_landmarks,
    write_landmarks,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

POINT = sr.GraphicTypeValues.POINT


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "film.dcm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.sr.dcm"


def test_highdicom_reads_a_measurement_report(film, path):
    landmarks = on(film)
    write_landmarks(path, [landmarks], source=film)
    report = sr.srread(path)
    image = pydicom.dcmread(film)
    assert isinstance(report, sr.ComprehensiveSR)
    assert isinstance(report.content, sr.MeasurementReport)
    groups = report.content.get_planar_roi_measurement_groups(graphic_type=POINT)
    placed = landmarks.placed
    assert [g.tracking_identifier for g in groups] == [p.name for p in placed]
    for group, point in zip(groups, placed, strict=True):
        (measured,) = group.roi.value
        y_px, x_px = point.position_yx
        # The centre of the first pixel is (0.5, 0.5), columns first.
        np.testing.assert_allclose(measured, (x_px + 0.5, y_px + 0.5), rtol=1e-6)
        (source,) = group.roi.ContentSequence[0].ReferencedSOPSequence
        assert source.ReferencedSOPInstanceUID == image.SOPInstanceUID
        scores = [float(m.value) for m in group.get_measurements()]
        assert scores == ([] if point.score is None else [100 * point.score])


def test_patient_positions_by_another_library_are_ours(film, path):
    landmarks = on(film)
    write_landmarks(path, [landmarks], source=film)
    image = pydicom.dcmread(film)
    to_patient = spatial.ImageToReferenceTransformer(
        image_position=image.ImagePositionPatient,
        image_orientation=image.ImageOrientationPatient,
        pixel_spacing=image.PixelSpacing,
    )
    groups = sr.srread(path).content.get_planar_roi_measurement_groups()
    theirs = np.vstack([to_patient(group.roi.value) for group in groups])
    ours = landmarks.geometry.points_to_lps([p.position_yx for p in landmarks.placed])
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_the_report_belongs_to_the_images_study(film, path):
    write_landmarks(path, [on(film)], source=film)
    report, image = pydicom.dcmread(path), pydicom.dcmread(film)
    assert report.StudyInstanceUID == image.StudyInstanceUID
    assert report.SeriesInstanceUID != image.SeriesInstanceUID
    assert (report.PatientID, str(report.PatientName)) == ("P1", "Phantom^One")
    assert (report.Modality, report.SpecificCharacterSet) == ("SR", "ISO_IR 192")
    assert report.VerificationFlag == "UNVERIFIED"
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (referenced,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert referenced.ReferencedSOPInstanceUID == image.SOPInstanceUID
    # Every element has the representation that the dictionary gives it.
    for element in report.iterall():
        if not element.tag.is_private:
            assert element.VR in pydicom.datadict.dictionary_VR(element.tag)


def test_what_nobody_placed_is_not_in_the_tree_but_comes_back(film, path):
    write_landmarks(path, [on(film)], source=film)
    groups = sr.srread(path).content.get_planar_roi_measurement_groups()
    assert len(groups) == 4
    assert read_landmarks(path) == (on(film),)


def test_without_our_private_element_positions_keep_single_precision(film, path):
    landmarks = on(film)
    write_landmarks(path, [landmarks], source=film)
    report = pydicom.dcmread(path)
    report.remove_private_tags()
    report.Manufacturer = "Another"
    report.save_as(path)
    (back,) = read_landmarks(path, geometry=geometry())
    placed = landmarks.with_points(landmarks.placed)
    assert same_places(placed, back, within_px=1e-5)
    assert back["Größe"].score == landmarks["Größe"].score
    # The image is known by its identifier, where it lies beside the report.
    assert back.image == "film.dcm"
    film.unlink()
    assert read_landmarks(path)[0].image == "film"


def foreign(film: Path, path: Path, names: list[str]) -> None:
    """Write a report on an image as another program would."""
    image = pydicom.dcmread(film)
    for keyword in (
        *("AccessionNumber", "PatientBirthDate", "PatientSex", "StudyID"),
        *("StudyDate", "StudyTime", "ReferringPhysicianName"),
    ):
        setattr(image, keyword, None)
    source = sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
    drawn = [(name, POINT, [[10.5 + n, 20.5]]) for n, name in enumerate(names)]
    outline = [[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]
    groups = [
        sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=highdicom.UID(), identifier=name),
            referenced_region=sr.ImageRegion(kind, np.array(place), source),
        )
        for name, kind, place in [*drawn, ("outline", sr.GraphicTypeValues.POLYLINE, outline)]
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_person_context=sr.ObserverContext(
                codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name="Doe^J")
            )
        ),
        procedure_reported=Code("363680008", "SCT", "Radiographic imaging procedure"),
        imaging_measurements=groups,
    )
    sr.Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_instance_uid=highdicom.UID(),
        series_number=1,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Another",
    ).save_as(path)


def test_reports_of_other_programs(film, path):
    foreign(film, path, ["S", "N"])
    (back,) = read_landmarks(path, geometry=geometry())
    points = Landmark("S", (20.0, 10.0)), Landmark("N", (20.0, 11.0))
    assert back == Landmarks(points, "film.dcm", geometry())
    foreign(film, path, ["S", "S"])
    refuses("landmark 'S' stands twice", path)
    foreign(film, path, [])
    refuses("holds no points on an image", path)


def test_images_are_no_reports(film):
    assert not holds_landmarks(film)
    refuses(r"film\.dcm: is no DICOM structured report", film)


def test_the_image_must_be_named_and_be_the_one(film, path, tmp_path):
    def refused(match: str, source: Path | None, landmarks: Landmarks) -> None:
        with pytest.raises(OutputError, match=match):
            write_landmarks(path, [landmarks], source=source)
        assert not path.exists()

    refused("none is named; use oneshot-lmk convert with --image", None, on(film))
    picture = tmp_path / "film.png"
    refused(r"film\.png is none; name the DICOM file", picture, on(film))
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    refused(r"film\.png is none; name the DICOM file", picture, on(film))
    other = on(film).with_geometry(Geometry((9, 9)))
    refused(r"film\.dcm has 90 x 70 pixels, but the landmarks are on 9 x 9", film, other)
    empty = on(film).with_points(p for p in on(film) if p.position_yx is None)
    refused("no landmark has a position", film, empty)
    frames = write_dicom(tmp_path / "frames.dcm", NumberOfFrames=3)
    refused(r"frames\.dcm has 3 frames", frames, on(film))
    bare = pydicom.dcmread(film)
    del bare.StudyInstanceUID
    bare.save_as(tmp_path / "bare.dcm")
    refused("has no StudyInstanceUID", tmp_path / "bare.dcm", on(film))


def test_old_images_without_a_header_can_be_referred_to(film, path, tmp_path):
    image = pydicom.dcmread(film)
    bare = pydicom.Dataset()
    bare.update({element.tag: element for element in image})
    old = tmp_path / "old.dcm"
    how = {"implicit_vr": True, "little_endian": True, "enforce_file_format": False}
    with old.open("wb") as file:
        pydicom.dcmwrite(file, bare, **how)
    write_landmarks(path, [on(film)], source=old)
    assert read_landmarks(path) == (on(film),)


def test_names_of_all_sorts(film, path):
    names = ("a\\b", "x^y=z", "日本", '"q"', "line\nend", "x" * 200)
    landmarks = Landmarks(
        tuple(Landmark(name, (n, n + 0.25)) for n, name in enumerate(names)),
        "film.dcm",
        Geometry(SHAPE_YX),
        replace(on(film).provenance, author="Größe^A=B"),
    )
    write_landmarks(path, [landmarks], source=film)
    assert read_landmarks(path) == (landmarks,)


def test_without_the_library_it_is_said_what_to_install(film, path, monkeypatch):
    write_landmarks(path, [on(film)], source=film)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    match = r"need the library highdicom.*pip install 'napari-oneshot-lmk\[dicom-sr\]'"
    refuses(match, path)
    with pytest.raises(LandmarkError, match=match):
        write_landmarks(path.with_name("b.dcm"), [on(film)], source=film)
    # Before anybody waits for a detection.
    with pytest.raises(LandmarkError, match=match):
        format_to_write("b.sr.dcm")
    assert format_to_write("b.csv")


def test_the_private_element_says_nothing_twice(film, path):
    """A report changed by hand: the tree goes before what was noted."""
    write_landmarks(path, [on(film)], source=film)
    report = pydicom.dcmread(path)
    block = report.private_block(0x0071, "NAPARI_ONESHOT_LMK")
    record = json.loads(block[0x01].value)
    record["points"][0]["position_yx"] = [1.0, 2.0]
    block[0x01].value = json.dumps(record)
    report.save_as(path)
    (back,) = read_landmarks(path)
    assert np.allclose(back["Größe"].position_yx, on(film)["Größe"].position_yx, atol=1e-5)
