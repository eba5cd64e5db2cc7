"""A project learns from corrected images: the gain first, then all others, and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_scene import run

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.errors import ProjectError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.detect import detect_images
from napari_oneshot_lmk.review.learn import apply, corrected_images, forget, helped, try_learning
from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING, Way
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.samples import sample_folder

NAMES = ("sella", "nasion", "gonion", "menton")
IMAGES = ("skull_02.png", "skull_03.png", "skull_05.png", "skull_06.png")
READER_YX = np.array([6.0, -5.0])
"""Where the reader has sella, in pixels from where the template has it."""


def truth_of(name: str) -> Landmarks:
    truth = Dataset.load(sample_folder("skull")).truth[name]
    return truth.with_points(truth[each] for each in NAMES)


def images_of(project: Project) -> dict[str, Landmarks | None]:
    return {image.name: work.landmarks for image, work in project.works()}


@pytest.fixture(scope="module")
def detector() -> Detector:
    home = sample_folder("skull") / "images"
    template = Template.create(read_image(home / "skull_01.png"), truth_of("skull_01.png"))
    return Detector(template, OrientationEncoder(torch.device("cpu")))


@pytest.fixture(scope="module")
def folder(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detected, and the first three images corrected by a reader of another convention."""
    home = sample_folder("skull") / "images"
    files = [home / name for name in IMAGES]
    folder = tmp_path_factory.mktemp("study") / "p"
    with Project.create(folder, detector.template, files) as project:
        list(detect_images(project, detector, [image.id for image in project.images]))
        for name in IMAGES[:3]:
            image = project.named(name)
            landmarks = project.work(image.id).landmarks
            assert landmarks is not None
            for point in truth_of(name):
                y, x = np.array(point.position_yx) + READER_YX * (point.name == "sella")
                landmarks = landmarks.with_landmark(landmarks[point.name].edited_at((y, x)))
            project.record(image.id, landmarks, action="edit")
    return folder


@pytest.fixture
def project(folder: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(folder, tmp_path / "p")
    with Project.open(tmp_path / "p") as project:
        yield project


def tried(project: Project, detector: Detector):  # type: ignore[no-untyped-def]
    ids, further = corrected_images(project)
    able = Detector(detector.template, detector.encoder, further=further)
    done: list[tuple[int, int]] = []
    *steps, trial = try_learning(ids, able, lambda *n: done.append(n))
    assert (len(steps), done[-1]) == (3, (3, 3))
    assert trial is not None
    return able, trial


def test_what_is_learnt_helps_the_others_and_is_forgotten_in_one_step(project, detector):
    before = {image.id: project.work(image.id) for image in project.images}
    able, trial = tried(project, detector)
    gains = {way: trial.gains[way][0] for way in WITHOUT_TRAINING}
    assert all(each.images == 3 and each.unit == "px" for each in gains.values())
    assert trial.recommended is not None
    assert gains[trial.recommended].mean_after < gains[trial.recommended].mean_before
    for way in (Way.TEMPLATES, Way.OFFSETS):
        # Learning once more begins from what was there before.
        learnt = trial.learnt(way)
        results = list(apply(project, helped(able, learnt), learnt))
    assert sorted(result.image.name for result in results) == list(IMAGES[3:])
    found = images_of(project)
    for image_id, work in before.items():
        name = project.image(image_id).name
        if name in IMAGES[:3]:
            assert found[name] == work.landmarks, "what a person decided stays"
            continue
        scale = work.landmarks.geometry.network_pixels_per_image_pixel_yx
        move = np.array(found[name]["sella"].position_yx) - work.landmarks["sella"].position_yx
        assert np.allclose(move, np.array(learnt.offsets["sella"]) / scale)
    # A point that is corrected afterwards stays when the rest is forgotten.
    last = project.named(IMAGES[-1])
    corrected = found[last.name].with_landmark(found[last.name]["menton"].edited_at((50.0, 60.0)))
    project.record(last.id, corrected, action="edit")
    assert forget(project) == tuple(project.named(name).id for name in IMAGES[3:])
    assert project.learnt is None
    for image_id, work in before.items():
        now = project.work(image_id)
        assert now.detected == work.detected
        assert now.detected_by == work.detected_by
        for point in work.landmarks:
            if (image_id, point.name) != (last.id, "menton"):
                assert now.landmarks[point.name] == point
    assert project.work(last.id).landmarks["menton"].position_yx == (50, 60)
    assert forget(project) == ()


def test_one_corrected_image_shows_nothing(detector):
    with pytest.raises(ProjectError, match="at least two images"):
        list(try_learning(["0001"], detector))


def test_a_damaged_file_is_named(project):
    (project.folder / "learnt.json").write_text("{")
    with pytest.raises(ProjectError, match=r"learnt\.json"):
        _ = project.learnt


@pytest.mark.usefixtures("one_thread")
def test_the_command_shows_applies_and_forgets(project, monkeypatch, tmp_path):
    for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    project.close()
    before = images_of(project)

    def learn(*arguments: str) -> str:
        result = run("project", "learn", project.folder, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    shown = learn()
    assert "3 images with corrected or accepted points, each left out in turn" in shown
    assert "A person has corrected or accepted these points" in shown
    assert ("--apply recommended does it" in shown) == ("Recommended:" in shown)
    assert "does it" not in learn("--apply", "recommended")
    learn("--forget")
    applied = json.loads(learn("--apply", "both", "--json"))
    assert (applied["corrected"], len(applied["gains"])) == (3, 3)
    assert (applied["applied"], applied["detected"]) == ("both", len(IMAGES) - 3)
    found = images_of(project)
    assert "and 3 more" in found[IMAGES[-1]].provenance.template
    # Detecting anew goes on with what was learnt: there is nothing to do.
    again = run("project", "detect", project.folder, "--again", "--json")
    assert json.loads(again.stdout)["detected"] == 0
    assert "1 image as before" in learn("--forget")
    assert images_of(project) == before
    assert run("project", "learn", project.folder, "--apply", "wishes").exit_code == 2
