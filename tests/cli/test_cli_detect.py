"""``oneshot-lmk detect`` through the real command line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_scene import (
    POINTS,
    SHIFTS,
    SPACING_MM,
    World,
    make_world,
    python,
    refused,
    run,
    save_image,
    scene,
    stop_after,
    succeed,
    view,
)
from dicom_files import dataset, saved
from PIL import Image
from safetensors.torch import save

from napari_oneshot_lmk.landmarks.files import read_landmarks


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights anywhere and none to be had: the shipped encoder works."""
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def refuse(progress: object = None) -> None:
        from napari_oneshot_lmk.errors import WeightsError

        raise WeightsError("no network in this test")

    monkeypatch.setattr("napari_oneshot_lmk.encoders.weights.download_weights", refuse)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world") / "w", template=True)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A fresh copy for a test that spoils things."""
    shutil.copytree(made.folder, tmp_path / "w")
    return World(tmp_path / "w")


def call(world: World, *images: object, out: object = None) -> list[object]:
    out = world.folder / "found.csv" if out is None else out
    return ["detect", "--template", world.template, "--out", out, *images]


def test_found_where_the_content_went(made, tmp_path):
    out = tmp_path / "found.csv"
    result = succeed(*call(made, made.images, "--spacing", SPACING_MM, out=out))
    assert f"{out}: 9 landmarks on 3 images" in result.stdout
    assert "no network in this test" in result.stderr  # says why it is the shipped one
    found = {landmarks.image: landmarks for landmarks in read_landmarks(out)}
    assert set(found) == set(SHIFTS)
    for image, shift in SHIFTS.items():
        assert found[image].names == tuple(POINTS)
        assert found[image].geometry.spacing_mm_yx == (SPACING_MM, SPACING_MM)
        off = found[image].positions_yx - np.add(list(POINTS.values()), shift)
        assert np.hypot(*off.T).max() < 2.5, image
        assert all(0 <= point.score <= 1 for point in found[image])
        assert found[image].provenance.method == "instant"
        assert found[image].provenance.encoder

    result = run("evaluate", "--predicted", out, "--truth", made.truth, "--json")
    summary = json.loads(result.stdout)
    assert summary["native"]["n"] == summary["grid384"]["n"] == 9
    assert summary["native"]["mre_mm"] < 1
    assert summary["encoders"] == [found["one.png"].provenance.encoder]


def test_json_goes_alone_to_stdout(made, tmp_path):
    result = run(*call(made, made.images / "one.png", "--json", out=tmp_path / "found.csv"))
    content = json.loads(result.stdout)
    (image,) = content["images"]
    assert (image["image"], image["spacing_mm_yx"], content["failed"]) == ("one.png", None, [])
    assert [p["name"] for p in image["landmarks"]] == list(POINTS)
    assert all(p["radius_90_px"] > 0 and p["radius_90_mm"] is None for p in image["landmarks"])


def test_how_each_image_was_read_is_said(made, tmp_path):
    pixels = np.array(Image.open(made.images / "one.png").convert("L"))
    folder = tmp_path / "films"
    folder.mkdir()
    saved(folder / "film.dcm", dataset(pixels, 8, ImagerPixelSpacing=[0.5, 0.5]))
    exif = Image.Exif()
    exif[0x0112] = 8
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(pixels).save(folder / name, quality=95, exif=exif)
    result = succeed(*call(made, folder, "--json", out=tmp_path / "found.csv"))
    images = {image["image"]: image for image in json.loads(result.stdout)["images"]}
    for point in images["film.dcm"]["landmarks"]:
        assert point["radius_90_mm"] == pytest.approx(0.5 * point["radius_90_px"])
    assert images["film.dcm"]["spacing_source"] == "ImagerPixelSpacing"
    assert images["film.dcm"]["notes"] == []
    assert images["a.jpg"]["spacing_source"] is None
    assert "orientation 8" in images["a.jpg"]["notes"][0]
    result = run(*call(made, folder, "--overwrite", out=tmp_path / "found.csv"))
    assert result.stderr.count("orientation 8") == 1
    assert "a.jpg and 1 more: the file asks viewers" in result.stderr


def test_globs_and_markups(made, tmp_path):
    out = tmp_path / "one.mrk.json"
    succeed(*call(made, made.images / "on*.png", "--spacing", SPACING_MM, out=out))
    assert json.loads(out.read_text())["markups"][0]["coordinateSystem"] == "LPS"
    several = call(made, made.images, out=tmp_path / "all.mrk.json")
    assert "one image only" in refused(2, *several)


def test_unknown_spacing_leaves_mm_empty(made, tmp_path):
    out = tmp_path / "found.csv"
    assert "and 2 more is unknown" in succeed(*call(made, made.images, out=out)).stderr
    header, first, *_ = out.read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert row["x_mm"] == row["y_mm"] == ""


