"""The method student: a network that draws a map of each landmark, from pseudo-labels."""

import copy
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from bundle_scene import Unrecorded
from cli_scene import POINTS, SHIFTS
from learning_scene import SMALL_GRID_YX, Kept, assert_found, small_task

from napari_oneshot_lmk.bundle import export as exporting
from napari_oneshot_lmk.bundle.configs import About
from napari_oneshot_lmk.bundle.export import Export, export_bundle
from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.bundle.network import PointNetwork
from napari_oneshot_lmk.bundle.verify import Comparison
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.errors import ModelError, UsageError
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.matching.heatmaps import ELSEWHERE, cell_targets, log_heatmaps
from napari_oneshot_lmk.matching.peaks import find_peaks
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork, build_network
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Stepped
from napari_oneshot_lmk.training.fine_tune import check_tunable
from napari_oneshot_lmk.training.first_pass import encode_images
from napari_oneshot_lmk.training.heatmap_objective import HeatmapObjective
from napari_oneshot_lmk.training.methods import LABEL_STAGE, Batch
from napari_oneshot_lmk.training.pseudo_labels import instant_labels
from napari_oneshot_lmk.training.trainer import Trainer, fit

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]
on_small_grid = partial(small_task, grid_yx=SMALL_GRID_YX)
CHANNELS = (3, 4, 5, 6, 7)
LAYOUT = {"adapter_channels": 0, "rfb": False, "head": "heatmaps"}


def trained(folder, **changes):
    task, kept = on_small_grid(folder, "student", **changes), Kept()
    return task, kept, list(fit(task, kept))


# -- maps ----------------------------------------------------------------------------


def test_targets_are_centred_between_cells_and_have_the_sum_one():
    points = torch.tensor([[10.3, 20.9], [31.0, 8.5]])
    targets = cell_targets(points, (24, 32), 1.0)
    assert torch.allclose(targets.sum((1, 2)), torch.ones(2))
    found, _ = find_peaks(targets.log(), stride=2)
    # The logarithm of a Gaussian is a parabola: its vertex is the point.
    assert torch.allclose(found, points.double(), atol=1e-3)


def test_a_map_is_a_probability_that_is_nowhere_less_than_it_may_be():
    logits = torch.randn(2, 5, 7) * 50
    found = log_heatmaps(logits)
    assert torch.allclose(found.exp().sum((1, 2)), torch.ones(2), atol=1e-5)
    assert torch.isclose(found.min(), torch.tensor(ELSEWHERE / 35).log(), atol=1e-4)
    assert torch.equal(found.flatten(1).argmax(1), logits.flatten(1).argmax(1))


# -- the network -----------------------------------------------------------------------


def test_its_layout_is_remembered_and_that_of_embeddings_is_as_before():
    layout = NetworkConfig(CHANNELS, 4, **LAYOUT)
    assert NetworkConfig.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert isinstance(build_network(layout), HeatmapNetwork)
    assert "head" not in NetworkConfig(CHANNELS, 4).to_json()
    for wrong in ({"rfb": True}, {"adapter_channels": 3}, {"normalisation": "landmark"}):
        with pytest.raises(UsageError, match="no layers of single landmarks"):
            NetworkConfig(CHANNELS, 4, **{**LAYOUT, **wrong})
    with pytest.raises(UsageError, match="no head 'votes'"):
        NetworkConfig(CHANNELS, 4, adapter_channels=0, rfb=False, head="votes")
    with pytest.raises(UsageError, match="a layout of embeddings"):
        HeatmapNetwork(NetworkConfig(CHANNELS, 4))


# -- training ----------------------------------------------------------------------------


def test_it_learns_and_detects_and_is_the_same_after_saving(tmp_path):
    task, kept, events = trained(tmp_path, training__epochs=4)
    ended = [event for event in events if isinstance(event, EpochEnded)]
    assert [set(event.losses) for event in ended] == [{"template", "pseudo-labels"}] * 4
    losses = [sum(event.losses.values()) for event in ended]
    assert losses[-1] < losses[0]
    kept.model.save(tmp_path / "model")
    loaded = TrainedModel.load(tmp_path / "model")
    assert loaded.content_sha256 == kept.model.content_sha256
    assert loaded.card.method == "student"
    assert loaded.card.search_cells == 0
    detector = TrainedDetector.from_model(kept.model, encoder=task.encoder)
    assert_found(detector, task)
    assert all(0 <= point.score <= 1 for point in detector.detect())


