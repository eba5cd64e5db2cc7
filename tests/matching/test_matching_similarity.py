"""Similarity maps against a plain reference, point by point; peaks of maps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from napari_oneshot_lmk.encoders.encoder import FeaturePyramid, Level
from napari_oneshot_lmk.matching import similarity
from napari_oneshot_lmk.matching.peaks import find_peaks


def pyramid(strides=(2, 2, 4, 8), size=32, channels=5, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    levels = tuple(Level(f"level{i}", stride, channels + i) for i, stride in enumerate(strides))
    maps = tuple(
        torch.rand(
            1, level.channels, size // level.stride, size // level.stride, generator=generator
        ).to(dtype)
        for level in levels
    )
    return FeaturePyramid(maps, levels)


def bilinear_reference(feature_map, y, x, stride):
    """Interpolate by hand between the four cell centres around a pixel."""
    height, width = feature_map.shape[-2:]
    row = np.clip((y + 0.5) / stride - 0.5, 0, height - 1)
    column = np.clip((x + 0.5) / stride - 0.5, 0, width - 1)
    top, left = min(int(row), height - 2), min(int(column), width - 2)
    down, right = row - top, column - left
    corners = feature_map[:, top : top + 2, left : left + 2].numpy()
    return (
        corners[:, 0, 0] * (1 - down) * (1 - right)
        + corners[:, 0, 1] * (1 - down) * right
        + corners[:, 1, 0] * down * (1 - right)
        + corners[:, 1, 1] * down * right
    )


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_sampling_is_bilinear_between_cell_centres(stride):
    feature_map = torch.rand(
        3, 32 // stride, 24 // stride, generator=torch.Generator().manual_seed(1)
    )
    points = torch.tensor([[0.0, 0.0], [3.7, 11.2], [15.5, 8.5], [31.0, 23.0]])
    found = similarity.sample_features(feature_map, points, stride)
    for (y, x), vector in zip(points.tolist(), found.numpy(), strict=True):
        expected = bilinear_reference(feature_map, y, x, stride)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_log_similarity_is_the_sum_of_upsampled_logs():
    features = pyramid()
    points = torch.tensor([[4.0, 9.0], [20.3, 11.8], [30.0, 2.0]])
    descriptors = similarity.describe_points(features, points)
    total = torch.zeros(3, 4, 4)
    # Coarse to fine, one landmark and one level at a time.
    for level, (feature_map,) in list(zip(features.levels, features.maps, strict=True))[::-1]:
        maps = []
        for point in points:
            vector = similarity.sample_features(feature_map, point[None], level.stride)[0]
            cosine = F.cosine_similarity(feature_map, vector[:, None, None], dim=0)
            maps.append(cosine.clamp_min(similarity.SMALLEST_COSINE).log())
        total = F.interpolate(total[None], feature_map.shape[-2:], mode="bilinear")[0]
        total = total + torch.stack(maps)
    found = similarity.log_similarity(features, descriptors)
    assert found.shape == (3, 16, 16)
    torch.testing.assert_close(found, total, atol=1e-4, rtol=1e-4)
    assert float(found.max()) <= 1e-5


def test_similarity_with_several_templates_is_that_with_each():
    features, other = pyramid(), pyramid(seed=1)
    templates = [
        similarity.describe_points(features, torch.tensor([[4.0, 9.0], [20.3, 11.8]])),
        similarity.describe_points(other, torch.tensor([[8.0, 3.0]])),
    ]
    together = similarity.log_similarities(features, templates)
    for found, descriptors in zip(together, templates, strict=True):
        torch.testing.assert_close(found, similarity.log_similarity(features, descriptors))


def test_similarity_is_highest_where_the_descriptor_comes_from():
    features = pyramid(strides=(2, 4), channels=32)
    points = torch.tensor([[6.5, 12.5], [22.5, 4.5]])
    maps = similarity.log_similarity(features, similarity.describe_points(features, points))
    for n, (y, x) in enumerate(points.tolist()):
        best = int(maps[n].argmax())
        assert (best // 16, best % 16) == (int(y) // 2, int(x) // 2)


def test_half_precision_maps_agree_with_single_precision():
    points = torch.tensor([[4.0, 9.0], [20.3, 11.8]])
    single = pyramid(channels=40)
    half = FeaturePyramid(tuple(m.bfloat16() for m in single.maps), single.levels)
    one = similarity.log_similarity(single, similarity.describe_points(single, points))
    other = similarity.log_similarity(half, similarity.describe_points(half, points))
    torch.testing.assert_close(one, other, atol=0.05, rtol=0)


# -- sub-pixel peaks: exact on parabolas, sane at borders ---------------------------


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
