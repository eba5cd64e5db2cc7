"""What holds for every landmark file format, on one oblique, anisotropic image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from landmark_sets import image_geometries, in_a_table, landmark_sets, refuses
from oblique_image import cephalogram, geometry, on, same_places, write_dicom

from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import (
    FORMATS,
    LandmarkWarning,
    format_to_read,
    format_to_write,
    holds_landmarks,
    is_landmark_file,
    read_landmarks,
    unsupported_fields,
    write_landmarks,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

WRITTEN = (".csv", ".mrk.json", ".json", ".tps", ".sr.dcm", ".dcm")
LOSSLESS = (".csv", ".mrk.json", ".json", ".sr.dcm")
MANY = (".csv", ".json", ".tps")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dicom(tmp_path_factory.mktemp("film") / "film.dcm")


def test_the_image_is_read_as_it_is_meant(film):
    read = read_image(film).geometry
    expected = geometry()
    assert read.spacing_mm_yx == expected.spacing_mm_yx
    points = [(0, 0), (10.5, 60.25)]
    np.testing.assert_allclose(
        read.points_to_lps(points), expected.points_to_lps(points), atol=1e-8
    )


@pytest.mark.parametrize("suffix", WRITTEN)
def test_places_states_and_names_come_back(tmp_path, film, suffix):
    landmarks = on(film)
    path = tmp_path / f"found{suffix}"
    write_landmarks(path, [landmarks], source=film)
    (back,) = read_landmarks(path)
    assert same_places(landmarks, back)
    assert back.image == "film.dcm"
    assert back.geometry.image_shape_yx == landmarks.geometry.image_shape_yx
    assert back.geometry.spacing_mm_yx == landmarks.geometry.spacing_mm_yx
    assert holds_landmarks(path)
    if suffix in LOSSLESS:
        assert back == landmarks
        assert unsupported_fields(path, [landmarks]) == ()


def test_the_cephalogram_list_comes_back_through_the_challenges_file(tmp_path):
    landmarks = cephalogram()
    write_landmarks(tmp_path / "film.txt", [landmarks])
    (back,) = read_landmarks(tmp_path / "film.txt", geometry=geometry())
    assert set(back.names) == set(landmarks.names)
    for point in landmarks:
        assert back[point.name].position_yx == point.position_yx


@pytest.mark.parametrize("suffix", MANY)
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(landmark_sets(image_geometries()), min_size=1, max_size=3))
def test_any_landmarks_come_back_from_a_file_of_many(tmp_path, suffix, sets):
    # Every set on its own image; TPS has no negative coordinates.
    shift = 1e4 + 1
    sets = [
        replace(
            la,
            image=f"{number}/{la.image}".replace("//", "/"),
            geometry=replace(la.geometry, image_shape_yx=(30000, 30000)),
            points=tuple(
                replace(p, position_yx=p.position_yx and tuple(v + shift for v in p.position_yx))
                for p in la
            ),
        )
        for number, la in enumerate(sets)
    ]
    path = tmp_path / f"found{suffix}"
    write_landmarks(path, sets, overwrite=True)
    back = read_landmarks(path)
    if suffix != ".tps":
        table = suffix == ".csv"
        assert back == tuple(in_a_table(la) if table else la for la in sets)
        return
    assert [la.image for la in back] == [la.image for la in sets]
    for one, other in zip(sets, back, strict=True):
        assert one.geometry.spacing_mm_yx == other.geometry.spacing_mm_yx
        assert sorted(other.names) == sorted(one.names)
        other = other.with_points(other[name] for name in one.names)
        assert same_places(one, other)
        assert [(p.source, p.author) for p in one] == [(p.source, p.author) for p in other]


# -- which format -------------------------------------------------------------------


def test_the_longer_ending_wins(tmp_path):
    assert format_to_write("a.mrk.json").name == "3D Slicer markups"
    assert format_to_write("a.json").name == "COCO keypoints"
    assert format_to_write("A.MRK.JSON").name == "3D Slicer markups"
    (tmp_path / "a.mrk.json").write_text('{"images":[],"annotations":[],"keypoints":1}')
    assert format_to_read(tmp_path / "a.mrk.json").name == "3D Slicer markups"


def test_a_table_goes_by_its_header(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("index,axis-0,axis-1\n0,1.5,2\n")
    assert format_to_read(path).name == "napari points"
    path.write_text("image,landmark,x_px,y_px,axis-0\n")
    assert format_to_read(path).name == "Table"
    # What looks like neither is told what a table needs.
    path.write_text("a,b\n1,2\n")
    refuses("a landmark table needs", path)
    assert not holds_landmarks(path)


def test_read_only_formats_refuse_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"\.fcsv files are only read; write \.mrk"):
        write_landmarks(tmp_path / "a.fcsv", [on()])
    assert list(tmp_path.iterdir()) == []
    # The table is what is written as .csv.
    assert format_to_write("a.csv").name == "Table"


@pytest.mark.parametrize("suffix", [".mrk.json", ".txt", ".dcm"])
def test_formats_of_one_image_refuse_none_and_two(tmp_path, suffix):
    for count in (0, 2):
        images = [on("a.png"), on("b.png")][:count]
        with pytest.raises(OutputError, match=rf"holds one image, not {count}; write a \.csv"):
            write_landmarks(tmp_path / f"a{suffix}", images)
    with pytest.raises(UsageError, match="these are of 2"):
        format_to_write(f"a{suffix}", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b'{"settings": 1}'), ("a.txt", b"sella\nnasion\n"), ("a.dcm", None)],
)
def test_files_of_another_kind_are_never_replaced(tmp_path, film, name, content):
    path = tmp_path / name
    path.write_bytes(film.read_bytes() if content is None else content)
    before = path.read_bytes()
    assert is_landmark_file(path)
    assert not holds_landmarks(path)
    with pytest.raises(OutputError, match="so it is not replaced"):
        write_landmarks(path, [cephalogram()], overwrite=True, source=film)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.sr.dcm", "a.tps"])
def test_files_of_the_same_kind_are_replaced(tmp_path, film, name):
    for _ in range(2):
        write_landmarks(tmp_path / name, [cephalogram()], overwrite=True, source=film)


# -- what is lost ---------------------------------------------------------------------


def test_losses_name_what_is_there_and_nothing_else(tmp_path):
    bare = Landmarks((Landmark("a", (1, 2)),), "a.png", Geometry((9, 9)))
    assert unsupported_fields("a.tps", [bare]) == ()
    assert unsupported_fields("a.tps", [bare.with_geometry(Geometry((9, 9), (0.1, 0.1)))]) == ()
    assert unsupported_fields("a.txt", [bare]) == ("size of the image",)
    assert unsupported_fields("a.tps", [bare, on()]) == (
        *("scores", "marks of unsure points", "shape residuals", "descriptions"),
        *("who made the points", "where the image lies in the patient"),
        "for other programs, that pixels are not square",
    )
    assert all(form.unsupported([on()]) == () for form in FORMATS if form.suffix == ".json")


def test_without_a_listener_what_is_passed_over_is_a_warning(tmp_path):
    path = tmp_path / "a.tps"
    path.write_text("LM=1\n1 2\nOUTLINES=1\nPOINTS=2\n1 2\n3 4\nIMAGE=a.png\n")
    with pytest.warns(LandmarkWarning, match=r"a\.tps: outlines are passed over"):
        read_landmarks(path, geometry=Geometry((9, 9)))
    told = []
    read_landmarks(path, geometry=Geometry((9, 9)), tell=told.append)
    assert len(told) == 1


# -- damaged files --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["film.json", "film.mrk.json", "film.sr.dcm"])
def test_files_cut_short_are_never_read_as_fewer_landmarks(tmp_path, film, name):
    path = tmp_path / name
    write_landmarks(path, [on(film)], source=film)
    whole = path.read_bytes()
    # The last bytes may be a line end or the padding of DICOM.
    for length in range(len(whole) // 2, len(whole) - 2, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(OneshotError):
            read_landmarks(path)
