"""``oneshot-lmk project``: from images to checked landmarks on the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_scene import POINTS, World, make_world, one_sentence, run, save_image, scene, view

from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.status import ReviewState
from napari_oneshot_lmk.samples import sample_folder

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The shipped encoder works, in child processes too."""
    nowhere = str(tmp_path_factory.mktemp("nowhere"))
    monkeypatch.setenv("ONESHOT_LMK_CACHE", nowhere)
    monkeypatch.setenv("TORCH_HOME", nowhere)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def ok(*arguments: object) -> str:
    """Run a command that has to succeed; return what it prints."""
    result = run("project", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("world") / "w")
    arguments = ("--image", world.template_image, "--landmarks", world.landmarks)
    assert run("template", *arguments, "--out", world.template).exit_code == 0
    ok("create", world.folder / "p", world.images, "--template", world.template)
    return world


@pytest.fixture(scope="module")
def found(made: World) -> World:
    """A world whose images are detected."""
    shutil.copytree(made.folder, made.folder.parent / "found")
    world = World(made.folder.parent / "found")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME"):
            patch.setenv(name, str(made.folder))
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        ok("detect", world.folder / "p")
    return world


@pytest.fixture
def world(found: World, tmp_path: Path) -> World:
    """A fresh copy for a test that changes it."""
    shutil.copytree(found.folder, tmp_path / "w")
    return World(tmp_path / "w")


def content(folder: Path) -> list[object]:
    project = Project.open(folder)
    return [(image.name, image.sha256, project.work(image.id)) for image in project.images]


