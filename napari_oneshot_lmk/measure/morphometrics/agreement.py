"""Formulas of repeated measurement: technical error and intraclass correlation."""

from __future__ import annotations

import numpy as np

from napari_oneshot_lmk.measure.morphometrics.shapes import Floats


def technical_error(readings: Floats) -> float:
    """Return the technical error of measurement of (subjects, readings) values.

    ``sqrt(Σ_i [Σ_j x_ij² − (Σ_j x_ij)² / k] / (n (k − 1)))``: the root of the mean variance
    within a subject. For two readings this is Dahlberg's error, ``sqrt(Σ d² / 2n)``. It holds
    what one reader places systematically elsewhere, too.

    References
    ----------
    Dahlberg, "Statistical methods for medical and biological students", 1940; Ulijaszek and
    Kerr, "Anthropometric measurement error and the assessment of nutritional status", British
    Journal of Nutrition 82 (1999) 165–177.

    Examples
    --------
    >>> import numpy as np
    >>> technical_error(np.array([[10.0, 12.0], [20.0, 20.0]]))
    1.0
    """
    return float(np.sqrt(readings.var(axis=1, ddof=1).mean()))


def intraclass_correlation(readings: Floats) -> float:
    """Return ICC(2,1) of (subjects, readings) values: two-way random, absolute agreement.

    ``(MSR − MSE) / (MSR + (k − 1) MSE + k (MSC − MSE) / n)`` with the mean squares of subjects
    (rows), readings (columns) and error. NaN for fewer than two subjects, or where all
    values are the same.

    References
    ----------
    Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability",
    Psychological Bulletin 86 (1979) 420–428.
    """
    n, k = readings.shape
    if n < 2 or k < 2:
        return float("nan")
    mean = readings.mean()
    of_rows, of_columns = readings.mean(axis=1), readings.mean(axis=0)
    rows = k * ((of_rows - mean) ** 2).sum() / (n - 1)
    columns = n * ((of_columns - mean) ** 2).sum() / (k - 1)
    left = readings - of_rows[:, None] - of_columns + mean
    error = (left**2).sum() / ((n - 1) * (k - 1))
    below = rows + (k - 1) * error + k * (columns - error) / n
    return float((rows - error) / below) if below > 0 else float("nan")


def pairwise_distances(readings: Floats) -> Floats:
    """Return (subjects, pairs) distances between each two of (subjects, readings, 2) points."""
    first, second = np.triu_indices(readings.shape[1], k=1)
    return np.asarray(np.linalg.norm(readings[:, first] - readings[:, second], axis=-1))
