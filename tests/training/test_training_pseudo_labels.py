"""Pseudo-labels: held where detection without training found them, and compared with it."""

import numpy as np
import pytest
import torch
from learning_scene import small_task

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.training.feature_cache import FeatureCache
from napari_oneshot_lmk.training.first_pass import FINEST, NEAR, EncodedImages, encode_images
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.pseudo_labels import HALF_HELD_IMAGES, PseudoLabels


def test_instant_detection_is_kept_as_it_saw_the_surroundings_of_its_points(tmp_path):
    task = small_task(tmp_path)
    encoded = EncodedImages(
        FeatureCache(task.encoder, 4),
        task.images.usable,
        Detector(task.template, task.encoder, upright=True),
    )
    for _ in encode_images(task, encoded, None):
        pass
    image = task.images.usable[1]
    with torch.inference_mode():
        pixels = prepare_image(task.images.read(image))
        seen = encoded.detector.log_maps(task.encoder(pixels))
    kept = encoded.instant_map(1)
    assert kept.shape == seen.shape
    for row, point_yx in enumerate(encoded.instants[1].found_yx):
        middle = (point_yx / FINEST).round().astype(int)
        low, high = np.maximum(middle - NEAR // 2 + 2, 0), middle + NEAR // 2 - 2
        near = (row, slice(low[0], high[0]), slice(low[1], high[1]))
        torch.testing.assert_close(kept[near], seen[near], rtol=1e-3, atol=1e-3)
    # Elsewhere it is a fourth of the numbers, and smoother.
    assert float((kept - seen).abs().max()) > 0.01
    assert float((kept - seen).abs().mean()) < 0.1 * float(seen.std())


def labels(points_yx):
    return PseudoLabels(np.asarray(points_yx), np.zeros(np.shape(points_yx)[:2]))


def test_what_all_labels_of_a_landmark_move_together_is_taken_back():
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 384, (400, 3, 2))
    own = rng.normal(0, 1.0, first.shape)
    own[:40] += 30.0  # a tenth was grossly wrong before, and is mended
    drift = np.array([(2.0, -1.0), (0.0, 0.0), (0.5, 3.0)])
    held = labels(first + own + drift).held_to(labels(first)).points_yx
    np.testing.assert_allclose(np.median(held - first - own, axis=0), 0.0, atol=0.25)
    # Each image keeps what it alone has found.
    apart = (held - first - own) - (held - first - own)[0]
    np.testing.assert_allclose(apart, 0.0, atol=1e-9)


@pytest.mark.parametrize("count", [1, HALF_HELD_IMAGES])
def test_few_images_are_held_less(count):
    first = np.zeros((count, 1, 2))
    held = labels(first + np.array([6.0, 0.0])).held_to(labels(first)).points_yx
    expected = 6.0 * (1 - count / (count + HALF_HELD_IMAGES))
    np.testing.assert_allclose(held[..., 0], expected)
    np.testing.assert_array_equal(held[..., 1], 0.0)


def test_random_labels_are_not_held():
    labels = Preset.load("laptop").labels
    assert labels.are_held
    assert not labels.model_copy(update={"initial": "random"}).are_held


def test_drift_is_what_all_labels_of_a_landmark_share():
    rng = np.random.default_rng(1)
    first, size = rng.uniform(0, 384, (60, 4, 2)), np.array([80.0, 100.0])
    moved = first + rng.normal(0, 1.0, first.shape)
    moved[:, 1] += (2.0, 0.0)
    moved[::3, 2] += (0.0, 9.0)  # mended on a third of the images only
    drifted = labels(moved).drifted(labels(first), size)
    np.testing.assert_array_equal(drifted, [False, True, False, False])
    # Two images say nothing of all.
    assert not labels(moved[:2]).drifted(labels(first[:2]), size).any()


def test_worse_is_what_lies_further_from_where_the_others_expect_it():
    rng = np.random.default_rng(2)
    places = rng.uniform(60, 320, (8, 2))
    shape = ShapeModel(places, np.array([0.5, 0.5]), (384, 384))
    true = places + rng.normal(0, 10, (60, 1, 2))
    before = true + rng.normal(0, 4, true.shape)
    after = true + rng.normal(0, 4, true.shape)
    after[:, 3] = true[:, 3] + rng.normal(0, 12, (60, 2))  # scattered by the training
    after[:, 5] = true[:, 5] + rng.normal(0, 1, (60, 2))  # helped by it
    after[:, 6] = before[:, 6] + (6.0, 0.0)  # moved on all images alike
    worse = labels(after).made_worse(labels(before), shape)
    np.testing.assert_array_equal(np.flatnonzero(worse), [3, 6])
    # The other way about it is the one that was helped.
    back = labels(before).made_worse(labels(after), shape)
    assert back[5]
    assert not back[3]
    # More than chance, and too little to matter.
    slightly = true + 1.01 * (before - true)
    assert not labels(slightly).made_worse(labels(before), shape).any()
    # A few images say nothing of all.
    assert not labels(after[:5]).made_worse(labels(before[:5]), shape).any()
