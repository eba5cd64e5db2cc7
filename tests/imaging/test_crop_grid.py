"""The grid of the fine stage: the same size of pixels on all images."""

import numpy as np

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.crop_grid import MOST_MAGNIFIED, CropGrid
from napari_oneshot_lmk.imaging.image import GrayImage

IN_MM = CropGrid(Geometry((200, 100), (0.5, 0.5)), 0.25)
IN_PX = CropGrid(Geometry((200, 100)), 2.0)


def grid_shape(grid: CropGrid, *geometry: object) -> tuple[int, int]:
    return grid.geometry_of(Geometry(*geometry)).network_shape_yx


def test_pixels_are_of_one_size_in_millimetres():
    assert grid_shape(IN_MM, (200, 100), (0.5, 0.5)) == (400, 200)
    assert grid_shape(IN_MM, (200, 100), (0.25, 0.5)) == (200, 200)


def test_without_spacing_they_are_parts_of_the_field_of_view():
    assert grid_shape(IN_PX, (200, 100)) == (100, 50)
    # The same, scanned at twice the resolution; then in another format.
    assert grid_shape(IN_PX, (400, 200)) == (100, 50)
    assert grid_shape(IN_PX, (100, 200)) == (50, 100)
    # One of both is known: no help.
    assert grid_shape(IN_PX, (400, 200), (9.0, 9.0)) == (100, 50)
    assert grid_shape(IN_MM, (400, 200)) == (400, 200)


def test_a_wrong_spacing_does_not_fill_the_memory():
    rows, columns = grid_shape(IN_MM, (200, 100), (99.0, 99.0))
    assert (rows, columns) == (200 * MOST_MAGNIFIED, 100 * MOST_MAGNIFIED)


def test_an_image_is_brought_to_the_grid_with_its_grey_values_scaled():
    pixels = np.random.default_rng(0).uniform(-500, 3000, (40, 30)).astype(np.float32)
    image = GrayImage(pixels, Geometry((40, 30), (0.25, 0.25)))
    found = IN_MM.prepare(image)
    assert (tuple(found.shape), str(found.dtype)) == ((1, 1, 40, 30), "torch.uint8")
    expected = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    assert np.abs(found[0, 0].numpy() - expected).max() < 4
