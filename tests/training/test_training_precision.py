"""Spreads that adapt: found where the best ones are known, resumed, stopped early."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_scene import small_task
from test_training_fine import SMALL, result_of

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.matching.crops import gaussian_targets
from napari_oneshot_lmk.training import fine as fine_training
from napari_oneshot_lmk.training.checkpoint import pack, unpack
from napari_oneshot_lmk.training.events import EpochEnded, Noted, Stepped
from napari_oneshot_lmk.training.fine import train_fine
from napari_oneshot_lmk.training.fine_crops import CropSampler
from napari_oneshot_lmk.training.fine_images import Labels
from napari_oneshot_lmk.training.precision import (
    BEGINS_AT,
    ENDS_AT,
    FACTOR,
    LEVELS,
    MOST_STEPS,
    STATES,
    Action,
    PrecisionAgent,
)
from napari_oneshot_lmk.training.state import trained_model

pytestmark = pytest.mark.usefixtures("one_thread")

LANDMARKS, DECISIONS = 19, 36
FIRST = round(BEGINS_AT * DECISIONS)
LAST = FIRST + math.ceil(ENDS_AT * (DECISIONS - FIRST))


def agent_of(seed: int, landmarks: int = LANDMARKS, decisions: int = DECISIONS) -> PrecisionAgent:
    return PrecisionAgent(
        landmarks, 2.0, decisions, lambda made: np.random.default_rng([seed, made])
    )


class Toy:
    """Errors that grow with the distance of a spread from the landmark's best, and fall by time."""

    def __init__(self, seed: int, noise: float, drift: float = 2.0) -> None:
        self.random, self.noise, self.drift = np.random.default_rng(seed), noise, drift
        self.best = self.random.integers(0, LEVELS, LANDMARKS)
        self.least = self.random.uniform(0.5, 2.0, LANDMARKS)

    def errors_px(self, agent: PrecisionAgent) -> np.ndarray:
        away = (agent.levels - self.best) ** 2
        noise = self.noise * self.random.standard_normal(LANDMARKS)
        common = -self.drift * agent.made / agent.decisions
        return self.least * np.exp(0.15 * away + noise + common)

    def play(self, agent: PrecisionAgent, until: int = DECISIONS) -> PrecisionAgent:
        while agent.made < until:
            if agent.waits:
                agent.wait()
            else:
                agent.decide(self.errors_px(agent))
        return agent


@pytest.mark.parametrize(("noise", "allowed"), [(0.0, 0.1), (0.1, 0.35)])
def test_it_finds_the_best_spread_of_each_landmark(noise, allowed):
    away, before, unlearned = [], [], []
    for seed in range(20):
        toy = Toy(seed, noise)
        agent = toy.play(agent_of(seed))
        away.append(np.abs(agent.levels - toy.best).mean())
        before.append(np.abs(MOST_STEPS - toy.best).mean())
        toy, random = Toy(seed, noise), agent_of(seed)
        random._learn = lambda rewards, states: None  # type: ignore[method-assign]
        unlearned.append(np.abs(toy.play(random).levels - toy.best).mean())
    assert np.mean(away) <= allowed
    assert np.mean(before) > 1
    # What it has learned matters, not only that it has tried.
    assert np.mean(away) < 0.6 * np.mean(unlearned)


def test_it_learns_in_which_direction_to_go():
    agents = [Toy(seed, 0.05).play(agent_of(seed)) for seed in range(10)]
    visits = sum(agent.visits for agent in agents)
    values = sum(agent.values * agent.visits for agent in agents) / np.maximum(1, visits)
    # States: 3 * narrower + wider, each 0 unknown, 1 better, 2 not better.
    assert values[3 * 1 + 2].argmax() == Action.NARROW
    assert values[3 * 2 + 1].argmax() == Action.WIDEN
    assert values[3 * 2 + 2].argmax() == Action.KEEP


