"""MRE, SDR and their intervals against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.evaluation.metrics import accuracy, bootstrap_intervals


def test_accuracy_of_known_errors():
    errors = np.array([[1.0, 2.0, np.nan], [2.5, 3.0, 3.5]])
    part = accuracy(errors)
    assert part.n == 5
    assert part.mre_mm == pytest.approx(2.4)
    assert part.sd_mm == pytest.approx(np.std([1, 2, 2.5, 3, 3.5]))
    assert part.median_mm == 2.5
    # strictly below: the errors of exactly 2, 2.5 and 3 mm do not count at 2, 2.5, 3
    assert part.sdr_percent == (20.0, 40.0, 60.0, 100.0)


def test_no_errors_give_null_not_zero():
    summary = accuracy(np.full((3, 2), np.nan)).as_dict()
    assert summary["n"] == 0
    assert summary["mre_mm"] is None
    assert summary["sdr_percent"] == {"2.0": None, "2.5": None, "3.0": None, "4.0": None}
    assert bootstrap_intervals(np.full((3, 2), np.nan)).as_dict()["mre_mm"] is None


def resampled_by_hand(errors: np.ndarray, replicates: int, seed: int) -> dict:
    """The same bootstrap, written with loops and concatenation."""
    generator = np.random.default_rng(seed)
    images = len(errors)
    drawn = generator.multinomial(images, np.full(images, 1 / images), replicates)
    rows = {"mre": [], "sd": [], "median": [], "sdr2": []}
    for weights in drawn:
        pool = np.concatenate(
            [np.repeat(e[np.isfinite(e)], w) for e, w in zip(errors, weights, strict=True)]
        )
        if pool.size == 0:
            continue
        rows["mre"].append(pool.mean())
        rows["sd"].append(pool.std())
        rows["median"].append(np.median(pool))
        rows["sdr2"].append(100 * (pool < 2).mean())
    return {k: np.percentile(v, (2.5, 97.5)) for k, v in rows.items()}


@pytest.mark.parametrize("columns", [1, 4])
def test_bootstrap_equals_its_plain_form(columns):
    generator = np.random.default_rng(3)
    errors = generator.rayleigh(1.5, (9, columns))
    errors[2, 0] = np.nan
    errors[5] = np.nan
    intervals = bootstrap_intervals(errors, replicates=400, seed=11)
    by_hand = resampled_by_hand(errors, 400, 11)
    assert intervals.mre_mm == pytest.approx(by_hand["mre"])
    assert intervals.sd_mm == pytest.approx(by_hand["sd"])
    assert intervals.median_mm == pytest.approx(by_hand["median"])
    assert intervals.sdr_percent[0] == pytest.approx(by_hand["sdr2"])


def test_bootstrap_in_chunks_is_the_same(monkeypatch):
    errors = np.random.default_rng(0).rayleigh(1.5, (12, 5))
    whole = bootstrap_intervals(errors, replicates=200)
    monkeypatch.setattr("napari_oneshot_lmk.evaluation.metrics.MOST_ELEMENTS", 300)
    assert bootstrap_intervals(errors, replicates=200) == whole


def test_bootstrap_covers_and_is_seeded():
    errors = np.random.default_rng(1).rayleigh(1.5, (60, 10))
    first = bootstrap_intervals(errors, seed=4)
    assert first == bootstrap_intervals(errors, seed=4)
    assert first != bootstrap_intervals(errors, seed=5)
    low, high = first.mre_mm
    assert low < errors.mean() < high
    # images are the unit: about 1.96 standard errors of the image means
    half = 1.96 * errors.mean(axis=1).std(ddof=1) / np.sqrt(60)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_too_little_to_resample():
    assert np.isnan(bootstrap_intervals(np.ones((1, 5))).mre_mm).all()
    with pytest.raises(UsageError, match="0 bootstrap"):
        bootstrap_intervals(np.ones((3, 3)), replicates=0)