def test_bad_files_do_not_stop_the_others(world):
    (world.images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (world.images / "empty.jpg").write_bytes(b"")
    save_image(world.images / "blank.png", np.zeros((50, 50), np.uint8))
    whole = (world.images / "one.png").read_bytes()
    (world.images / "cut.png").write_bytes(whole[: len(whole) // 2])
    result = run(*call(world, world.images))
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "4 images could not be used:" in result.stderr
    for name in ("broken.png", "empty.jpg", "blank.png", "cut.png"):
        lines = [li for li in result.stderr.splitlines() if li.startswith("  ") and name in li]
        assert len(lines) == 1, name
    found = read_landmarks(world.folder / "found.csv")
    assert {landmarks.image for landmarks in found} == set(SHIFTS)


def test_only_bad_files_write_nothing(world):
    (world.folder / "a.png").write_bytes(b"")
    result = run(*call(world, world.folder / "a.png", "--json"))
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert (content["out"], len(content["failed"])) == (None, 1)
    assert not (world.folder / "found.csv").exists()


# -- wrong use --------------------------------------------------------------------


def test_existing_output_is_kept(world):
    out = world.folder / "found.csv"
    out.write_text("mine")
    assert "--overwrite" in refused(2, *call(world, world.images))
    assert out.read_text() == "mine"
    succeed(*call(world, world.images, "--overwrite"))
    assert out.read_text().startswith("image,landmark")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--spacing", "0"], "spacing 0 x 0 mm"),
        (["--spacing", "-1"], "spacing -1 x -1 mm"),
        (["--device", "tpu"], "tpu"),
        (["--out", "found.xlsx"], "end it in .csv, .mrk.json, "),
    ],
)
def test_wrong_options(made, arguments, says):
    assert says in refused(2, *call(made, made.images, *arguments))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_missing_gpu(made, tmp_path):
    out = tmp_path / "found.csv"
    assert "CUDA" in refused(2, *call(made, made.images, "--device", "cuda", out=out))


def test_what_cannot_be_written_is_refused_before_the_detection(made, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_oneshot_lmk.detection.batch.detect_many", None)
    out = tmp_path / "found.mrk.json"
    said = refused(1, *call(made, made.images / "one.png", out=out))
    assert "the pixel spacing of one.png is unknown; give it with --spacing" in said


def test_files_that_are_passed_over_are_named(made, tmp_path):
    (tmp_path / "film.webp").write_bytes(b"RIFF")
    result = succeed(*call(made, tmp_path, made.images / "one.png", out=tmp_path / "found.csv"))
    assert "Passed over, since files of this kind are not read: film.webp" in result.stderr


def test_no_images(made, tmp_path):
    for source, says in [(tmp_path, "no image"), (tmp_path / "x.png", "no such file")]:
        assert says in refused(1, *call(made, source))


def test_broken_template(world):
    (world.template / "template.json").write_text("{")
    assert str(world.template) in refused(1, *call(world, world.images))
    assert not (world.folder / "found.csv").exists()


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"these are no weights",
        pickle.dumps({"features.0.weight": [1.0]}),
        save({"layer.weight": torch.zeros(3, 3)}),  # of another architecture
    ],
    ids=["missing", "text", "pickle", "other"],
)
def test_weights_that_are_none(world, content):
    path = world.folder / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    said = refused(1, *call(world, world.images, "--encoder-weights", path))
    assert "bad.safetensors" in said
    assert not (world.folder / "found.csv").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write")
def test_read_only_folder(world):
    locked = world.folder / "locked"
    locked.mkdir(mode=0o555)
    assert "locked" in refused(2, *call(world, world.images, out=locked / "found.csv"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
def test_folder_that_nobody_may_write_to(made):
    assert "/proc" in refused(2, *call(made, made.images, out="/proc/found.csv"))


# -- Ctrl-C -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "Stopped after 2 of 3 images; what was found is in"),
        (MemoryError("no room"), 1, "MemoryError: no room"),
    ],
)
def test_early_end_keeps_what_was_found(made, tmp_path, monkeypatch, end, code, says):
    stop_after(2, monkeypatch, end)
    out = tmp_path / "found.csv"
    result = run(*call(made, made.images, out=out))
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert len(read_landmarks(out)) == 2
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


INTERRUPTED = """
import os, signal
# A shell that runs the tests in the background makes its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from napari_oneshot_lmk.detection import batch
whole = batch.detect_many
def interrupting(*args, **options):
    for done, outcome in enumerate(whole(*args, **options), start=1):
        yield outcome
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)
batch.detect_many = interrupting
from napari_oneshot_lmk.cli.app import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_signal_in_a_process_of_its_own(made, tmp_path):
    out = tmp_path / "found.csv"
    # A proxy that refuses at once instead of a network that hangs.
    command = ("-c", INTERRUPTED, *call(made, made.images, out=out))
    ended = python(*command, https_proxy="http://127.0.0.1:9")
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(read_landmarks(out)) == 2


def test_a_mirrored_image_is_recognised_and_said(made, tmp_path):
    pixels = view(scene(), (4, -6))
    save_image(tmp_path / "as_it_is.png", pixels)
    save_image(tmp_path / "mirrored.png", pixels[:, ::-1])
    out = tmp_path / "found.csv"
    command = call(made, tmp_path / "as_it_is.png", tmp_path / "mirrored.png", out=out)
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "mirrored.png lies mirrored; matched as such." in result.stderr
    assert "as_it_is.png" not in result.stderr.replace("of as_it_is.png", "")
    assert "; 1 of the images mirrored or turned" in result.stdout
    upright, mirrored = read_landmarks(out)
    assert [one.provenance.orientation for one in (upright, mirrored)] == ["", "mirrored"]
    back = mirrored.positions_yx * (1, -1) + (0, pixels.shape[1] - 1)
    assert np.abs(back - upright.positions_yx).max() < 1

    result = run(*command, "--upright", "--overwrite", "--json")
    assert [one["orientation"] for one in json.loads(result.stdout)["images"]] == ["", ""]
    assert "mirrored;" not in result.stderr
