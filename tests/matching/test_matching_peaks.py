"""Sub-pixel peaks: exact on parabolas, sane at borders."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_oneshot_lmk.matching.peaks import find_peaks


def paraboloid(row, column, size=12):
    rows = torch.arange(size, dtype=torch.float64)[:, None]
    columns = torch.arange(size, dtype=torch.float64)[None]
    return -0.3 * (rows - row) ** 2 - 0.7 * (columns - column) ** 2


@given(row=st.floats(1, 10), column=st.floats(1, 10), stride=st.sampled_from([1, 2, 4]))
def test_peak_of_a_parabola_is_exact(row, column, stride):
    maps = paraboloid(row, column)[None]
    points, heights = find_peaks(maps, stride)
    expected = [stride * (row + 0.5) - 0.5, stride * (column + 0.5) - 0.5]
    assert points[0].tolist() == pytest.approx(expected, abs=1e-4 * stride)
    assert float(heights[0]) == float(maps.max())


@pytest.mark.parametrize("corner", [(0, 0), (0, 11), (11, 0), (11, 11)])
def test_peak_in_a_corner_stays_within_half_a_cell(corner):
    maps = torch.zeros(1, 12, 12)
    maps[0, corner[0], corner[1]] = 5.0
    points, _ = find_peaks(maps, 2)
    expected = [2 * (c + 0.5) - 0.5 for c in corner]
    assert points[0].tolist() == pytest.approx(expected, abs=1.0)


def test_flat_map_gives_a_finite_point():
    assert torch.isfinite(find_peaks(torch.zeros(2, 6, 6), 2)[0]).all()
