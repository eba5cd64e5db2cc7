"""What an epoch reads, at which learning rate, and what its pseudo-labels weigh."""

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_oneshot_lmk.training import methods
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.preset import TrainingSettings
from napari_oneshot_lmk.training.pseudo_labels import (
    HALF_WEIGHT_RESIDUAL,
    LARGEST_RESIDUAL,
    PseudoLabels,
)
from napari_oneshot_lmk.training.state import learning_rate, significantly_worse


def epoch_plan(
    key: Any = (0, 0, 0), *, counts: tuple[int, int, int], method: str = "fused", **settings: Any
) -> list[methods.Batch]:
    """Return the batches for so many images, copies and landmarks."""
    numbers = dict(zip(("images", "copies", "landmarks"), counts, strict=True))
    random = random_stream(key[0], Stream.BATCHES, *key[1:])
    return methods.METHODS[method].batches(TrainingSettings(**settings), random, **numbers)


counts = st.integers(1, 23)


@given(images=counts, copies=st.integers(0, 23), landmarks=counts, batch=counts)
@settings(deadline=None)
def test_published_epoch_shows_each_landmark_everything_once(images, copies, landmarks, batch):
    plans = epoch_plan(counts=(images, copies, landmarks), batch=batch)
    for stage, count in ((methods.TEMPLATE_STAGE, copies), (methods.LABEL_STAGE, images)):
        seen: Counter[tuple[int, int]] = Counter()
        for plan in plans:
            # "Active only during training of landmark k": one per batch.
            assert len(plan.landmarks) == 1
            if plan.stage == stage:
                shown = plan.copies if stage == methods.TEMPLATE_STAGE else plan.images
                assert 0 < len(shown) <= batch
                seen.update((plan.landmarks[0], i) for i in shown)
        assert seen == Counter((k, i) for k in range(landmarks) for i in range(count))
    stages = [plan.stage for plan in plans]
    # Train-Template comes first, then Train-PL.
    assert stages == sorted(stages, key=(methods.TEMPLATE_STAGE, methods.LABEL_STAGE).index)


def test_together_a_step_holds_all_landmarks_and_copies_beside_images():
    plans = epoch_plan(counts=(10, 7, 3), together=True, batch=4)
    assert sorted(i for plan in plans for i in plan.images) == list(range(10))
    assert all(plan.landmarks == (0, 1, 2) for plan in plans)
    assert all(len(plan.copies) == 2 for plan in plans)
    without = epoch_plan(counts=(10, 0, 3), together=True, batch=4)
    assert all(not plan.copies for plan in without)


def test_self_supervision_reads_images_alone():
    plans = epoch_plan(counts=(9, 0, 3), method="joint", batch=4)
    assert {plan.stage for plan in plans} == {methods.SELF_STAGE}
    assert sorted(i for plan in plans for i in plan.images) == list(range(9))


@pytest.mark.parametrize("together", [False, True])
def test_order_depends_on_seed_network_and_epoch_alone(together):
    def made(key: tuple[int, int, int]) -> list[methods.Batch]:
        return epoch_plan(key, counts=(12, 6, 2), together=together, batch=2)

    assert made((4, 1, 7)) == made((4, 1, 7))
    assert len({str(made(key)) for key in ((4, 1, 7), (5, 1, 7), (4, 2, 7), (4, 1, 8))}) == 4


@given(images=st.integers(0, 9), copies=st.integers(0, 9), count=st.integers(1, 12))
@settings(deadline=None)
def test_pieces_hold_all_that_the_step_held(images, copies, count):
    plan = methods.Batch("x", tuple(range(images)), tuple(range(copies)), (0, 1))
    pieces = plan.split(count)
    assert tuple(i for piece in pieces for i in piece.images) == plan.images
    assert tuple(i for piece in pieces for i in piece.copies) == plan.copies
    assert all(piece.landmarks == plan.landmarks for piece in pieces)
    assert all(piece.images or piece.copies for piece in pieces)


# -- rates, the choice of an epoch, pseudo-labels --------------------


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
