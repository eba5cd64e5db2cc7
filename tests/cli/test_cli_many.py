"""``oneshot-lmk detect`` over many images: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cli_scene import (
    World,
    make_template,
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
from weights_scene import isolate

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.storage.lock import file_lock

IMAGES = 22
"""More than three processes do before they are killed."""

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes start and are killed: that takes its time on a busy machine.
    pytest.mark.timeout(900),
]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The shipped encoder works, in child processes too."""
    isolate(monkeypatch, tmp_path_factory.mktemp("nowhere"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("world") / "w", template=True)
    make_template(world, "--spacing", 0.25, "--out", world.folder / "another")
    return world


class Table:
    """A table to be made, and what lies beside it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.out = world, folder / "found.csv"
        self.journal = folder / "found.csv.partial" / "journal.jsonl"

    def arguments(self, *more: object) -> list[str]:
        call = ["detect", "--template", self.world.template, "--out", self.out]
        images = [] if any("images" in str(m) for m in more) else [self.world.images]
        return [str(a) for a in (*call, *images, *more)]

    def make(self, *more: object) -> str:
        """Make the whole table, and return the messages."""
        said = succeed(*self.arguments(*more)).stderr
        assert len(self.found()) == 3
        return said

    def found(self) -> dict[str, list[tuple[float, float] | None]]:
        return {
            landmarks.image: [point.position_yx for point in landmarks]
            for landmarks in read_landmarks(self.out)
        }


@pytest.fixture
def table(made: World, tmp_path: Path) -> Table:
    return Table(made, tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_three_times_each_image_stands_once(made, tmp_path):
    many = tmp_path / "images"
    many.mkdir()
    canvas, rng = scene(), np.random.default_rng(0)
    for number in range(IMAGES):
        dy, dx = rng.integers(-9, 10, 2)
        save_image(many / f"{number}.png", view(canvas, (int(dy), int(dx))))
    killed, whole = Table(made, tmp_path / "killed"), Table(made, tmp_path / "whole")
    script = Path(__file__).parents[1].joinpath("killed_detection.py")
    done = python(script, killed.journal, 3, *killed.arguments(many))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed after") == 3
    assert "ended with 0" in done.stdout, done.stderr
    assert not killed.journal.parent.exists()
    succeed(*whole.arguments(many))
    assert not whole.journal.parent.exists()
    images = Counter(landmarks.image for landmarks in read_landmarks(killed.out))
    assert images == {f"{number}.png": 1 for number in range(IMAGES)}
    assert list(images) == [f"{number}.png" for number in range(IMAGES)]
    assert killed.found() == whole.found()


def test_goes_on_after_ctrl_c_without_overwrite(table, monkeypatch):
    stop_after(1, monkeypatch, KeyboardInterrupt())
    stopped = run(*table.arguments())
    assert stopped.exit_code == 130
    assert "the same command goes on from here" in stopped.stderr
    assert len(table.found()) == 1
    assert "1 of 3 images were done before" in table.make()
    assert not table.journal.parent.exists()


def test_table_that_somebody_has_edited_is_kept(table, monkeypatch):
    stop_after(1, monkeypatch, KeyboardInterrupt())
    run(*table.arguments())
    table.out.write_text("mine")
    assert "--overwrite" in refused(2, *table.arguments())
    assert table.out.read_text() == "mine"
    table.make("--overwrite")


def left_behind(table: Table, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> None:
    """A journal as a killed process leaves it, and no table."""
    stop_after(count, monkeypatch, KeyboardInterrupt())
    assert run(*table.arguments()).exit_code == 130
    table.out.unlink()
    (table.journal.parent / "written.json").unlink()


def test_torn_line_is_done_again(table, monkeypatch):
    left_behind(table, monkeypatch)
    content = table.journal.read_bytes()
    table.journal.write_bytes(content[:-20])
    assert "1 of 3 images were done before" in table.make()


def test_torn_first_line_begins_anew(table, monkeypatch):
    left_behind(table, monkeypatch)
    table.journal.write_bytes(table.journal.read_bytes()[:30])
    table.make()


def test_zeros_of_a_power_failure_are_passed_over(table, monkeypatch):
    left_behind(table, monkeypatch)
    first, second, third = table.journal.read_bytes().splitlines(keepends=True)
    zeros = b"\0" * (len(second) - 1) + b"\n"
    table.journal.write_bytes(first + zeros + third)
    assert "1 of 3 images were done before" in table.make()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--spacing", "0.4"], "another spacing"),
        (["--slice", "0"], "another slice"),
        (["--template", "another"], "another template"),
    ],
)
def test_results_of_other_settings_are_not_mixed(table, monkeypatch, options, says):
    left_behind(table, monkeypatch)
    before = table.journal.read_bytes()
    if options[0] == "--template":
        options = ["--template", str(table.world.folder / options[1])]
    ended = run(*table.arguments(*options))
    assert ended.exit_code == 2
    sentence = ended.stderr.splitlines()[-1]
    assert says in sentence
    assert "--overwrite" in sentence
    assert "another --out" in sentence
    assert table.journal.read_bytes() == before
    assert "were done before" not in table.make(*options, "--overwrite")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three images of its own."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        save_image(folder / f"{number}.png", view(scene(), (0, 0)))
    return folder


def test_image_that_has_changed_is_done_again(table, monkeypatch, images):
    stop_after(2, monkeypatch, KeyboardInterrupt())
    run(*table.arguments(images))
    before = table.found()
    save_image(images / "0.png", view(scene(), (9, 9)))
    said = table.make(images)
    assert "1 of 3 images were done before" in said
    assert "1 more were done before that are not among these images" in said
    assert table.found()["0.png"] != before["0.png"]
    assert table.found()["1.png"] == before["1.png"]


def test_what_failed_is_tried_again(table, monkeypatch, images):
    (images / "0.png").write_bytes(b"")
    stop_after(2, monkeypatch, KeyboardInterrupt())
    stopped = run(*table.arguments(images))
    assert "1 image could not be used:" in stopped.stderr
    assert "Stopped after 2 of 3 images" in stopped.stderr
    save_image(images / "0.png", view(scene(), (0, 0)))
    table.make(images)
    assert list(table.found()) == ["0.png", "1.png", "2.png"]


def test_two_at_once_on_one_table(table):
    table.journal.parent.mkdir()
    with file_lock(table.journal.parent / "lock"):
        assert "another process is at work on this file" in refused(2, *table.arguments())
        assert (table.journal.parent / "lock").exists()
    table.make()


def test_nothing_is_left_beside_a_table_or_a_refusal(table, tmp_path):
    assert run(*table.arguments("--encoder-weights", "none.pth")).exit_code == 1
    assert list(tmp_path.iterdir()) == []
    deep = tmp_path / "a" / "b.csv"
    assert run(*table.arguments("--out", deep, "--device", "tpu")).exit_code == 2
    assert list(tmp_path.iterdir()) == []
    table.make()
    assert [path.name for path in tmp_path.iterdir()] == ["found.csv"]


def test_markups_without_millimetres_leave_no_journal_in_the_way(table, tmp_path):
    one = table.world.images / "one.png"
    out = tmp_path / "one.mrk.json"
    ended = run(*table.arguments(one, "--out", out))
    assert ended.exit_code == 1
    assert "spacing of one.png is unknown" in ended.stderr
    assert list(tmp_path.iterdir()) == []
    succeed(*table.arguments(one, "--out", out, "--spacing", 0.5))


def test_json_of_a_run_that_goes_on_holds_everything(table, monkeypatch):
    left_behind(table, monkeypatch)
    content = json.loads(run(*table.arguments("--json")).stdout)
    assert [image["image"] for image in content["images"]] == list(table.found())
    assert content["interrupted"] is False


def test_batches_find_the_same(table):
    table.make()
    one_by_one = table.found()
    table.make("--batch", 3, "--overwrite")
    for image, points in table.found().items():
        np.testing.assert_allclose(points, one_by_one[image], atol=1e-3)
