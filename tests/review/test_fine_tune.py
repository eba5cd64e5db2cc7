"""A fused model is fine-tuned on corrected images: what learns, kill and resume, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundle_scene import random_model
from cli_scene import POINTS, SHIFTS, run
from learning_scene import SPACING_YX
from torch import Tensor

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.training.events import EpochEnded, Finished, Stepped
from napari_oneshot_lmk.training.fine_tune import (
    ADAPTERS,
    FineTuning,
    SeveralAugmentations,
    fine_tune,
    fine_tuning_config,
)
from napari_oneshot_lmk.training.preset import FINE_TUNING, Preset

pytestmark = pytest.mark.usefixtures("one_thread")
NUMBERS = Preset.load(FINE_TUNING).changed(
    {
        "template_copies.count": 1,
        "training.epochs": 2,
        "training.batch": 2,
        "training.precision": "float32",
        "training.learning_rate": 1e-2,
    }
)


def coarse(template: Template) -> Template:
    """The same on a network's grid of a quarter of the cells, which is as good for a test."""
    geometry = template.image.geometry.with_network_shape((192, 192))
    image = replace(template.image, geometry=geometry)
    return Template.create(image, template.landmarks.with_geometry(geometry), template.name)


@pytest.fixture(scope="module")
def usual_model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return random_model(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def model(usual_model: TrainedModel) -> TrainedModel:
    return replace(usual_model, template=coarse(usual_model.template))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random_model(tmp_path)
    return tmp_path / "images"


def corrected(images: Path, *names: str, lacking: str = "") -> tuple[Template, ...]:
    """The scene's images with their true points; one lacks a landmark."""
    found = []
    for name in names:
        points = {n: (y + SHIFTS[name][0], x + SHIFTS[name][1]) for n, (y, x) in POINTS.items()}
        if name == lacking:
            del points["notch"]
        image = read_image(images / name, spacing_mm_yx=SPACING_YX)
        found.append(Template.create(image, Landmarks.from_positions(points, name)))
    return tuple(found)


def job_of(model: TrainedModel, images: Path, *names: str, seed: int = 0) -> FineTuning:
    config = fine_tuning_config(preset=NUMBERS, seed=seed)
    parts = corrected(images, *(names or ("one.png", "two.png")), lacking="two.png")
    few = tuple(coarse(part) for part in parts)
    return FineTuning(model, model.template, few, shipped_encoder("cpu"), config)


def state_of(model: TrainedModel) -> dict[str, Tensor]:
    network = model.parts[0].network
    assert isinstance(network, LandmarkNetwork)
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_only_adapters_learn_and_what_is_shared_stays_to_the_last_bit(model, images, tmp_path):
    before = state_of(model)
    events = list(fine_tune(job_of(model, images), tmp_path / "run"))
    first, *_, last = (event for event in events if isinstance(event, EpochEnded))
    assert last.losses["template"] < first.losses["template"]
    assert isinstance(events[-1], Finished)
    tuned = TrainedModel.load(tmp_path / "run")
    after = state_of(tuned)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {
        name for name, _ in model.parts[0].network.named_parameters() if name.startswith(ADAPTERS)
    }
    assert moved == trained
    assert all(torch.equal(value, before[name]) for name, value in state_of(model).items())
    assert (tuned.card.training.corrected, tuned.card.method) == (2, "fused")
    assert tuned.content_sha256 != model.content_sha256


def test_killed_anywhere_it_goes_on_to_the_same_adapters(model, images, tmp_path, monkeypatch):
    list(fine_tune(job_of(model, images), tmp_path / "whole"))
    monkeypatch.setattr("napari_oneshot_lmk.training.trainer.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    for _ in range(2):
        with closing(fine_tune(job_of(model, images), tmp_path / "killed")) as events:
            for event in events:
                if isinstance(event, Stepped):
                    break
    *_, end = fine_tune(job_of(model, images), tmp_path / "killed")
    assert isinstance(end, Finished)
    whole, killed = (state_of(TrainedModel.load(tmp_path / n)) for n in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert job_of(model, images).key != job_of(model, images, seed=1).key


def test_copies_know_which_landmarks_an_image_lacks(model, images):
    parts = corrected(images, "one.png", "two.png", lacking="two.png")
    settings = NUMBERS.template_copies.model_copy(update={"count": 2})
    copies = SeveralAugmentations((model.template, *parts), settings, 0)
    assert len(copies) == 6
    assert [copies.copy(i).inside.tolist() for i in (2, 4)] == [[True] * 3, [True, False, True]]
    fewer = SeveralAugmentations((model.template, parts[1]), settings, 0)
    assert (fewer.key(2), fewer.key(3)) == (copies.key(4), copies.key(5))
    assert len({copies.key(index) for index in range(6)}) == 6


def test_a_model_without_adapters_is_refused(model, images):
    many = replace(model, parts=(*model.parts, *model.parts))
    with pytest.raises(ModelError, match="no adapters to fine-tune"):
        job_of(many, images)


@pytest.fixture
def project(usual_model: TrainedModel, images: Path, tmp_path: Path) -> Iterator[Project]:
    """Three images, of which two are corrected."""
    model = usual_model
    model.save(tmp_path / "model")
    files = sorted(images.iterdir())
    folder = tmp_path / "study"
    with Project.create(folder, model.template, files, model=tmp_path / "model") as project:
        for part in corrected(images, "one.png", "three.png"):
            project.record(project.named(part.image.name).id, part.landmarks, action="edit")
        yield project


def test_the_command_shows_applies_and_goes_back_in_one_step(project, tmp_path, monkeypatch):
    for name in ("ONESHOT_LMK_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    numbers = NUMBERS.changed({"training.epochs": 1, "training.batch": 4})
    (tmp_path / "numbers.toml").write_text(numbers.to_toml(), encoding="utf-8")
    project.close()
    own = project.own_model

    def learn(*arguments: object) -> str:
        result = run("project", "learn", project.folder, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    tune = ("--fine-tune", "--preset", tmp_path / "numbers.toml", "--seed", 3)
    shown = learn(*tune)
    assert "left out in 2 parts, each of one training" in shown
    assert "fine tuning and templates" in shown
    assert "few-shot" in shown
    assert (project.learnt, project.model) == (None, own)
    before = project.work(project.named("two.png").id)
    applied = json.loads(learn(*tune, "--apply", "fine-tuning", "--json"))
    assert (applied["trainings"], len(applied["gains"])) == (2, 5)
    assert (applied["applied"], applied["detected"]) == ("fine tuning", 1)
    assert project.model != own
    assert TrainedModel.load(project.model).card.training.corrected == 2
    found = project.work(project.named("two.png").id).landmarks
    assert "fine-tuned on 2 corrected" in found.provenance.template
    again = run("project", "detect", project.folder, "--again", "--json")
    assert json.loads(again.stdout)["detected"] == 0
    other = run("project", "model", project.folder, tmp_path / "model")
    assert "forget what was learnt first" in other.output
    assert "1 image as before" in learn("--forget")
    assert (project.model, TrainedModel.load(own).card.training.corrected) == (own, 0)
    assert project.work(project.named("two.png").id).landmarks == before.landmarks
    assert run("project", "learn", project.folder, "--apply", "fine-tuning").exit_code == 2
