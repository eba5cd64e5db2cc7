"""The loop itself: every method learns, memory that runs out, what never moves."""

from functools import partial
from typing import Any

import pytest
import torch
from cli_scene import POINTS, SHIFTS
from learning_scene import SMALL_GRID_YX, Kept, assert_found, small_task
from torch import Tensor

from benchmarks.training_step import measure_step
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.errors import TrainingError
from napari_oneshot_lmk.training.events import EpochEnded, Event, Finished, Noted, Stepped
from napari_oneshot_lmk.training.objective import Objective
from napari_oneshot_lmk.training.trainer import fit

pytestmark = pytest.mark.usefixtures("one_thread")
on_small_grid = partial(small_task, grid_yx=SMALL_GRID_YX)


def of_kind(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("method", "template_stage", "anchor", "stages"),
    [
        ("joint", False, "patch", {"self-supervised"}),
        ("single", False, "template", {"pseudo-labels"}),
        ("single", True, "patch", {"template", "pseudo-labels"}),
        ("fused", True, "template", {"template", "pseudo-labels"}),
        ("fused", True, "patch", {"template", "pseudo-labels"}),
    ],
    ids=["joint", "sla", "atd", "fused", "fused with patches"],
)
def test_every_method_learns_and_detects(tmp_path, method, template_stage, anchor, stages):
    # Random patches of one landmark on three images: the loss of so few falls with some noise.
    epochs = 6 if method == "single" and anchor == "patch" else 3
    steps = {"training__anchor": anchor, "training__epochs": epochs}
    steps["training__together"] = anchor == "template"
    task, kept = on_small_grid(tmp_path, method, template_stage, **steps), Kept()
    events = list(fit(task, kept))
    ended = of_kind(events, EpochEnded)
    units = len(POINTS) if method == "single" else 1
    assert len(ended) == epochs * units
    assert all(set(event.losses) == stages for event in ended)
    for unit in range(units):
        own = ended[epochs * unit : epochs * (unit + 1)]
        assert sum(own[-1].losses.values()) < sum(own[0].losses.values())
    assert isinstance(events[-1], Finished)
    assert kept.model is not None
    assert len(kept.model.parts) == units
    detector = TrainedDetector.from_model(kept.model, encoder=task.encoder)
    assert_found(detector, task)


def test_random_first_labels_and_the_published_settings(tmp_path):
    """Nothing of instant detection, the whole image searched, RFBs, hard targets."""
    published = {
        "labels__initial": "random",
        "labels__weigh": False,
        "detection__instant_share": 0.0,
        "detection__search_cells": 0,
        "loss__soft_sigma_cells": 0.0,
        "training__anchor": "patch",
        "training__together": False,
        "training__selection": "last",
        "training__schedule": "step",
        "patch__placement": "centred",
        "network__rfb": True,
        "network__lateral_channels": 0,
    }
    events = list(fit(on_small_grid(tmp_path, **published), Kept()))
    first, last = of_kind(events, EpochEnded)
    assert sum(last.losses.values()) < sum(first.losses.values())
    # From anywhere to somewhere: the labels of the first epoch were random.
    assert first.shift > last.shift
    assert events[-1].epoch == 2


def test_only_the_network_moves_and_idle_adapters_stay(tmp_path, monkeypatch):
    """Trained is one landmark of three, so two adapters get no step of Adam."""
    task = on_small_grid(tmp_path, training__together=False, training__epochs=1)
    seen: list[dict[str, Tensor]] = []
    owners: list[int] = []
    whole = Objective.losses

    def watched(self: Objective, batch: Any, *given: Any) -> Any:
        state = self._network.state_dict()
        seen.append({key: value.clone() for key, value in state.items()})
        owners.append(batch.landmarks[0])
        return whole(self, batch, *given)

    monkeypatch.setattr(Objective, "losses", watched)
    list(fit(task, Kept()))
    assert set(owners) == {0, 1, 2}
    for owner, before, after in zip(owners, seen, seen[1:], strict=False):
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        adapters = {key.split(".")[1] for key in moved if key.startswith("adapters.")}
        assert adapters == {str(owner)}
        assert any(key.startswith("decoder.") for key in moved)
        assert not any("encoder" in key for key in before)


def limit_memory(patch: pytest.MonkeyPatch, images: int) -> list[int]:
    """Let steps of more images run out of memory; return the sizes of the others."""
    whole, held = Objective.losses, []

    def losses(objective: Objective, batch: Any, *given: Any) -> Any:
        if len(batch.images) > images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        held.append(len(batch.images))
        return whole(objective, batch, *given)

    patch.setattr(Objective, "losses", losses)
    return held


def test_where_memory_runs_out_steps_go_on_in_halves(tmp_path, monkeypatch):
    held = limit_memory(monkeypatch, 1)
    events = list(fit(on_small_grid(tmp_path, training__batch=3), Kept()))
    notes = [event.text for event in of_kind(events, Noted) if event.serious]
    assert notes == ["Out of memory: steps go on in pieces of 1 image."]
    assert max(held) == 1
    assert isinstance(events[-1], Finished)
    assert len(of_kind(events, Stepped)) == 2


def test_not_enough_memory_for_one_image_is_an_error(tmp_path, monkeypatch):
    limit_memory(monkeypatch, 0)
    with pytest.raises(TrainingError, match="not enough memory for a step with one"):
        list(fit(on_small_grid(tmp_path), Kept()))


def test_pieces_of_a_step_have_the_gradients_of_the_whole(tmp_path, monkeypatch):
    """Without batch norm, and with equal weights, the only difference is rounding."""
    exact = {"network__normalisation": "none", "labels__weigh": False, "training__epochs": 1}
    task = on_small_grid(tmp_path, template_stage=False, **exact)
    (whole,) = of_kind(list(fit(task, Kept())), EpochEnded)
    limit_memory(monkeypatch, 1)
    (halves,) = of_kind(list(fit(task, Kept())), EpochEnded)
    assert halves.losses == pytest.approx(whole.losses, rel=1e-4)
    assert halves.agreement == pytest.approx(whole.agreement, rel=1e-3)


def test_asked_to_stop_it_ends_at_once_with_what_it_has(tmp_path):
    task, kept = on_small_grid(tmp_path, training__epochs=50), Kept()
    events: list[Event] = []
    for event in fit(task, kept, lambda: len(of_kind(events, Stepped)) >= 3):
        events.append(event)
    assert len(of_kind(events, Stepped)) == 3
    assert (events[-1].stopped, events[-1].epoch) == (True, 1)
    assert kept.model is not None


@pytest.mark.parametrize("rfb", [False, True], ids=["light", "with RFBs"])
def test_a_step_has_the_loss_of_the_plain_one(tmp_path, rfb):
    """No cache, one landmark at a time, whole maps, the loss spelled out: the same."""
    task = small_task(tmp_path, template_stage=False, labels__weigh=False, network__rfb=rfb)
    times = measure_step(task, repeats=1)
    assert times.ours_loss == pytest.approx(times.plain_loss, rel=1e-3)
    assert times.samples == len(SHIFTS) * len(POINTS)
