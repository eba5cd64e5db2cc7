"""Pixels, points and millimetres agree, whatever the image's shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.eulerangles import euler2mat

from napari_oneshot_lmk.errors import GeometryError, SpacingUnknownError
from napari_oneshot_lmk.geometry import Geometry, checked_spacing

sizes = st.integers(2, 4000)
spacings = st.floats(0.01, 5.0)
fractions = st.floats(-0.2, 1.2)


@st.composite
def geometries(draw):
    axes = euler2mat(*(draw(st.floats(-3.2, 3.2)) for _ in range(3)))
    origin = [draw(st.floats(-500, 500)) for _ in range(3)]
    shape, spacing = (draw(sizes), draw(sizes)), (draw(spacings), draw(spacings))
    network_shape = (draw(st.integers(16, 800)), draw(st.integers(16, 800)))
    return Geometry(shape, spacing, tuple(origin), tuple(axes[0]), tuple(axes[1]), network_shape)


@st.composite
def geometries_with_points(draw):
    geometry = draw(geometries())
    shape = np.array(geometry.image_shape_yx)
    points = [(draw(fractions) * shape[0], draw(fractions) * shape[1]) for _ in range(3)]
    return geometry, np.array(points)


@settings(deadline=None)
@given(geometries_with_points())
def test_every_mapping_is_invertible(case):
    geometry, points = case
    for there, back in (
        (geometry.points_to_network, geometry.points_from_network),
        (geometry.points_to_mm, geometry.points_from_mm),
        (geometry.points_to_lps, geometry.points_from_lps),
    ):
        np.testing.assert_allclose(back(there(points)), points, atol=1e-4, rtol=0)


@settings(deadline=None)
@given(geometries_with_points())
def test_distances_are_the_same_in_the_plane_and_in_the_patient(case):
    geometry, points = case
    lps = geometry.points_to_lps(points)
    apart = np.linalg.norm(lps[1:] - lps[:-1], axis=1)
    np.testing.assert_allclose(geometry.distances_mm(points[1:], points[:-1]), apart, atol=1e-6)
    np.testing.assert_allclose(geometry.off_plane_mm(lps), 0, atol=1e-6)


@settings(deadline=None)
@given(geometries())
def test_both_grids_cover_the_same_field_of_view(geometry):
    corners = [[-0.5, -0.5], np.array(geometry.image_shape_yx) - 0.5]
    expected = [[-0.5, -0.5], np.array(geometry.network_shape_yx) - 0.5]
    np.testing.assert_allclose(geometry.points_to_network(corners), expected, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(90, 400), st.integers(90, 400)),
    st.tuples(st.integers(64, 200), st.integers(64, 200)),
    st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
)
def test_an_image_and_its_points_stay_together(shape, network_shape, where):
    geometry = Geometry(shape, network_shape_yx=network_shape)
    point = np.array(where) * np.array(shape)
    # Wide enough to be sampled without aliasing on the coarser of both grids.
    sigma = 2.5 * np.maximum(1, np.array(shape) / np.array(network_shape))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    squared = ((rows - point[0]) / sigma[0]) ** 2 + ((columns - point[1]) / sigma[1]) ** 2
    blob = torch.from_numpy(np.exp(-0.5 * squared))
    weights = geometry.pixels_to_network(blob[None, None])[0, 0].numpy()
    grid = np.mgrid[: network_shape[0], : network_shape[1]]
    centroid = (grid * weights).sum((1, 2)) / weights.sum()
    expected = geometry.points_to_network(point[None])[0]
    np.testing.assert_allclose(centroid, expected, atol=0.02)


def test_a_known_case_by_hand():
    geometry = Geometry((2400, 1935), (0.1, 0.2), (10.0, 20.0, 30.0))
    # Row 0 of 2400 has its centre half a row, 384 / 2400 / 2, below the border.
    np.testing.assert_allclose(
        geometry.points_to_network([[0, 0], [2399.5, 1934.5]]),
        [[-0.5 + 0.08, -0.5 + 0.5 * 384 / 1935], [383.5, 383.5]],
    )
    np.testing.assert_allclose(geometry.points_to_mm([[10, 10]]), [[1.0, 2.0]])
    np.testing.assert_allclose(geometry.points_to_lps([[10, 10]]), [[12, 21, 30]])
    assert geometry.distances_mm([[0, 0]], [[30, 20]]) == pytest.approx([5.0])


def test_a_point_is_on_the_image_up_to_the_border_of_its_pixels():
    geometry = Geometry((10, 20))
    points = [[-0.5, 19.5], [9.5, 0], [9.6, 0], [0, -0.6], [5, 20]]
    assert geometry.contains(points).tolist() == [True, True, False, False, False]


def test_millimetres_of_an_unknown_spacing_are_refused():
    geometry = Geometry((10, 20))
    for ask in (geometry.points_to_mm, geometry.points_to_lps, geometry.points_from_mm):
        with pytest.raises(SpacingUnknownError, match=r"unknown.*--spacing"):
            ask([[1.0, 2.0]])
    np.testing.assert_allclose(geometry.with_spacing(0.5).points_to_mm([[2, 4]]), [[1, 2]])


@pytest.mark.parametrize(
    "spacing", [0, -0.1, float("nan"), float("inf"), 1e-6, 200, (0.1, 0), "a", (1, 2, 3)]
)
def test_an_absurd_spacing_is_refused(spacing):
    with pytest.raises(GeometryError, match="pixel spacing"):
        checked_spacing(spacing)


def test_one_number_means_square_pixels():
    assert checked_spacing(0.1) == (0.1, 0.1)
    assert checked_spacing((0.1, 0.2)) == (0.1, 0.2)
    assert checked_spacing(None) is None


def test_pixels_of_another_grid_and_points_that_are_no_pairs_are_refused():
    with pytest.raises(GeometryError, match="do not lie on the grid"):
        Geometry((10, 20)).pixels_to_network(torch.zeros(1, 1, 20, 10))
    with pytest.raises(GeometryError, match=r"not \(N, 2\)"):
        Geometry((10, 20)).points_to_network([[1, 2, 3]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("image_shape_yx", v) for v in [(0, 5), (5, 5, 5), (10**400, 5), (5, 10_000_001)]),
        *(("origin_lps_mm", v) for v in [(0, 0, 0, 0), (0, float("nan"), 0), (0, 1e300, 0)]),
        *(("row_axis_lps", v) for v in [(1, 0, 0), (0, 2, 0), (0, 1e300, 0)]),
    ],
)
def test_numbers_that_no_image_has_are_refused(name, value):
    with pytest.raises(GeometryError):
        Geometry(**{"image_shape_yx": (5, 5), name: value})
