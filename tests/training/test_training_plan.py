"""What an epoch reads: everything once, in an order that a resumed run finds again."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.methods import (
    LABEL_STAGE,
    METHODS,
    SELF_STAGE,
    TEMPLATE_STAGE,
    Batch,
)
from napari_oneshot_lmk.training.preset import TrainingSettings


def epoch_plan(
    key: tuple[int, int, int] = (0, 0, 0),
    *,
    counts: tuple[int, int, int],
    method: str = "fused",
    **settings: Any,
) -> list[Batch]:
    """Return the batches for so many images, copies and landmarks."""
    numbers = dict(zip(("images", "copies", "landmarks"), counts, strict=True))
    random = random_stream(key[0], Stream.BATCHES, *key[1:])
    return METHODS[method].batches(TrainingSettings(**settings), random, **numbers)


counts = st.integers(1, 23)


@given(images=counts, copies=st.integers(0, 23), landmarks=counts, batch=counts)
@settings(deadline=None)
def test_published_epoch_shows_each_landmark_everything_once(images, copies, landmarks, batch):
    plans = epoch_plan(counts=(images, copies, landmarks), batch=batch)
    for stage, count in ((TEMPLATE_STAGE, copies), (LABEL_STAGE, images)):
        seen: Counter[tuple[int, int]] = Counter()
        for plan in plans:
            # "Active only during training of landmark k": one per batch.
            assert len(plan.landmarks) == 1
            if plan.stage == stage:
                shown = plan.copies if stage == TEMPLATE_STAGE else plan.images
                assert 0 < len(shown) <= batch
                seen.update((plan.landmarks[0], i) for i in shown)
        assert seen == Counter((k, i) for k in range(landmarks) for i in range(count))
    stages = [plan.stage for plan in plans]
    # Train-Template comes first, then Train-PL.
    assert stages == sorted(stages, key=(TEMPLATE_STAGE, LABEL_STAGE).index)


def test_together_a_step_holds_all_landmarks_and_copies_beside_images():
    plans = epoch_plan(counts=(10, 7, 3), together=True, batch=4)
    assert sorted(i for plan in plans for i in plan.images) == list(range(10))
    assert all(plan.landmarks == (0, 1, 2) for plan in plans)
    assert all(len(plan.copies) == 2 for plan in plans)
    without = epoch_plan(counts=(10, 0, 3), together=True, batch=4)
    assert all(not plan.copies for plan in without)


def test_self_supervision_reads_images_alone():
    plans = epoch_plan(counts=(9, 0, 3), method="joint", batch=4)
    assert {plan.stage for plan in plans} == {SELF_STAGE}
    assert sorted(i for plan in plans for i in plan.images) == list(range(9))


@pytest.mark.parametrize("together", [False, True])
def test_order_depends_on_seed_network_and_epoch_alone(together):
    def made(key: tuple[int, int, int]) -> list[Batch]:
        return epoch_plan(key, counts=(12, 6, 2), together=together, batch=2)

    assert made((4, 1, 7)) == made((4, 1, 7))
    assert len({str(made(key)) for key in ((4, 1, 7), (5, 1, 7), (4, 2, 7), (4, 1, 8))}) == 4


@given(images=st.integers(0, 9), copies=st.integers(0, 9), count=st.integers(1, 12))
@settings(deadline=None)
def test_pieces_hold_all_that_the_step_held(images, copies, count):
    plan = Batch("x", tuple(range(images)), tuple(range(copies)), (0, 1))
    pieces = plan.split(count)
    assert tuple(i for piece in pieces for i in piece.images) == plan.images
    assert tuple(i for piece in pieces for i in piece.copies) == plan.copies
    assert all(piece.landmarks == plan.landmarks for piece in pieces)
    assert all(piece.images or piece.copies for piece in pieces)
