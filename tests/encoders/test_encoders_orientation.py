"""Gradient orientations: shapes, equivariance, invariance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F

from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.orientation import (
    DIRECTIONS,
    OrientationEncoder,
    root_histograms,
)


def scene(height: int = 256, width: int = 256, seed: int = 0) -> torch.Tensor:
    """Smooth blobs of every size: (1, 1, H, W) in 0..1."""
    source = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 1, height, width)
    for cell in (4, 8, 16, 32, 64):
        coarse = torch.rand(1, 1, height // cell + 2, width // cell + 2, generator=source)
        total += cell**0.5 * F.interpolate(coarse, (height, width), mode="bicubic")
    return (total - total.min()) / (total.max() - total.min())


@pytest.fixture
def encoder() -> Encoder:
    return OrientationEncoder(torch.device("cpu"))


@pytest.mark.parametrize("shape_yx", [(32, 32), (96, 160), (384, 384), (224, 32)])
def test_one_map_a_level_with_the_announced_shape(encoder, shape_yx):
    height, width = shape_yx
    pyramid = encoder(scene(height, width))
    assert isinstance(encoder, Encoder)
    assert (encoder.card.identity, encoder.card.weights_sha256) == ("orientation", "")
    assert encoder.device == torch.device("cpu")
    assert pyramid.after_pooling == pyramid
    assert pyramid.levels == encoder.card.levels
    assert [level.stride for level in pyramid.levels] == [2, 4, 8, 16, 32]
    for one_map, level in zip(pyramid.maps, pyramid.levels, strict=True):
        assert one_map.shape == (1, level.channels, height // level.stride, width // level.stride)
        assert torch.isfinite(one_map).all()
        assert not one_map.requires_grad


def alike(maps: Sequence[torch.Tensor], others: Sequence[torch.Tensor], atol: float) -> None:
    for one_map, other in zip(maps, others, strict=True):
        torch.testing.assert_close(one_map, other, atol=atol, rtol=0)


def test_images_of_a_batch_do_not_influence_each_other(encoder):
    first, second = scene(96, 96, seed=1), scene(96, 96, seed=2)
    together = encoder(torch.cat([first, second])).maps
    alike([joint[1:] for joint in together], encoder(second).maps, 1e-5)


def test_a_shift_by_whole_cells_shifts_the_maps(encoder):
    wide = scene(384, 416)
    left, right = encoder(wide[..., :384]), encoder(wide[..., 32:])
    for one_map, moved, level in zip(left.maps, right.maps, left.levels, strict=True):
        cells = 32 // level.stride
        # A descriptor reaches 3.5 cells: farther inside, it does not depend on the border.
        inner = slice(4, -4)
        expected = one_map[..., inner, 4 + cells : -4]
        assert expected.shape[-1] >= 1
        # Square roots of almost nothing enlarge rounding.
        alike([moved[..., inner, 4 : -4 - cells]], [expected], 5e-3)


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 0.0), (0.5, 0.4), (2.0, -0.5)])
def test_gain_and_offset_of_the_grey_values_change_nothing(encoder, gain, offset):
    image = scene(128, 128)
    alike(encoder(image).maps, encoder(gain * image + offset).maps, 2e-3)


def test_gamma_and_a_shading_change_little(encoder):
    image = scene(192, 192)
    changed = image.clamp(0.02, 1) ** 1.5 * torch.linspace(0.7, 1.0, 192)
    for one_map, other in zip(encoder(image).maps, encoder(changed).maps, strict=True):
        assert F.cosine_similarity(one_map, other).median() > 0.9


def test_descriptors_are_centred_and_of_unit_length(encoder):
    for one_map in encoder(scene(96, 96)).maps:
        alike([one_map.norm(dim=1)], [torch.ones_like(one_map[:, 0])], 1e-3)
        assert one_map.mean(dim=1).abs().max() < 1e-4
    for one_map in encoder(torch.full((1, 1, 64, 64), 0.25)).maps:
        assert not one_map.any(), "where the image is flat it is 0, not NaN"


def test_the_bin_of_an_edge_is_the_direction_of_its_gradient():
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    for bin_index in range(DIRECTIONS):
        angle = math.tau * bin_index / DIRECTIONS
        ramp = (columns * math.cos(angle) + rows * math.sin(angle)) / 200 + 0.5
        centre = root_histograms(ramp[None, None], 8)[0, :, 4, 4]
        assert int(centre.argmax()) == bin_index
        if DIRECTIONS % 2 == 0:
            assert centre[(bin_index + DIRECTIONS // 2) % DIRECTIONS] == 0


def test_a_point_is_found_again_in_a_shifted_noisy_copy(encoder):
    """The cosine of the finest map peaks where the content went."""
    source = torch.Generator().manual_seed(3)
    wide = scene(256, 288, seed=4)
    noise = 0.01 * torch.randn(1, 1, 256, 256, generator=source)
    template = encoder(wide[..., 8:264]).maps[0]
    query = encoder((0.6 * wide[..., :256] + 0.2 + noise).clamp(0, 1)).maps[0]
    for y, x in [(40, 50), (64, 64), (90, 30), (77, 101)]:
        cosine = torch.einsum("chw,c->hw", query[0], template[0, :, y, x])
        found = divmod(int(cosine.argmax()), cosine.shape[1])
        assert found == (y, x + 4)
