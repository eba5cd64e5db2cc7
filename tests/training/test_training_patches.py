"""Patches: where they are cut, and that points follow the pixels exactly."""

import pytest
import torch

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.augmentation import (
    Patches,
    adjust_grey_values,
    cut_patches,
    draw_patch_params,
    rotate,
)
from napari_oneshot_lmk.training.preset import PatchSettings

STILL = PatchSettings(brightness=0, contrast=0, rotation_deg=0)


def settings(placement: str, **changes: float) -> PatchSettings:
    return STILL.model_copy(update={"placement": placement, **changes})


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cut(images: torch.Tensor, where: torch.Tensor, chosen: PatchSettings, seed: int = 0) -> Patches:
    return cut_patches(images, where, chosen, draw_patch_params(len(where), seeded(seed)))


def points(count: int, border: float = 0.0, seed: int = 1) -> torch.Tensor:
    span = 384 - 2 * border
    return torch.rand(count, 2, generator=seeded(seed)) * span + border - 0.5


def blobs(points_yx: torch.Tensor) -> torch.Tensor:
    """One image per point, with a Gaussian at it."""
    grid = torch.stack(torch.meshgrid(torch.arange(384.0), torch.arange(384.0), indexing="ij"), -1)
    square = (grid - points_yx[:, None, None]).square().sum(-1)
    return torch.exp(-square / (2 * 3.0**2))[:, None]


def centroids(images: torch.Tensor) -> torch.Tensor:
    axis = torch.arange(float(images.shape[-1]), dtype=torch.float64)
    weight = images[:, 0].double()
    centres = [(weight.sum(across) * axis).sum(1) for across in (2, 1)]
    return (torch.stack(centres, 1) / weight.sum((1, 2))[:, None]).float()


@pytest.mark.parametrize("placement", ["centred", "jittered", "aligned"])
def test_point_follows_the_pixels(placement):
    where = points(12, border=20)
    patches = cut(blobs(where), where, settings(placement, rotation_deg=20.0, brightness=0.1))
    assert patches.images.shape == (12, 1, 192, 192)
    torch.testing.assert_close(centroids(patches.images), patches.points_yx, atol=0.02, rtol=0)


def test_patch_without_augmentation_is_a_piece_of_the_image():
    images = torch.rand(3, 1, 384, 384, generator=seeded())
    where = torch.tensor([[100.2, 200.7], [0.0, 383.0], [191.5, 383.4]])
    patches = cut(images, where, STILL)
    # The third one's row is exactly between two pixels: the lower one counts.
    assert patches.corners_yx.tolist() == [[4, 105], [0, 192], [96, 192]]
    corners = patches.corners_yx.tolist()
    for image, patch, (y, x) in zip(images, patches.images, corners, strict=True):
        torch.testing.assert_close(patch, image[:, y : y + 192, x : x + 192], atol=1e-5, rtol=0)
    torch.testing.assert_close(patches.points_yx, where - patches.corners_yx)


def test_centred_point_lies_on_the_corner_of_cells():
    where = points(50, border=97)
    patches = cut(blobs(where), where, settings("centred"))
    pixel = (patches.points_yx + 0.5).floor()
    assert (pixel == 96).all()


def test_jitter_is_whole_pixels_up_to_its_limit():
    where = torch.full((600, 2), 190.3)
    images = torch.rand(1, 1, 384, 384).expand(600, -1, -1, -1)
    patches = cut(images, where, settings("jittered", jitter_px=5))
    steps = patches.corners_yx - (190 - 96)
    found, counts = steps.flatten().unique(return_counts=True)
    assert found.tolist() == list(range(-5, 6))
    assert counts.min() > 0.6 * counts.float().mean()


