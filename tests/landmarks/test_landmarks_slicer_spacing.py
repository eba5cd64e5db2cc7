"""Millimetres of 3D Slicer, which counts some images otherwise than we do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from cli_scene import refused, succeed
from dicom_files import dataset, saved
from PIL import Image
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalIntraOralXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
)

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.formats.itk import itk_geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import LandmarkWarning, read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

SHAPE_YX = (40, 56)
POINT_YX = (30.0, 40.0)
PIXELS = np.arange(SHAPE_YX[0] * SHAPE_YX[1], dtype=np.uint16).reshape(SHAPE_YX)
SPACINGS = {
    "pixel": {"PixelSpacing": [0.1, 0.2]},
    "imager": {"ImagerPixelSpacing": [0.15, 0.3]},
    "both": {"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.15, 0.3]},
    "magnified": {
        "PixelSpacing": [0.1, 0.2],
        "ImagerPixelSpacing": [0.15, 0.3],
        "EstimatedRadiographicMagnificationFactor": 1.5,
        "PixelSpacingCalibrationType": "GEOMETRY",
    },
    "placed": {
        "PixelSpacing": [0.1, 0.2],
        "ImagePositionPatient": [5, 6, 7],
        "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
    },
}
CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "IO": DigitalIntraOralXRayImageStorageForPresentation,
    "SC": SecondaryCaptureImageStorage,
}


def in_itk(path: Path, point_yx: tuple[float, float] = POINT_YX) -> list[float]:
    """Return where ITK, and with it Slicer, has a pixel of an image."""
    image = SimpleITK.ReadImage(str(path))
    index = (point_yx[1], point_yx[0], 0)[: image.GetDimension()]
    position = image.TransformContinuousIndexToPhysicalPoint(index)
    return [*position, 0.0][:3]


def of_slicer(path: Path, lps: list[float]) -> Path:
    controls = [{"id": "1", "label": "S", "position": lps}]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}
    path.write_text(json.dumps({"@schema": "markups-schema", "markups": [markup]}))
    return path


def fcsv(path: Path, lps: list[float], system: str) -> Path:
    x, y, z = lps if system == "LPS" else (-lps[0], -lps[1], lps[2])
    path.write_text(f"# CoordinateSystem = {system}\n1,{x},{y},{z},0,0,0,1,1,1,0,S,,\n")
    return path


@pytest.fixture(params=[f"{c} {s}" for c in CLASSES for s in SPACINGS])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind, spacing = request.param.split()
    return saved(tmp_path / "film.dcm", dataset(PIXELS, 12, CLASSES[kind], **SPACINGS[spacing]))


# -- what ITK says -------------------------------------------------------------------


def test_the_geometry_is_that_of_itk(film):
    seen = itk_geometry(film)
    assert seen.image_shape_yx == SHAPE_YX
    for point in [(0.0, 0.0), (39.0, 0.0), POINT_YX]:
        np.testing.assert_allclose(seen.points_to_lps([point])[0], in_itk(film, point))


def test_what_itk_reads_as_we_do_or_not_at_all_is_not_asked(tmp_path):
    image = SimpleITK.GetImageFromArray(PIXELS)
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    assert itk_geometry(tmp_path / "a.mha") is None
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    assert itk_geometry(tmp_path / "a.dcm") is None
    assert itk_geometry(tmp_path / "missing.png") is None
    volume = dataset(np.stack([PIXELS, PIXELS]), 12, SecondaryCaptureImageStorage)
    assert itk_geometry(saved(tmp_path / "volume.dcm", volume)) is None


# -- from Slicer ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mrk.json", "RAS", "LPS"])
def test_points_of_slicer_land_where_they_were_placed(tmp_path, film, kind):
    lps = in_itk(film)
    if kind == "mrk.json":
        path = of_slicer(tmp_path / "film.mrk.json", lps)
    else:
        path = fcsv(tmp_path / "film.fcsv", lps, kind)
    own = read_image(film).geometry
    told = []
    (back,) = read_landmarks(path, geometry=own, source=film, tell=told.append)
    assert back["S"].position_yx == pytest.approx(POINT_YX, abs=1e-3)
    assert back.geometry == own
    # Only where Slicer counts otherwise there is something to say.
    same = np.allclose(own.points_to_lps([POINT_YX])[0], lps)
    assert bool(told) == (not same)
    assert all("pixel spacing that 3D Slicer takes for film.dcm" in t for t in told)


def test_without_the_image_file_it_is_said_that_nobody_has_looked(tmp_path):
    path = of_slicer(tmp_path / "film.mrk.json", [4.0, 3.0, 0.0])
    geometry = Geometry(SHAPE_YX, (0.1, 0.1))
    with pytest.warns(LandmarkWarning, match="checked without the image file"):
        (back,) = read_landmarks(path, geometry=geometry)
    assert back["S"].position_yx == pytest.approx((30, 40))


@pytest.mark.parametrize(
    ("lps", "spacing", "expected", "says"),
    [
        ([10.0, 5.0, 0.0], 0.5, (10, 20), "takes 1 mm per pixel for film.png unless"),
        # Not where the points would lie off the image.
        ([40.0, 30.0, 0.0], 0.1, POINT_YX, "that 3D Slicer takes for film.png (1 x 1 mm)"),
    ],
)
def test_a_given_spacing_counts_where_the_image_states_none(tmp_path, lps, spacing, expected, says):
    source = tmp_path / "film.png"
    Image.fromarray(PIXELS.astype(np.uint8)).save(source)
    path = fcsv(tmp_path / "film.fcsv", lps, "LPS")
    own = read_image(source, spacing_mm_yx=spacing).geometry
    told = []
    (back,) = read_landmarks(path, geometry=own, source=source, tell=told.append)
    assert back["S"].position_yx == pytest.approx(expected)
    assert says in told[0]


def test_a_resolution_that_slicer_takes_for_a_spacing_is_taken_too(tmp_path):
    source = tmp_path / "film.jpg"
    Image.fromarray(PIXELS.astype(np.uint8)).save(source, dpi=(254, 254))
    path = of_slicer(tmp_path / "film.mrk.json", in_itk(source))
    own = read_image(source, spacing_mm_yx=0.5).geometry
    (back,) = read_landmarks(path, geometry=own, source=source, tell=lambda _: None)
    assert back["S"].position_yx == pytest.approx(POINT_YX)


# -- for Slicer ----------------------------------------------------------------------


def test_what_is_written_lies_on_the_anatomy_in_slicer_and_comes_back(tmp_path, film):
    path = tmp_path / "film.mrk.json"
    own = read_image(film).geometry
    landmarks = Landmarks((Landmark("S", POINT_YX, score=0.5),), "film.dcm", own)
    if own.spacing_mm_yx is None:
        pytest.skip("written only where the spacing is known")
    write_landmarks(path, [landmarks], source=film)
    document = json.loads(path.read_text())
    (control,) = document["markups"][0]["controlPoints"]
    np.testing.assert_allclose(control["position"], in_itk(film), atol=1e-9)
    # Our own file says what it was written in: no image is needed, nothing is told.
    assert read_landmarks(path) == (landmarks,)
    # Moved in Slicer by ten of its pixels.
    control["position"] = in_itk(film, (20.0, 25.0))
    path.write_text(json.dumps(document))
    (moved,) = read_landmarks(path)
    assert moved["S"].position_yx == pytest.approx((20, 25), abs=1e-6)
    assert moved.geometry == own
    # Saved again by Slicer, which drops what is ours.
    of_slicer(path, control["position"])
    (again,) = read_landmarks(path, geometry=own, source=film, tell=lambda _: None)
    assert again["S"].position_yx == pytest.approx((20, 25), abs=1e-3)


def test_another_image_is_not_asked(tmp_path):
    other = saved(tmp_path / "b.dcm", dataset(PIXELS[:20], 12, **SPACINGS["both"]))
    grid = Geometry(SHAPE_YX, (0.1, 0.2))
    path = tmp_path / "film.mrk.json"
    write_landmarks(path, [Landmarks((Landmark("S", (1, 2)),), "a", grid)], source=other)
    (control,) = json.loads(path.read_text())["markups"][0]["controlPoints"]
    np.testing.assert_allclose(control["position"], [0.4, 0.1, 0])


# -- on the command line -------------------------------------------------------------


def test_the_commands_ask_the_image_that_is_named(tmp_path):
    film = saved(tmp_path / "film.dcm", dataset(PIXELS, 12, **SPACINGS["both"]))
    path = of_slicer(tmp_path / "film.mrk.json", in_itk(film))
    out = tmp_path / "out.csv"
    said = refused(0, "convert", path, out, "--image", film)
    assert "3D Slicer takes for film.dcm (0.15 x 0.3 mm)" in said
    assert read_landmarks(out)[0]["S"].position_yx == pytest.approx(POINT_YX)
    template = tmp_path / "T"
    result = succeed("template", "--image", film, "--landmarks", path, "--out", template)
    assert "3D Slicer takes for film.dcm" in result.stderr
    # And back, with and without the image.
    back = tmp_path / "back.mrk.json"
    succeed("convert", out, back, "--image", film)
    (control,) = json.loads(back.read_text())["markups"][0]["controlPoints"]
    np.testing.assert_allclose(control["position"], in_itk(film), atol=1e-6)
    said = refused(0, "convert", out, tmp_path / "unchecked.mrk.json")
    assert "Name the image (--image, --images) to have that checked" in said