def test_landmarks_settle_early_and_stay():
    early = []
    for seed in range(10):
        toy, agent = Toy(seed, 0.05), agent_of(seed)
        levels = []
        settled = np.zeros(LANDMARKS, bool)
        for made in range(1, DECISIONS + 1):
            toy.play(agent, made)
            if levels:
                assert (agent.levels[settled] == levels[-1][settled]).all()
            assert (agent.settled >= settled).all()
            settled = agent.settled.copy()
            levels.append(agent.levels.copy())
            if made == LAST - 1:
                early.append(settled.mean())
            assert made < LAST or settled.all()
    assert 0.5 < np.mean(early) < 1


def test_exploration_falls():
    agent = agent_of(0)
    shares = [agent.explored]
    for _ in range(FIRST):
        agent.wait()
        assert agent.explored == 1
    for _ in range(DECISIONS - FIRST):
        agent.decide(np.ones(LANDMARKS))
        shares.append(agent.explored)
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < 0.1


def test_what_all_landmarks_learn_is_no_reward():
    """The same decisions whether the network improves meanwhile or not."""
    levels = []
    for drift in (0.0, 3.0):
        toy, agent = Toy(4, 0.1, drift), agent_of(4)
        levels.append(toy.play(agent).levels)
    assert (levels[0] == levels[1]).mean() > 0.8


@pytest.mark.parametrize("best", [-5, LEVELS + 5])
def test_spreads_stay_within_limits(best):
    toy, agent = Toy(0, 0.0), agent_of(0)
    toy.best[:] = best
    for made in range(1, DECISIONS + 1):
        toy.play(agent, made)
        assert agent.levels.min() >= 0
        assert agent.levels.max() < LEVELS
    limit = 2.0 * FACTOR ** (MOST_STEPS if best > 0 else -MOST_STEPS)
    assert np.isclose(agent.spreads_px, limit).mean() > 0.9


@pytest.mark.parametrize("at", [0, 1, 9, 20, 30])
def test_it_goes_on_from_its_content_to_the_last_bit(at):
    whole = Toy(3, 0.1).play(agent_of(3))
    toy = Toy(3, 0.1)
    begun = toy.play(agent_of(3), at)
    resumed = agent_of(3)
    resumed.restore(unpack(*pack(begun.content())))
    toy.play(resumed)
    for name, value in whole.content().items():
        assert np.array_equal(value, resumed.content()[name]), name
    assert resumed.values.shape == (STATES, len(Action))


# -- in the fine stage ---------------------------------------------------------------

ADAPTIVE = {
    **SMALL,
    "fine__target_precision": "adaptive",
    "fine__precision_steps": 2,
    "fine__precision_copies": 2,
    "fine__epochs": 6,
    "fine__epoch_steps": 3,
}


def test_a_training_says_and_keeps_the_spreads(tmp_path):
    task = small_task(tmp_path, **ADAPTIVE)
    detector = Detector(task.template, task.encoder)
    events, trained = result_of(train_fine(detector, task.images, task.preset, seed=1))
    ended = [event.spreads_px for event in events if isinstance(event, EpochEnded)]
    assert tuple(ended[0]) == trained.stage.card.landmarks
    assert any(spreads != ended[0] for spreads in ended[1:])
    assert trained.stage.card.target_sds_px == tuple(ended[-1].values())
    [noted] = [event.text for event in events if isinstance(event, Noted)]
    assert all(f"{name} {spread:.1f}" in noted for name, spread in ended[-1].items())