def test_alone_it_sees_what_it_was_taught(tmp_path):
    """Without a share of instant detection, after passes enough to know three images."""
    changes = {"detection__instant_share": 0.0, "training__epochs": 60, "labels__renew_every": 99}
    task, kept, _ = trained(tmp_path, **changes, training__learning_rate=3e-3)
    detector = TrainedDetector.from_model(kept.model, encoder=task.encoder)
    image = task.images.usable[0]
    pyramid = task.encoder(prepare_image(task.images.read(image)))
    with torch.inference_mode():
        maps = detector.log_maps(pyramid)
    assert torch.allclose(maps.exp().sum((1, 2)), torch.ones(len(maps)), atol=1e-4)
    found, _ = find_peaks(maps, stride=2)
    taught = detector.template.image.geometry
    expected = taught.points_to_network(np.add(list(POINTS.values()), SHIFTS[image.name]))
    assert np.hypot(*(found.numpy() - expected).T).max() < 4


def test_a_step_has_the_gradients_of_the_plain_formula(tmp_path):
    task = on_small_grid(tmp_path, "student")
    trainer = Trainer(task, Kept(), lambda: False)
    list(encode_images(task, trainer.encoded, trainer.copies))
    state = trainer.new_state(0)
    state.network.eval().double()
    objective = trainer._objective(state)
    assert isinstance(objective, HeatmapObjective)
    objective._dtype = torch.float32
    labels = instant_labels(trainer.encoded)
    images = tuple(range(len(task.images)))
    batch = Batch(LABEL_STAGE, images, (), tuple(range(len(state.rows))))
    loss = objective.losses(batch, labels, torch.Generator())[LABEL_STAGE]
    loss.backward()
    found = {k: p.grad.clone() for k, p in state.network.named_parameters()}
    state.network.zero_grad()
    total, weighed = 0.0, 0.0
    for index, image in enumerate(task.images.usable):
        maps = [m.double() for m in trainer.encoded.cache.batch([image.sha256])]
        logits = state.network(maps)[0]
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in logits.shape[-2:])
        for k in range(len(logits)):
            y, x = (labels.points_yx[index, k] + 0.5) / 2 - 0.5
            bump = torch.exp(-0.5 * ((rows[:, None] - y) ** 2 + (columns - x) ** 2))
            weight = 1 / (1 + (labels.residuals[index, k] / 0.045) ** 2)
            shares = logits[k].flatten().log_softmax(0).view_as(bump)
            total = total - weight * (bump / bump.sum() * shares).sum()
            weighed += weight
    (total / weighed).backward()
    assert float(loss.detach()) == pytest.approx(float((total / weighed).detach()), rel=1e-4)
    for name, parameter in state.network.named_parameters():
        scale = parameter.grad.abs().max()
        assert (found[name] - parameter.grad).abs().max() <= 1e-3 * scale + 1e-9, name


def test_killed_within_an_epoch_it_ends_as_if_it_had_not_been(tmp_path):
    class Written(Kept):
        """Keeps a checkpoint as it was, not what training makes of it."""

        def save(self, checkpoint):
            super().save(copy.deepcopy(checkpoint))

    task, whole, kept = on_small_grid(tmp_path, "student", training__epochs=2), Kept(), Written()
    list(fit(task, whole))
    events = fit(task, kept)
    next(event for event in events if isinstance(event, Stepped) and event.epoch == 2)
    events.close()
    assert kept.model is None
    list(fit(task, kept))
    own, other = (model.model.parts[0].network.state_dict() for model in (kept, whole))
    assert all(torch.equal(own[key], other[key]) for key in other)


def test_it_begins_with_labels_that_were_found_whatever_the_preset(tmp_path):
    task = on_small_grid(tmp_path, "student", labels__initial="random")
    trainer = Trainer(task, Kept(), lambda: False)
    list(encode_images(task, trainer.encoded, trainer.copies))
    found = instant_labels(trainer.encoded)
    assert np.array_equal(trainer.new_state(0).labels.points_yx, found.points_yx)
    with pytest.raises(UsageError, match="student learns nothing from random first points"):
        TrainingConfig(method="student", initial_labels="random")


def test_it_has_no_adapters_to_fine_tune(tmp_path):
    _, kept, _ = trained(tmp_path, training__epochs=1)
    with pytest.raises(ModelError, match=r"method student.* has no adapters"):
        check_tunable(kept.model)


def test_a_bundle_of_it_is_read_again(tmp_path, monkeypatch):
    _, kept, _ = trained(tmp_path, training__epochs=1)
    monkeypatch.setattr(PointNetwork, "scripted", lambda self: Unrecorded)
    monkeypatch.setattr(exporting, "verify_bundle", lambda *_: Comparison((), 0.0, ""))
    kept.model.save(tmp_path / "model")
    model = TrainedModel.load(tmp_path / "model")
    out = tmp_path / "bundle"
    list(export_bundle(Export(model, out, About(name="Blobs"), None)))
    opened = load_model(out)
    assert opened.content_sha256 == replace(model, precision="float32").content_sha256
