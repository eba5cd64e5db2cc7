"""Images on the network's grid: as MONAI's transforms of a bundle make them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.monai_transforms import preprocessing
from napari_oneshot_lmk.imaging.transforms import prepare_for_network, prepare_image


def radiograph(shape_yx: tuple[int, int], bits: int, seed: int = 0) -> np.ndarray:
    """A ramp with noise, a burnt-in marker and dead pixels."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0.2, 0.7, shape_yx[0])[:, None] * np.ones(shape_yx)
    grey = ramp + random.normal(0, 0.05, shape_yx)
    grey[:7, :9], grey[-5:, -4:] = 1, 0
    return np.round((2**bits - 1) * grey.clip(0, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("pixels", "grid_yx"),
    [
        (radiograph((700, 611), 16), (384, 384)),
        (radiograph((257, 300), 12) - 1024, (96, 64)),
        (radiograph((40, 50), 8), (128, 96)),
        (radiograph((64, 64), 8), (64, 64)),
    ],
    ids=["16 bits", "Hounsfield", "enlarged", "same grid"],
)
def test_detection_prepares_as_a_bundle_does(pixels, grid_yx):
    expected = preprocessing(grid_yx)({"image": torch.from_numpy(pixels)[None]})["image"]
    prepared = prepare_for_network(GrayImage.from_array(pixels), grid_yx)
    assert prepared.geometry.network_shape_yx == grid_yx
    found = prepared.pixels
    assert found.shape == (1, 1, *grid_yx)
    assert found.dtype == torch.float32
    assert found.min() == 0
    assert found.max() == 1
    torch.testing.assert_close(found[0], torch.as_tensor(expected.numpy()), rtol=0, atol=1e-5)


def test_an_image_of_one_grey_value_but_for_a_pixel_is_refused():
    pixels = np.zeros((600, 600), np.float32)
    pixels[0, 0] = 9
    with pytest.raises(ImageError, match=r"^dead\.png: all but a few pixels"):
        prepare_image(GrayImage.from_array(pixels, name="dead.png"))