def test_without_it_spreads_are_those_of_the_settings(tmp_path):
    small = {**SMALL, "fine__epochs": 1, "fine__epoch_steps": 1}
    task = small_task(tmp_path, **small, fine__target_sd_px=1.5)
    detector = Detector(task.template, task.encoder)
    events, trained = result_of(train_fine(detector, task.images, task.preset, seed=1))
    assert trained.stage.card.target_sds_px == (1.5,) * 3
    assert {str(e.spreads_px) for e in events if isinstance(e, EpochEnded)} == {"{}"}


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    task = small_task(tmp_path, **{**ADAPTIVE, "fine__epochs": 2})
    detector = Detector(task.template, task.encoder)

    def begin(folder: Path) -> Any:
        return train_fine(detector, task.images, task.preset, 3, folder)

    _, whole = result_of(begin(tmp_path / "whole"))
    # Killed after each of the first steps, between two decisions and right after one.
    for _ in range(5):
        training, steps = begin(tmp_path / "killed"), count(1)
        for event in training:
            if isinstance(event, Stepped) and next(steps) == 2:
                break
        training.close()
    _, resumed = result_of(begin(tmp_path / "killed"))
    assert resumed.stage.card == whole.stage.card
    assert len(set(whole.stage.card.target_sds_px)) > 1
    for name, value in whole.stage.state_dict().items():
        assert torch.equal(value, resumed.stage.state_dict()[name]), name


def sampler_of(task: Any) -> CropSampler:
    placed = task.template.landmarks.with_points(task.template.landmarks.placed)
    points = (placed.positions_yx + 0.5) / task.template.image.geometry.image_shape_yx
    random = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (1, 1, 96, 80), generator=random).byte() for _ in range(3)]
    return CropSampler(task.preset.fine, images, points, (0, 1, 2), 5)


def test_each_crop_has_the_target_of_its_landmark(tmp_path):
    sampler = sampler_of(small_task(tmp_path, **SMALL))
    labels = Labels(np.full((2, 3, 2), 0.5), np.zeros((2, 3)))
    spreads = np.array([1.0, 2.0, 4.0])
    own = sampler.batch(0, 0, labels, spreads)

    def plain(sd_px: float) -> Any:
        return sampler.batch(0, 0, labels, np.full(3, sd_px))

    for landmark, spread in enumerate(spreads):
        chosen = own.landmarks == landmark
        assert chosen.any()
        assert torch.equal(own.targets[chosen], plain(spread).targets[chosen])
    fixed = sampler.batch(0, 0, labels)
    assert torch.equal(fixed.targets, plain(sampler.settings.target_sd_px).targets)
    assert torch.equal(fixed.crops, own.crops)
    one = gaussian_targets(torch.tensor([[0.3, -1.2]]), 32, torch.tensor([2.0]))
    assert torch.equal(one, gaussian_targets(torch.tensor([[0.3, -1.2]]), 32, 2.0))


def test_no_step_shows_a_held_out_crop(tmp_path):
    task = small_task(tmp_path, **SMALL)
    sampler = sampler_of(task)
    held_out = sampler.held_out(4)
    assert held_out.landmarks.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    again = sampler.held_out(4)
    assert all(torch.equal(a, b) for a, b in zip(held_out, again, strict=True))
    assert held_out.offsets_yx.abs().max() < task.preset.fine.side / 2
    labels = Labels(np.full((2, 3, 2), 0.5), np.zeros((2, 3)))
    batches = [sampler.batch(epoch, step, labels) for epoch in range(4) for step in range(3)]
    shown = torch.cat([batch.crops[batch.of_template] for batch in batches])
    assert len(shown) > 0
    assert not any(torch.equal(a, b) for a in held_out.crops for b in shown)


def test_spreads_do_not_change_what_a_model_is(tmp_path):
    """Detection does not read them: old models without them keep their hash."""
    task = small_task(tmp_path, **{**SMALL, "fine__epochs": 1, "fine__epoch_steps": 1})
    detector = Detector(task.template, task.encoder)
    _, trained = result_of(train_fine(detector, task.images, task.preset, seed=1))
    stage = trained.stage
    model = replace(trained_model(task, (), {}, 0, 0.0), fine=stage)
    older = FineStage(
        stage.card.model_copy(update={"target_sds_px": ()}), stage.network, stage.grid.template
    )
    assert replace(model, fine=older).content_sha256 == model.content_sha256
    model.save(tmp_path / "model")
    loaded = TrainedModel.load(tmp_path / "model")
    assert loaded.fine is not None
    assert loaded.fine.card.target_sds_px == stage.card.target_sds_px
