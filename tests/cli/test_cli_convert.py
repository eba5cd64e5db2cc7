"""``oneshot-lmk convert`` through the real command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_scene import one_sentence, refused, run, save_image, succeed
from oblique_image import SHAPE_YX, cephalogram, geometry, on, same_places, write_dicom

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three films, of which one is no DICOM."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("one.dcm", "two.dcm"):
        write_dicom(folder / name)
    grey = read_image(folder / "one.dcm").pixels % 251
    save_image(folder / "three.png", grey.astype(np.uint8))
    return folder


@pytest.fixture
def table(tmp_path: Path, images: Path) -> Path:
    """A plain table of all three, that knows nothing but pixels."""
    path = tmp_path / "found.csv"
    rows = [
        f"{name},{p.name},{p.position_yx[1]},{p.position_yx[0]}"
        for name in ("one.dcm", "two.dcm", "three.png")
        for p in cephalogram()
    ]
    path.write_text("image,landmark,x_px,y_px\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".tps"])
def test_a_table_goes_to_another_file_of_many(tmp_path, images, table, suffix):
    out = tmp_path / f"out{suffix}"
    result = succeed("convert", table, out, "--images", images)
    assert f"{out}: 57 landmarks on 3 images" in result.stdout
    back = read_landmarks(out)
    assert [la.image for la in back] == ["one.dcm", "two.dcm", "three.png"]
    for landmarks in back:
        assert same_places(landmarks, cephalogram())
        assert landmarks.geometry.image_shape_yx == SHAPE_YX
    # Sizes and spacings came from the images.
    assert back[0].geometry.spacing_mm_yx == (0.2, 0.35)
    assert back[2].geometry.spacing_mm_yx is None


@pytest.mark.parametrize("ending", [".sr.dcm", ".mrk.json", "txt", ".json"])
def test_a_table_goes_to_a_folder_and_back(tmp_path, images, table, ending):
    (images / "three.png").unlink()
    text = table.read_text().splitlines()
    table.write_text("\n".join(line for line in text if "three" not in line))
    folder, again = tmp_path / "files", tmp_path / "again.csv"
    succeed("convert", table, folder, "--to", ending, "--images", images)
    names = sorted(path.name for path in folder.iterdir())
    dotted = ending if ending.startswith(".") else f".{ending}"
    assert names == [f"one{dotted}", f"two{dotted}"]
    succeed("convert", folder, again, "--images", images)
    back = read_landmarks(again)
    assert sorted(la.image for la in back) == ["one.dcm", "two.dcm"]
    for landmarks in back:
        order = cephalogram().with_points(landmarks[p.name] for p in cephalogram())
        assert same_places(order, cephalogram())


def test_what_is_left_out_is_said_and_is_no_failure(tmp_path):
    write_landmarks(tmp_path / "a.csv", [on()])
    result = succeed("convert", tmp_path / "a.csv", tmp_path / "a.tps")
    assert one_sentence(result) == (
        "tpsDig files do not hold everything; left out: scores, marks of "
        "unsure points, shape residuals, descriptions, who made the points, where the "
        "image lies in the patient, for other programs, that pixels are not square."
    )
    result = run("convert", tmp_path / "a.csv", tmp_path / "a.json", "--json")
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "out": str(tmp_path / "a.json"),
        "images": ["film.dcm"],
        "landmarks": 6,
        "left_out": [],
        "failed": [],
    }
    assert read_landmarks(tmp_path / "a.json") == (on(),)


def test_a_single_image_is_the_one_that_is_meant(tmp_path, images):
    lps = geometry().points_to_lps([(10.25, 20.5)])[0]
    path = tmp_path / "F.fcsv"
    path.write_text(
        "# CoordinateSystem = LPS\n# columns = id,x,y,z,label\n"
        f"1,{','.join(map(repr, lps.tolist()))},sella\n"
    )
    out = tmp_path / "out.sr.dcm"
    succeed("convert", path, out, "--image", images / "two.dcm")
    (back,) = read_landmarks(out)
    assert back.image == "two.dcm"
    assert same_places(back, back.with_points([Landmark("sella", (10.25, 20.5))]))


def test_one_image_is_not_taken_for_several(tmp_path, images, table):
    said = refused(2, "convert", table, tmp_path / "o.json", "--image", images / "one.dcm")
    assert "on 3 images, but only one.dcm is named; name the folder" in said


def test_spacing_and_names_are_given(tmp_path, images):
    path = tmp_path / "a.tps"
    path.write_text("LM=2\n1 2\n3 4\nIMAGE=three.jpg\nSCALE=0.5\n")
    out, names = tmp_path / "a.csv", tmp_path / "names.txt"
    names.write_text("s\nn\n")
    call = ("convert", path, out, "--images", images)
    assert succeed(*call, "--names", names, "--spacing", "0.3x0.2").stderr == ""
    (back,) = read_landmarks(out)
    assert back.names == ("s", "n")
    assert back.image == "three.png"
    assert back.geometry == Geometry(SHAPE_YX, (0.3, 0.2))
    assert "SCALE= names no unit" in refused(0, *call, "--overwrite")
    # Given spacing also goes before what a file states.
    write_landmarks(tmp_path / "b.json", [on()])
    run("convert", tmp_path / "b.json", tmp_path / "b.csv", "--spacing", "0.5")
    (back,) = read_landmarks(tmp_path / "b.csv")
    assert back.geometry == geometry().with_spacing(0.5)


def test_landmarks_of_another_size_are_not_put_on_the_image(tmp_path, images):
    other = Landmarks((Landmark("a", (1, 2)),), "one.dcm", Geometry((9, 9)))
    write_landmarks(tmp_path / "a.csv", [other])
    said = refused(1, "convert", tmp_path / "a.csv", tmp_path / "a.json", "--images", images)
    assert "one.dcm: the landmarks are on 9 x 9 pixels, but one.dcm has 90 x 70" in said


def test_what_fails_is_named_and_the_others_go_on(tmp_path, images, table):
    folder = tmp_path / "files"
    result = run("convert", table, folder, "--to", "sr.dcm", "--images", images)
    assert result.exit_code == 1
    assert sorted(p.name for p in folder.iterdir()) == ["one.sr.dcm", "two.sr.dcm"]
    assert f"{folder}: 38 landmarks on 2 images" in result.stdout
    assert "1 file could not be used:" in result.stderr
    assert f"{folder / 'three.sr.dcm'}: a DICOM structured report refers to" in (result.stderr)
    # Nothing at all: no folder is made.
    result = run("convert", table, tmp_path / "none", "--to", ".mrk.json")
    assert result.exit_code != 0
    assert not (tmp_path / "none").exists()
    assert "Traceback" not in result.output


def test_a_damaged_file_of_a_folder_does_not_stop_the_others(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    write_landmarks(folder / "a.json", [on("a.png")])
    write_landmarks(folder / "b.csv", [on("b.png")])
    write_landmarks(folder / "c.csv", [on("b.png")])
    write_landmarks(folder / "d.json", [on("d.png")])
    (folder / "d.json").write_text((folder / "d.json").read_text()[:-30])
    (folder / "notes.txt").write_text("not landmarks")
    result = run("convert", folder, tmp_path / "all.csv")
    assert result.exit_code == 1
    assert [la.image for la in read_landmarks(tmp_path / "all.csv")] == ["a.png", "b.png"]
    assert "2 files could not be used:" in result.stderr
    assert f"{folder / 'd.json'}: is not JSON" in result.stderr
    assert "c.csv: image 'b.png' stands already in b.csv" in result.stderr


def test_images_beside_reports_are_never_replaced(tmp_path, images, table):
    before = (images / "one.dcm").read_bytes()
    result = run(*("convert", table, images, "--to", ".dcm", "--images", images, "--overwrite"))
    assert result.exit_code == 2
    assert "exists and is no DICOM structured report file" in result.stderr
    assert (images / "one.dcm").read_bytes() == before


def test_same_stems_keep_apart(tmp_path):
    write_landmarks(tmp_path / "a.csv", [on("a/1.png"), on("b/1.PNG"), on("2 [3]")])
    succeed("convert", tmp_path / "a.csv", tmp_path / "f", "--to", ".mrk.json")
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == [
        *("2 [3].mrk.json", "a_1.png.mrk.json", "b_1.PNG.mrk.json")
    ]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["in.csv", "out.fcsv"], ".fcsv files are only read; write .mrk.json"),
        (["in.csv", "out"], "or name a folder and say with --to which files"),
        (["in.csv", "out", "--to", "xlsx"], "is not the name of a landmark file"),
        (["in.csv", "out.mrk.json"], "name a folder and add --to .mrk.json"),
        (["in.xlsx", "out.csv"], "is not the name of a landmark file"),
        (["in.csv", "in.csv"], "choose another name or pass --overwrite"),
        (["in.csv", "o.csv", "--spacing", "1"], "--spacing needs the size of image"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.xlsx").write_text("")
    plain = replace(on("a.png"), geometry=None)
    write_landmarks("in.csv", [plain, replace(plain, image="b.png")])
    assert match in refused(2, "convert", *arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["convert", "nowhere.csv", "out.csv"], "nowhere.csv: there is no such file or folder"),
        (["convert", "empty", "out.csv"], "empty: holds no landmark files"),
        (["convert", "in.csv", "o.csv", "--image", "no.png"], "there is no such file or folder"),
        (["measure", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["measure", "in.csv", "--set", "own.toml"], "own.toml: is neither a set"),
        (["detect", "--template", "nowhere", "--out", "o.csv", "no.png"], "no.png: there is no"),
    ],
)
def test_what_is_not_there_is_no_wrong_use(tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_landmarks("in.csv", [on("a.png")])
    assert match in refused(1, *arguments)


def test_if_no_file_can_be_written_all_are_named_in_one_list(tmp_path):
    write_landmarks(tmp_path / "in.csv", [on("a.png"), on("b.png")])
    out = tmp_path / "out"
    result = run("convert", tmp_path / "in.csv", out, "--to", ".sr.dcm")
    assert (result.exit_code, out.exists()) == (1, False)
    first, *lines = result.stderr.splitlines()
    assert first == "2 files could not be used:"
    assert [line.split(":")[0] for line in lines] == [f"  {out / n}.sr.dcm" for n in "ab"]


def test_other_commands_read_all_formats(tmp_path, images):
    film = images / "one.dcm"
    landmarks = cephalogram("one.dcm", read_image(film).geometry)
    write_landmarks(tmp_path / "truth.csv", [landmarks])
    for suffix in (".json", ".tps", ".sr.dcm", ".mrk.json"):
        path = tmp_path / f"one{suffix}"
        write_landmarks(path, [landmarks], source=film)
        both = ("--predicted", path, "--truth", tmp_path / "truth.csv")
        assert json.loads(succeed("evaluate", *both, "--json").stdout)
        out = tmp_path / f"template{suffix}"
        result = succeed("template", "--image", film, "--landmarks", path, "--out", out)
        assert "19 landmarks on one.dcm, 0.2 x 0.35 mm a pixel" in result.stdout
