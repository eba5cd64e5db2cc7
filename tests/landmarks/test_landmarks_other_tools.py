"""Slicer's fcsv, the ISBI challenge's text files, and napari's own points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from landmark_sets import refuses
from napari.layers import Points
from npe2 import PluginManifest
from oblique_image import cephalogram, geometry, on

from napari_oneshot_lmk.errors import OutputError, SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import holds_landmarks, read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM, read_landmark_list

# Where no image file is named, nobody knows how Slicer counts: that has a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*checked without the image file:napari_oneshot_lmk.landmarks.files.LandmarkWarning"
)

# -- Slicer's fcsv --------------------------------------------------------------------

OLD = "# Markups fiducial file version = 4.10\n# CoordinateSystem = {system}\n"
NEW = "# Markups fiducial file version = 4.13\n# CoordinateSystem = {system}\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
POINTS = {"sella": (10.25, 20.5), "nasion, front": (60.0, 3.125)}


def fcsv(path: Path, header: str, positions: np.ndarray) -> Path:
    lines = [
        f'vtkMRMLFiducialNode_{n},{x!r},{y!r},{z!r},0,0,0,1,1,1,0,"{name}",a point,'
        for n, (name, (x, y, z)) in enumerate(zip(POINTS, positions.tolist(), strict=True))
    ]
    path.write_text(header + COLUMNS + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "signs"),
    [
        (OLD.format(system=0), (-1, -1, 1)),
        (OLD.format(system=1), (1, 1, 1)),
        (NEW.format(system="RAS"), (-1, -1, 1)),
        (NEW.format(system="LPS"), (1, 1, 1)),
        ("# Markups fiducial file version = 4.3\n", (-1, -1, 1)),
    ],
)
def test_fcsv_of_all_vintages_lands_on_the_oblique_image(tmp_path, header, signs):
    lps = geometry().points_to_lps(list(POINTS.values()))
    path = fcsv(tmp_path / "film.fcsv", header, lps * signs)
    assert holds_landmarks(path)
    (landmarks,) = read_landmarks(path, geometry=geometry())
    assert landmarks.names == tuple(POINTS)
    assert landmarks.image == "film"
    assert landmarks["sella"].description == "a point"
    np.testing.assert_allclose(landmarks.positions_yx, list(POINTS.values()), atol=1e-6)


@pytest.mark.parametrize("system", ["2", "IJK"])
def test_fcsv_in_voxels_needs_no_geometry(tmp_path, system):
    ijk = np.array([(x, y, 0.0) for y, x in POINTS.values()])
    path = fcsv(tmp_path / "film.fcsv", NEW.format(system=system), ijk)
    (landmarks,) = read_landmarks(path)
    assert landmarks["sella"].position_yx == POINTS["sella"]
    fcsv(path, NEW.format(system=system), ijk + np.array([0, 0, 2]))
    refuses("line 4: 'sella' lies on slice 2", path)


def test_fcsv_of_slicer_3(tmp_path):
    path = tmp_path / "film.fcsv"
    path.write_text(
        "# Fiducial List file /data/film.fcsv\n# version = 2\n# name = L\n"
        "# columns = label,x,y,z,sel,vis\n# numPoints = 1\nsella,-10,-20,0,1,1\n"
    )
    (landmarks,) = read_landmarks(path, geometry=Geometry((90, 70), (1.0, 1.0)))
    assert landmarks["sella"].position_yx == (20.0, 10.0)


def test_fcsv_needs_its_image(tmp_path):
    lps = geometry().points_to_lps(list(POINTS.values()))
    path = fcsv(tmp_path / "film.fcsv", NEW.format(system="LPS"), lps)
    refuses(r"film\.fcsv: .*convert it with --image", path)
    with pytest.raises(SpacingUnknownError, match="spacing of the image is unknown"):
        read_landmarks(path, geometry=Geometry((90, 70)))
    # RAS taken for LPS ends far from the plane of an oblique image.
    fcsv(path, NEW.format(system="RAS"), lps)
    refuses(r"line 4: 'sella' lies .* off the image's", path, geometry=geometry())


# -- the challenge's text files --------------------------------------------------------


def test_a_file_of_the_challenge_with_its_classes(tmp_path):
    path = tmp_path / "001.txt"
    lines = [f"{835 + n},{996 - n}" for n in range(19)]
    path.write_text("\r\n".join([*lines, *"11112131", ""]))
    assert holds_landmarks(path)
    told: list[str] = []
    (landmarks,) = read_landmarks(path, tell=told.append)
    assert landmarks.image == "001"
    assert landmarks.names == ISBI19_CEPHALOGRAM.names
    assert landmarks["sella"].position_yx == (996.0, 835.0)
    assert landmarks["articulare"].position_yx == (978.0, 853.0)
    assert told == [f"{path}: the classes below the landmarks are passed over"]
    # Not a list of 19 names.
    assert read_landmark_list(path).names == ISBI19_CEPHALOGRAM.names


def test_whole_numbers_are_written_as_the_challenge_has_them(tmp_path):
    path = tmp_path / "001.txt"
    whole = cephalogram().with_points(
        Landmark(name, (number, 2.5)) for number, name in enumerate(cephalogram().names)
    )
    write_landmarks(path, [whole])
    lines = path.read_text().splitlines()
    assert len(lines) == 19
    assert lines[0] == "2.5,18"
    assert lines[-1] == "2.5,0"


def test_other_landmarks_cannot_be_written_for_the_challenge(tmp_path):
    path = tmp_path / "a.txt"
    whole = cephalogram()
    renamed = (replace(p, name="S") if p.name == "sella" else p for p in whole)
    for landmarks, match in [
        (on(), "there are 6; write a .csv file"),
        (whole.with_landmark(replace(on()["nasion"], name="sella")), "sella has no position"),
        (whole.with_points(renamed), "sella is not among them"),
    ]:
        with pytest.raises(OutputError, match=match):
            write_landmarks(path, [landmarks])
        assert not path.exists()


# -- napari's own points ---------------------------------------------------------------


def test_points_that_napari_saved(tmp_path, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = tmp_path / "Points.csv"
    Points([[1.25, 2.5], [30.0, 4.0]]).save(str(path), plugin="napari")
    (landmarks,) = read_landmarks(path, geometry=geometry())
    assert holds_landmarks(path)
    assert landmarks.names == ("1", "2")
    assert landmarks["1"].position_yx == (1.25, 2.5)
    assert (landmarks.image, landmarks.geometry) == ("Points", geometry())
    assert read_landmarks(path, names="ab")[0].names == ("a", "b")


def test_points_on_a_stack_are_one_set_for_each_slice(tmp_path):
    path = tmp_path / "stack.csv"
    path.write_text("index,axis-0,axis-1,axis-2,label\n0,2.0,1,2,s\n1,2.0,3,4,n\n2,5.0,6,7,s\n")
    second, fifth = read_landmarks(path)
    assert (second.image, fifth.image) == ("stack [2]", "stack [5]")
    assert second.names == ("s", "n")
    assert fifth["s"].position_yx == (6.0, 7.0)


def test_shapes_of_napari_are_not_points(tmp_path):
    path = tmp_path / "shapes.csv"
    path.write_text("index,shape-type,vertex-index,axis-0,axis-1\n0,path,0,1,2\n")
    assert not holds_landmarks(path)


# -- what is wrong ---------------------------------------------------------------------

IJK = "# CoordinateSystem = IJK\n"
AXES = "index,axis-0,axis-1\n"


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.fcsv", "# CoordinateSystem = XYZ\n", "line 1: the coordinate system is 'XYZ'"),
        ("a.fcsv", "# columns = id,x,y\n", "line 1: there is no column z, label"),
        ("a.fcsv", COLUMNS, "holds no points"),
        ("a.fcsv", f"{COLUMNS}1,1,2\n", "line 2: the point has no label"),
        ("a.fcsv", f"{COLUMNS}1,1,b,3,0,0,0,1,1,1,0,F\n", "line 2: the position of 'F' is not"),
        ("a.fcsv", f'{COLUMNS}1,1,2,3,0,0,0,1,1,1,0,"F\n', "line 2: is not a line of a table"),
        ("a.fcsv", IJK + COLUMNS + "1,1,2,0,0,0,0,1,1,1,0,F\n" * 2, "landmark 'F' stands twice"),
        ("a.txt", "1,2\n" * 18, "line 18: is the last, but only 18 of 19 landmarks have come"),
        ("a.txt", "1,2\n" * 5 + "x,2\n" * 14, "line 6: is not x,y; .* begins with 19"),
        ("a.txt", "1,2\n" * 20, "line 20: is none of the classes"),
        ("a.txt", "1;2\n" * 19, "line 1: is not x,y"),
        ("a.csv", AXES, "holds no points"),
        ("a.csv", f"{AXES}0,1,\n", "line 2: axis-1 is empty"),
        ("a.csv", f"{AXES}0,1,two\n", "line 2: axis-1 is 'two', which is not a number"),
        ("a.csv", f"{AXES}0,1\n", "line 2: 2 fields where the first line has 3"),
    ],
)
def test_damaged_files_are_refused_with_their_line(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    refuses(match, tmp_path / name, geometry=geometry())
