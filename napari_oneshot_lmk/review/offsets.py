"""How far a detector is off in the same direction, as far as corrected images show it.

A reader may put a landmark elsewhere than the template does: then every detection is off by
about the same, and moving it helps. Where they agree, the mean of a few images' errors is
chance, and moving by it would make good points worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FEWEST = 3
"""With fewer images nobody knows how much an error varies."""
TRIMMED = 0.2
"""Share of the images at either end that a mean leaves out: gross misses."""
DOUBT = 2.0
"""How many times the mean's own variance is taken off; see `estimate_offsets`."""
PRIOR_IMAGES = 2.0
"""An offset of n images counts n / (n + 2)."""


def estimate_offsets(errors_yx: ArrayLike) -> Floats:
    """Estimate what to move each landmark by, from where persons have put it.

    Parameters
    ----------
    errors_yx : array_like, (M, N, 2)
        Of M images and N landmarks: the person's point minus the detected one, in one unit,
        NaN where a landmark was not decided.

    Returns
    -------
    (N, 2) in the same unit; 0 where nothing is shown.

    Notes
    -----
    The offset m is the mean trimmed by a fifth at either end, its squared standard error se² that
    of Tukey and McLaughlin (1963), from the variance of the winsorised errors. It is multiplied by
    n / (n + 2) and by max(0, 1 - 2 se² / m²), the positive-part shrinkage of James and Stein (1961)
    with twice the variance: an offset below 1.4 standard errors moves nothing. The numbers were
    chosen on training images: docs/benchmarks/corrections.md.

    Examples
    --------
    >>> same = [[[3.0, 0.0]], [[3.2, 0.1]], [[2.9, -0.1]], [[3.1, 0.0]]]
    >>> estimate_offsets(same).round(1)
    array([[2., 0.]])
    >>> chance = [[[3.0, 0.0]], [[-2.9, 1.0]], [[0.3, -2.0]], [[-0.4, 0.5]]]
    >>> estimate_offsets(chance).any()
    np.False_
    """
    errors = np.asarray(errors_yx, dtype=float)
    offsets = np.zeros(errors.shape[1:])
    for landmark, (each, known) in enumerate(
        zip(errors.swapaxes(0, 1), np.isfinite(errors).all(2).T, strict=True)
    ):
        if known.sum() >= FEWEST:
            offsets[landmark] = _shrunk_mean(each[known])
    return offsets


def _shrunk_mean(errors_yx: Floats) -> Floats:
    """Return the (2,) offset that (n, 2) errors show."""
    count = len(errors_yx)
    cut = int(TRIMMED * count)
    ordered = np.sort(errors_yx, axis=0)
    mean = ordered[cut : count - cut].mean(0)
    winsorised = np.clip(errors_yx, ordered[cut], ordered[count - cut - 1])
    kept = (count - 2 * cut) / count
    error2 = winsorised.var(0, ddof=1).sum() / (kept**2 * count)
    shown = max(0.0, 1 - DOUBT * error2 / max(float((mean**2).sum()), 1e-12))
    return np.asarray(mean * shown * count / (count + PRIOR_IMAGES))
