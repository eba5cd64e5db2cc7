"""Corrected images as further templates: what they gain, and the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cli_scene import one_sentence, run

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.corrections import (
    LeftOut,
    choose_way,
    detect_left_out,
    gain,
    learnt_offsets,
    left_out_errors,
    point_errors,
    recommended,
)
from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING, Way
from napari_oneshot_lmk.review.offsets import estimate_offsets
from napari_oneshot_lmk.samples import sample_folder

IMAGES = ("skull_02.png", "skull_03.png", "skull_05.png")


@pytest.fixture(scope="module")
def templates() -> list[Template]:
    folder = sample_folder("skull")
    truth = Dataset.load(folder).truth
    return [
        Template.create(read_image(folder / "images" / name), truth[name])
        for name in ("skull_01.png", *IMAGES)
    ]


def test_each_is_left_out_of_its_own_detection(templates: list[Template]) -> None:
    own, *corrected = templates
    encoder = OrientationEncoder(torch.device("cpu"))
    detector = Detector(own, encoder, further=corrected)
    points = list(detect_left_out(detector))
    first, *_ = left_out_errors(points)
    assert (first.image, first.unit) == (IMAGES[0], "px")
    without = Detector(own, encoder, further=corrected[1:])
    without.set_image(corrected[0].image)
    found = without.detect()
    off = found.positions_yx - corrected[0].landmarks.positions_yx
    assert np.allclose(first.after[Way.TEMPLATES], np.hypot(*off.T))
    assert not np.allclose(first.before, first.after[Way.TEMPLATES])
    offsets = learnt_offsets(points[1:], Way.BOTH)
    moved = without.with_offsets(offsets).detect()
    assert np.allclose(first.after[Way.BOTH], point_errors(moved, corrected[0].landmarks))


def test_millimetres_and_pixels_are_summed_up_apart() -> None:
    def left_out(image: str, unit: str, before: list[float], after: list[float]) -> LeftOut:
        each = {way: np.array(after) for way in WITHOUT_TRAINING}
        return LeftOut(image, unit, np.array(before), each)

    one = left_out("a", "mm", [3.0, 1.0, np.nan], [1.0, 1.05, 2.0])
    other = left_out("b", "px", [9.0], [10.0])
    mm, px = gain([one, other, one], Way.TEMPLATES)
    assert (mm.unit, mm.images, mm.points) == ("mm", 2, 4)
    assert (mm.mean_before, mm.mean_after) == (2.0, pytest.approx(1.025))
    assert (mm.within_before, mm.within_after) == (50, 100)
    assert (mm.better, mm.worse) == (2, 0)
    assert (px.unit, px.better, px.worse, px.within_after) == ("px", 0, 1, None)
    assert recommended([one, one]) is Way.TEMPLATES
    assert recommended([other]) is None
    assert recommended([]) is None


def test_the_simplest_way_is_recommended_that_is_about_as_good_as_the_best() -> None:
    before = np.full(5, 2.0)
    chance = np.array([0.2, -0.2, 0.1, -0.1, 0.0])

    def chosen(templates: float, offsets: float, both: float) -> Way | None:
        ways = {Way.OFFSETS: offsets, Way.TEMPLATES: templates, Way.BOTH: both}
        after = {way: mean + chance * (way is Way.TEMPLATES) for way, mean in ways.items()}
        return choose_way(before, after)

    assert chosen(1.5, 1.5, 1.45) is Way.TEMPLATES
    assert chosen(1.5, 1.9, 1.2) is Way.BOTH
    assert chosen(1.9, 1.5, 1.5) is Way.OFFSETS
    assert chosen(2.1, 2.0, 1.9) is Way.BOTH
    assert chosen(2.1, 2.0, 2.1) is None
    # Of one image nobody knows what is chance.
    assert choose_way(before[:1], dict.fromkeys(Way, before[:1] - 1)) is Way.TEMPLATES


def test_points_move_only_as_far_as_the_corrections_show_it() -> None:
    random = np.random.default_rng(0)
    off = random.normal((4.0, -2.0), 0.5, (10, 1, 2))
    noise = random.normal(0, 2.0, (10, 1, 2))
    moves = estimate_offsets(np.concatenate([off, noise], 1))
    assert np.allclose(moves[0], np.array([4.0, -2.0]) * 10 / 12, atol=0.4)
    assert np.abs(moves[1]).max() < 0.5
    few = estimate_offsets(off[:3])
    assert np.all(np.abs(few) < np.abs(moves[:1]))
    assert not estimate_offsets(off[:2]).any()
    gap = off.copy()
    gap[:8] = np.nan
    assert not estimate_offsets(gap).any()
    gross = off.copy()
    gross[0] = 300.0
    assert np.allclose(estimate_offsets(gross), moves[0], atol=0.6)


def test_offsets_move_what_is_found_and_nothing_else(templates: list[Template]) -> None:
    own, other, *_ = templates
    detector = Detector(own, OrientationEncoder(torch.device("cpu")))
    detector.set_image(other.image)
    found = detector.detect()
    moving = detector.with_offsets({"sella": (3.0, -4.0), "no such": (1.0, 1.0)})
    assert moving.offsets == {"sella": (3.0, -4.0)}
    moved = moving.detect()
    scale = other.image.geometry.network_pixels_per_image_pixel_yx
    move = np.array(moved["sella"].position_yx) - found["sella"].position_yx
    assert np.allclose(move, np.array([3.0, -4.0]) / scale)
    assert moved["nasion"] == found["nasion"]
    # What a person has put where the offset moves the match to moves the others by nothing.
    held = found.with_landmark(found["sella"].edited_at(moved["sella"].position_yx))
    same = found.with_landmark(found["sella"].edited_at(found["sella"].position_yx))
    settled, plain = moving.settle(held), detector.settle(same)
    assert settled["sella"].position_yx == moved["sella"].position_yx
    assert np.allclose(settled["nasion"].position_yx, plain["nasion"].position_yx)


def test_the_commands_try_and_use_corrections(tmp_path: Path, templates: list[Template]) -> None:
    own, *corrected = templates
    folder = sample_folder("skull") / "images"
    own.save(tmp_path / "template")
    write_landmarks(tmp_path / "corrected.csv", [each.landmarks for each in corrected])
    weights = ("--device", "cpu")
    result = run(
        "corrections",
        tmp_path / "corrected.csv",
        "--images",
        folder,
        "--template",
        tmp_path / "template",
        "--json",
        *weights,
    )
    assert result.exit_code == 0, result.output
    _, said, _ = json.loads(result.stdout)
    assert (said["images"], said["way"]) == (3, "further templates")
    assert said["points"] == 3 * len(own.landmarks.placed)
    assert said["mean_after"] < said["mean_before"]

    def detect(name: str, *more: object) -> pd.DataFrame:
        arguments = ("detect", "--template", tmp_path / "template", *more, *weights)
        done = run(*arguments, "--out", tmp_path / name, folder / "skull_06.png")
        assert done.exit_code == 0, done.output
        return pd.read_csv(tmp_path / name)

    corrected[0].save(tmp_path / "second")
    alone = detect("alone.csv")
    with_images = ("--corrected", tmp_path / "corrected.csv", "--corrected-images", folder)
    helped = detect("helped.csv", *with_images)
    two = detect("two.csv", "--template", tmp_path / "second")
    truth = Dataset.load(sample_folder("skull")).truth["skull_06.png"]
    [found] = read_landmarks(tmp_path / "helped.csv")
    assert [p.name for p in found] == [p.name for p in truth]
    assert not alone["x_px"].equals(helped["x_px"])
    assert not alone["x_px"].equals(two["x_px"])
    lost = run(
        "detect",
        "--template",
        tmp_path / "template",
        "--corrected",
        tmp_path / "corrected.csv",
        "--out",
        tmp_path / "lost.csv",
        folder / "skull_06.png",
        folder / "skull_07.png",
    )
    assert lost.exit_code == 2
    assert "--corrected-images" in one_sentence(lost)
