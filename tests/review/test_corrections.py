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
from napari_oneshot_lmk.review.corrections import LeftOut, gain, leave_each_out
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
    first, *_ = leave_each_out(detector)
    assert (first.image, first.unit) == (IMAGES[0], "px")
    alone = Detector(own, encoder, further=corrected[1:])
    alone.set_image(corrected[0].image)
    found = alone.detect().positions_yx - corrected[0].landmarks.positions_yx
    assert np.allclose(first.after, np.hypot(*found.T))
    assert not np.allclose(first.before, first.after)


def test_millimetres_and_pixels_are_summed_up_apart() -> None:
    one = LeftOut("a", "mm", np.array([3.0, 1.0, np.nan]), np.array([1.0, 1.05, 2.0]))
    other = LeftOut("b", "px", np.array([9.0]), np.array([10.0]))
    mm, px = gain([one, other, one])
    assert (mm.unit, mm.images, mm.points) == ("mm", 2, 4)
    assert (mm.mean_before, mm.mean_after) == (2.0, pytest.approx(1.025))
    assert (mm.better, mm.worse) == (2, 0)
    assert (px.unit, px.better, px.worse) == ("px", 0, 1)


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
    [said] = json.loads(result.stdout)
    assert said["images"] == 3
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
