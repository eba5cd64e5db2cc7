"""Schedules, the choice of an epoch, and what weighs a pseudo-label."""

import math
from itertools import pairwise

import numpy as np
import pytest

from napari_oneshot_lmk.training.preset import TrainingSettings
from napari_oneshot_lmk.training.pseudo_labels import (
    HALF_WEIGHT_RESIDUAL,
    LARGEST_RESIDUAL,
    PseudoLabels,
)
from napari_oneshot_lmk.training.state import learning_rate, significantly_worse


def test_published_rate_halves_every_fifty_epochs():
    rates = [learning_rate(TrainingSettings(), epoch, 3, 81) for epoch in (0, 49, 50, 299)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 1e-4 / 32])
    constant = TrainingSettings(schedule="constant", learning_rate=1e-3)
    assert learning_rate(constant, 299, 80, 81) == 1e-3


def test_cosine_falls_from_the_rate_to_a_fiftieth():
    settings = TrainingSettings(schedule="cosine", learning_rate=1e-3, epochs=4)
    rates = [learning_rate(settings, e, s, 10) for e in range(4) for s in range(10)]
    assert rates[0] == 1e-3
    assert rates[20] == pytest.approx(1e-3 * (0.02 + 0.98 / 2))
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert rates[-1] == pytest.approx(2e-5, rel=0.2)


def test_an_epoch_is_worse_only_where_chance_does_not_explain_it():
    random = np.random.default_rng(0)
    lowest = random.uniform(0.01, 0.1, 150)
    noise = random.normal(0, 0.01, 150)
    noise -= noise.mean()
    chance = noise.std(ddof=1) / math.sqrt(150)
    assert not significantly_worse(lowest, None)
    assert not significantly_worse(lowest, lowest)
    assert not significantly_worse(lowest - 0.001, lowest)
    assert not significantly_worse(lowest + noise + 0.9 * chance, lowest)
    assert significantly_worse(lowest + noise + 1.1 * chance, lowest)
    # The same step on every image is no chance, however small.
    assert significantly_worse(lowest + 1e-6, lowest)
    assert significantly_worse(np.array([0.2]), np.array([0.1]))
    assert not significantly_worse(np.array([0.1]), np.array([0.1]))


def labels() -> PseudoLabels:
    residuals = np.array([[0.0, HALF_WEIGHT_RESIDUAL, 1.0], [2 * HALF_WEIGHT_RESIDUAL, 0.0, 0.0]])
    return PseudoLabels(np.zeros((2, 3, 2)), residuals)


def test_a_label_that_does_not_fit_the_shape_weighs_less():
    weights = labels().weights(True)
    np.testing.assert_allclose(weights[:, :2], [[1.0, 0.5], [0.2, 1.0]])
    assert weights[0, 2] < 0.01
    assert (labels().weights(False) == 1).all()


def test_agreement_counts_chosen_landmarks_and_a_gross_miss_once():
    np.testing.assert_allclose(
        labels().agreements([1, 2]), [(HALF_WEIGHT_RESIDUAL + LARGEST_RESIDUAL) / 2, 0.0]
    )
    np.testing.assert_allclose(labels().agreements([0]), [0.0, 2 * HALF_WEIGHT_RESIDUAL])


def test_labels_of_some_landmarks_replace_theirs_alone():
    other = PseudoLabels(np.ones((2, 3, 2)), np.full((2, 3), 9.0))
    mixed = labels().with_rows([1], other)
    assert (mixed.points_yx[:, 1] == 1).all()
    assert (mixed.points_yx[:, [0, 2]] == 0).all()
    assert (mixed.residuals[:, 1] == 9).all()
    np.testing.assert_array_equal(mixed.residuals[:, [0, 2]], labels().residuals[:, [0, 2]])


def test_shift_is_the_median_distance_in_the_unit_of_the_pixels():
    after = PseudoLabels(labels().points_yx + np.array([3, 4]), labels().residuals)
    assert after.shift(labels(), np.array([1.0, 1.0])) == pytest.approx(5)
    assert after.shift(labels(), np.array([0.5, 0.5])) == pytest.approx(2.5)