def test_cells_of_aligned_patches_are_cells_of_the_image():
    where = points(50)
    patches = cut(blobs(where), where, settings("aligned"))
    assert (patches.corners_yx % 32 == 0).all()
    apart = (patches.points_yx - 96).abs()
    central = ((where > 112) & (where < 271)).all(1)
    assert central.any()
    assert apart[central].max() <= 16.5
    # A cell of the patch is the same cell of the image, at every level.
    for stride in (2, 4, 8, 16, 32):
        in_image = ((where + 0.5) // stride).long()
        in_patch = ((patches.points_yx + 0.5) // stride).long()
        assert torch.equal(in_image - patches.corners_yx // stride, in_patch)


@pytest.mark.parametrize("placement", ["centred", "jittered", "aligned"])
def test_patch_stays_on_the_image_and_point_in_the_patch(placement):
    where = torch.cat([points(200), torch.tensor([[-0.5, -0.5], [383.49, 383.49], [-0.4, 383.4]])])
    images = torch.rand(1, 1, 384, 384).expand(len(where), -1, -1, -1)
    patches = cut(images, where, settings(placement, rotation_deg=180.0))
    assert ((patches.corners_yx >= 0) & (patches.corners_yx <= 384 - 192)).all()
    assert ((patches.points_yx >= -0.5) & (patches.points_yx <= 191.5)).all()


def test_oblong_image_that_is_not_whole_cells_larger_is_cut_aligned():
    where = torch.tensor([[255.0, 303.0]])
    patches = cut(torch.rand(1, 1, 256, 304), where, settings("aligned"))
    assert patches.corners_yx.tolist() == [[64, 96]]


def test_rotation_fills_with_black_and_turns_about_the_middle():
    image = torch.ones(1, 1, 192, 192)
    turned = rotate(image, torch.tensor([0.3]))
    assert turned[0, 0, 0, 0] == 0
    assert turned[0, 0, 96, 96] > 0.999
    speck = torch.zeros(1, 1, 9, 9)
    speck[..., 0, 4] = 1
    quarter = rotate(speck, torch.tensor([torch.pi / 2]))
    # From above the middle to its left.
    expected = torch.zeros(1, 1, 9, 9)
    expected[..., 4, 0] = 1
    torch.testing.assert_close(quarter, expected, atol=1e-4, rtol=0)


def test_rotation_does_not_blur():
    rows = torch.arange(192.0)
    wave = 0.5 + 0.4 * torch.sin(rows * torch.pi / 4)
    image = wave.view(1, 1, 192, 1).expand(1, 1, 192, 192)
    turned = rotate(image, torch.tensor([0.2]))[..., 60:132, 60:132]
    assert float(turned.std()) > 0.93 * float(image.std())


def test_grey_values_change_as_published():
    images = torch.rand(2, 1, 8, 8, generator=seeded()) * 0.5 + 0.2
    factors = torch.tensor([0.85, 1.15])
    bright = adjust_grey_values(images, factors, torch.ones(2))
    torch.testing.assert_close(bright, images * factors.view(2, 1, 1, 1))
    flat = adjust_grey_values(images, torch.ones(2), torch.tensor([0.75, 0.75]))
    torch.testing.assert_close(flat.mean((1, 2, 3)), images.mean((1, 2, 3)))
    torch.testing.assert_close(flat.std((1, 2, 3)), 0.75 * images.std((1, 2, 3)))


def test_all_augmentations_are_drawn_within_their_ranges():
    where = torch.full((300, 2), 191.0)
    images = torch.full((300, 1, 384, 384), 0.5)
    patches = cut(images, where, PatchSettings())
    brightness = patches.images[:, 0, 96, 96] / 0.5
    assert 0.85 <= brightness.min() < 0.87
    assert 1.13 < brightness.max() <= 1.15
    # The centred point lies half a pixel from the pivot: half a pixel below and
    # right of it, turned.
    offset = patches.points_yx - 95.5
    angle = torch.rad2deg(torch.atan2(offset[:, 1], offset[:, 0])) - 45
    assert -20.01 <= angle.min() < -18
    assert 18 < angle.max() <= 20.01


def test_patch_larger_than_the_image_is_refused():
    with pytest.raises(UsageError, match="patches of 192 pixels do not fit"):
        cut(torch.rand(1, 1, 128, 256), torch.zeros(1, 2), PatchSettings())