def test_from_images_to_checked_landmarks_and_to_another_place(tmp_path):
    home = sample_folder("skull")
    images = tmp_path / "study/images"
    images.mkdir(parents=True)
    for name in ("skull_08.dcm", "skull_01.png"):
        shutil.copy(home / "images" / name, images / name)
    template = ("--image", home / "images/skull_04.dcm", "--landmarks", home / "landmarks.csv")
    assert run("template", *template, "--out", tmp_path / "t").exit_code == 0
    folder = tmp_path / "study/project"
    said = ok("create", folder, images, "--template", tmp_path / "t", "--reader", "Ada")
    assert "2 images added" in said
    assert "38 landmarks on 2 images" in ok("detect", folder)
    ok("export", folder, "--out", tmp_path / "out.csv")
    first, second = read_landmarks(tmp_path / "out.csv")
    moved = first.with_landmark(first["sella"].edited_at((400.0, 300.0)))
    write_landmarks(tmp_path / "back.csv", [moved, second])
    said = ok("take", folder, tmp_path / "back.csv")
    assert "1 landmark taken on 1 image, nothing new on 1 other image" in said
    assert "nothing new on 2 images" in ok("take", folder, tmp_path / "back.csv")
    ok("accept", folder, "skull_01.png", "--reader", "Bo")
    about = json.loads(ok("status", folder, "--json"))
    by_name = {image["name"]: image for image in about["images"]}
    assert by_name["skull_01.png"]["state"] == "accepted"
    assert by_name["skull_01.png"]["reviewers"] == ["Ada", "Bo"]
    assert by_name["skull_08.dcm"]["state"] == "detected"
    assert about["counts"]["states"]["accepted"] == 1
    ok("export", folder, "--out", tmp_path / "all.csv")
    before, table = content(folder), (tmp_path / "all.csv").read_bytes()
    shutil.move(tmp_path / "study", tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere/project"
    assert content(folder) == before
    assert json.loads(ok("status", folder, "--json"))["counts"] == about["counts"]
    ok("export", folder, "--out", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == table
    ok("measure", folder, "--out", tmp_path / "measured.csv")
    assert "SNA" in (tmp_path / "measured.csv").read_text()
    # What a person has decided stays, whatever is detected.
    assert "on 0 images" in ok("detect", folder)
    assert "on 1 image " in ok("detect", folder, "--again", "--learn").replace(",", " ")
    assert Project.open(folder).work("0001").landmarks == before[0][2].landmarks


def test_detect_finds_what_the_command_detect_finds(found, tmp_path):
    out = tmp_path / "found.csv"
    assert run("detect", "--template", found.template, "--out", out, found.images).exit_code == 0
    ok("export", found.folder / "p", "--out", tmp_path / "exported.csv")
    for one, other in zip(*map(read_landmarks, (out, tmp_path / "exported.csv")), strict=True):
        assert one.image == other.image
        np.testing.assert_array_equal(one.positions_yx, other.positions_yx)
    ok("export", found.folder / "p", "two.png", "--out", tmp_path / "each", "--to", "tps")
    assert [file.name for file in (tmp_path / "each").iterdir()] == ["two.tps"]
    # A project is a reading among others: here two that agree.
    both = run(
        "morphometrics", "observers", found.folder / "p", tmp_path / "exported.csv", "--json"
    )
    (compared,) = json.loads(both.stdout).values()
    assert (compared["readings"], compared["overall"]["maximum"]) == (["p", "exported.csv"], 0)


def test_again_goes_on_where_it_was_and_learns(world):
    folder = world.folder / "p"
    assert "on 0 images" in ok("detect", folder, "--again"), "the same detector was there"
    project = Project.open(folder)
    assert len(project.work("0001").edits) == 1
    write_landmarks(world.folder / "one.csv", read_landmarks(world.truth)[:1])
    ok("take", folder, world.folder / "one.csv")
    said = ok("detect", folder, "--again", "--learn", "--json")
    assert json.loads(said)["detected"] == 2
    project = Project.open(folder)
    image = project.named(read_landmarks(world.truth)[0].image)
    assert project.statuses()[image.id].state is ReviewState.ACCEPTED
    others = [project.work(i.id) for i in project.images if i.id != image.id]
    assert all(len(work.edits) == 2 for work in others)
    assert all("and 1 more" in work.landmarks.provenance.template for work in others)


def test_only_the_others_are_found_anew_when_settling(world):
    folder = world.folder / "p"
    before = Project.open(folder).work("0001")
    moved = before.landmarks.with_landmark(before.landmarks["apex"].edited_at((40.0, 50.0)))
    write_landmarks(world.folder / "moved.csv", [moved])
    ok("take", folder, world.folder / "moved.csv", "--reader", "Ada")
    assert "found anew on 1 image\n" in ok("settle", folder, "0001")
    work = Project.open(folder).work("0001")
    assert work.landmarks["apex"].position_yx == (40, 50)
    assert work.landmarks["apex"].author == "Ada"
    assert work.detected["apex"] == before.detected["apex"], "what a reset goes back to"
    assert work.landmarks["tip"].source is Source.DETECTED
    assert work.edits[-1].action == "settle"
    result = run("project", "settle", folder, "0002")
    assert result.exit_code == 1
    assert "nobody has corrected or accepted a landmark on it" in result.stderr


@pytest.mark.parametrize(
    ("policy", "position", "kept"), [("project", (40, 50), ["apex"]), ("file", (41, 51), [])]
)
def test_what_two_people_decided_differently(world, policy, position, kept):
    folder = world.folder / "p"
    marks = Project.open(folder).work("0001").landmarks
    for name, place in [("one", (40.0, 50.0)), ("two", (41.0, 51.0))]:
        point = marks["apex"].edited_at(place)
        write_landmarks(world.folder / f"{name}.csv", [marks.with_landmark(point)])
    ok("take", folder, world.folder / "one.csv", "--reader", "Ada")
    two = world.folder / "two.csv"
    result = run("project", "take", folder, two, "--policy", "refuse")
    assert result.exit_code == 1
    assert "somebody has decided otherwise in the project on apex" in result.stderr
    said = json.loads(ok("take", folder, two, "--policy", policy, "--reader", "Bo", "--json"))
    assert said["images"][0]["kept"] == kept
    point = Project.open(folder).work("0001").landmarks["apex"]
    assert (point.position_yx, point.author) == (position, "Bo" if policy == "file" else "Ada")


def test_what_does_not_belong_is_named_and_the_rest_goes_on(world):
    folder = world.folder / "p"
    good, other, outside = (read_landmarks(world.truth)[i] for i in range(3))
    table = world.folder / "mixed.csv"
    strange = outside.with_landmark(outside["tip"].edited_at((900.0, 1.0)))
    lines = [good, other]
    write_landmarks(table, lines)
    text = table.read_text().replace(other.image, "stranger.png")
    write_landmarks(world.folder / "strange.csv", [strange])
    text += (world.folder / "strange.csv").read_text().partition("\n")[2]
    table.write_text(text)
    result = run("project", "take", folder, table)
    assert result.exit_code == 1
    assert "landmarks taken on 1 image\n" in result.stdout
    assert "no image 'stranger.png' in it" in result.stderr
    assert "tip would lie outside the image" in result.stderr


def test_accepting_the_sure_ones_and_listing_the_rest(world):
    folder = world.folder / "p"
    project = Project.open(folder)
    unsure = {
        image.name for image, work in project.works() if any(p.unsure for p in work.landmarks)
    }
    sure = sum(not p.unsure for _, work in project.works() for p in work.landmarks)
    assert f"{sure} landmarks accepted" in ok("accept", folder, "--all-sure", "--reader", "Ada")
    assert "0 landmarks accepted" in ok("accept", folder, "--all-sure")
    accepted = json.loads(ok("status", folder, "--state", "accepted", "--json"))
    assert {i["name"] for i in accepted["images"]} == {i.name for i in project.images} - unsure
    listed = json.loads(ok("status", folder, "--reason", "unsure", "--json"))
    assert {image["name"] for image in listed["images"]} == unsure
    badness = [image["badness"] for image in listed["images"]]
    assert badness == sorted(badness, reverse=True)
    assert "3 of 3 images" in ok("status", folder)
    for arguments in (["--state", "ready"], ["--reason", "ugly"], ["--landmark", "toe"]):
        result = run("project", "status", folder, *arguments)
        assert result.exit_code == 2
        assert "choose one of" in one_sentence(result) or "name one of" in one_sentence(result)
    assert run("project", "accept", folder).exit_code == 2


def test_spacing_makes_millimetres(world):
    folder = world.folder / "p"
    definitions = world.folder / "set.toml"
    definitions.write_text(
        '[[measurement]]\nname = "length"\nkind = "distance"\npoints = ["apex", "tip"]\n'
    )

    def lengths() -> list[tuple[float, str]]:
        rows = json.loads(ok("measure", folder, "--set", definitions, "--json"))
        return [(row["value"], row["unit"]) for row in rows]

    pixels = lengths()
    assert {unit for _, unit in pixels} == {"px"}
    ok("spacing", folder, "0.5")
    assert lengths() == [(pytest.approx(value / 2), "mm") for value, _ in pixels]
    assert "0.25 x 0.25 mm of 1 image" in ok("spacing", folder, "0,25", "one.png")
    assert sum(unit == "mm" for _, unit in lengths()) == 3
    ok("spacing", folder, "none", "one.png")
    ok("spacing", folder, "none")
    assert lengths() == pixels
    result = run("project", "spacing", folder, "far")
    assert result.exit_code == 2
    assert "not a number of millimetres" in one_sentence(result)


def test_a_damaged_image_does_not_stop_the_others(world):
    folder = world.folder / "p"
    (folder / "images/0001.json").write_text("{")
    save_image(world.images / "new.png", np.eye(60, dtype=np.uint8))
    assert "1 image added, 3 belonged to it already" in ok("add", folder, world.images)
    (world.images / "new.png").write_bytes(b"no image")
    for command in (
        ["detect", folder],
        ["status", folder],
        ["export", folder, "--out", world.folder / "o.csv"],
        ["accept", folder, "--all-sure"],
    ):
        result = run("project", *command)
        assert result.exit_code == 1, result.output
        assert "0001.json: is damaged; bring it back from a copy" in result.stderr
        assert "Traceback" not in result.output
    assert len(read_landmarks(world.folder / "o.csv")) == 2
    assert "new.png" in run("project", "detect", folder).stderr


def test_images_that_went_elsewhere_are_located(world, tmp_path):
    folder = world.folder / "q"
    ok("create", folder, world.images, "--template", world.template)
    shutil.move(world.images, tmp_path / "far")
    result = run("project", "status", folder)
    assert "are not where they were" in result.stderr
    assert "3 images found, 0 still missing" in ok("locate", folder, tmp_path / "far")
    assert "are not where" not in run("project", "status", folder).stderr
    shutil.rmtree(tmp_path / "far")
    assert run("project", "locate", folder, tmp_path).exit_code == 1


def test_wrong_folders_are_one_sentence(world, tmp_path):
    for arguments, said, code in [
        (["status", tmp_path], "is not a project", 1),
        (["create", world.folder / "p", "--template", world.template], "exists already", 2),
        (["create", tmp_path / "q"], "neither a template nor a trained model was named", 2),
        (["create", tmp_path / "q", "nothing", "--template", world.template], "no such file", 1),
        (["add", world.folder / "p", "nothing"], "no such file", 1),
        (["model", world.folder / "p", world.images], "holds no trained model", 1),
        (["accept", world.folder / "p", "nobody"], "no image 'nobody'", 1),
    ]:
        result = run("project", *arguments)
        assert result.exit_code == code, result.output
        assert said in result.stderr
        assert "Traceback" not in result.output
    assert not (tmp_path / "q").exists()


def test_while_another_process_writes_it_is_refused_but_shown(world):
    folder = world.folder / "p"
    with Project.open(folder, writing=True):
        result = run("project", "accept", folder, "--all-sure")
        assert result.exit_code == 1
        assert "is working on it; close it there first" in one_sentence(result)
        assert "3 of 3 images" in ok("status", folder)


def test_killed_while_it_detects_it_goes_on(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "w")
    world, folder = World(tmp_path / "w"), tmp_path / "w/p"
    for number in range(12):
        shift = (number % 4 * 2 - 4, number % 3 * 3 - 3)
        save_image(world.images / f"more_{number}.png", view(scene(), shift))
    ok("add", folder, world.images)
    total = len(Project.open(folder).images)
    call = [sys.executable, "-m", "napari_oneshot_lmk", "project", "detect", str(folder)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        while len(list((folder / "images").glob("[0-9]*.json"))) < 4:
            assert child.poll() is None, child.stdout.read()
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
    project = Project.open(folder)
    done = {image.id: work for image, work in project.works() if work.landmarks is not None}
    assert 4 <= len(done) < total
    assert all(work.landmarks.names == tuple(POINTS) for work in done.values())
    assert f"on {total - len(done)} images" in ok("detect", folder)
    project = Project.open(folder)
    assert {i: project.work(i) for i in done} == done
    assert all(work.detected is not None for _, work in project.works())


def test_detection_uses_the_copy_of_the_model(world, tmp_path):
    # Here: at the top it would make all tests of this file slow ones.
    from bundle_scene import random_model

    folder = tmp_path / "study"
    model = random_model(tmp_path)
    model.save(tmp_path / "run/model")
    ok("create", folder, world.images, "--model", tmp_path / "run")
    assert Project.open(folder).template.content_sha256 == model.template.content_sha256
    ok("model", folder, tmp_path / "run")
    assert not (folder / "model").exists(), "the former one is removed"
    shutil.rmtree(tmp_path / "run")
    assert "fused model" in ok("detect", folder, "one.png")
    project = Project.open(folder)
    assert project.work(project.named("one.png").id).landmarks.provenance.method == "fused"
    assert [project.statuses()[image.id].state for image in project.images].count("to do") == 2


def test_what_is_no_image_is_named_and_the_others_go_on(world):
    before = len(Project.open(world.folder / "p").images)
    (world.folder / "notes.txt").write_text("seen on Monday")
    (world.folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    grey = np.random.default_rng(0).integers(0, 255, (60, 50)).astype(np.uint8)
    save_image(world.folder / "new.png", grey)
    result = run(
        *("project", "add", world.folder / "p"),
        *(world.folder / name for name in ("notes.txt", "broken.png", "new.png")),
    )
    assert result.exit_code == 1
    assert "notes.txt" in result.output
    assert "broken.png" in result.output
    names = [image.name for image in Project.open(world.folder / "p").images]
    assert (len(names), "new.png" in names) == (before + 1, True)


def test_images_are_removed_and_their_landmarks_kept(world):
    folder = world.folder / "p"
    first, second = (image.name for image in Project.open(folder).images[:2])
    ok("accept", folder, first)
    result = run("project", "remove", folder, first, second)
    assert result.exit_code == 1
    assert "--force" in result.output
    assert {first, second} & {im.name for im in Project.open(folder).images} == {first}
    assert "its landmarks are kept in" in ok("remove", folder, first, "--force")
    kept = sorted(path.name for path in (folder / "removed").iterdir())
    assert kept == sorted(f"{name}.json" for name in (first, second))
    # What is added again has its landmarks back, by its content.
    renamed = (world.images / first).rename(world.images / "renamed.png")
    said = run("project", "add", folder, renamed).stderr
    assert "renamed.png: was removed before; its landmarks are back from" in said
    project = Project.open(folder)
    assert project.work(project.named("renamed").id).landmarks.manual


def test_mistakes_have_a_plain_sentence(world):
    folder = world.folder / "p"
    result = run("project", "create", folder, "--template", world.template)
    assert "exists already, and is a project" in one_sentence(result)
    assert "--overwrite" not in result.output
    result = run("project", "spacing", folder, "-1")
    assert "No such option" not in result.output
    assert "-1" in one_sentence(result)
