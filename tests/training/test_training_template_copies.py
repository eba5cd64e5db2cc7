"""Copies of the template: points exact, grey values as prepared, each reproducible."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.augmentation import AugmentationParams, TemplateAugmentation
from napari_oneshot_lmk.training.preset import TemplateCopySettings
from phantoms import generate

WIDE = TemplateCopySettings(
    count=6, shift=0.06, scale=0.12, rotation_deg=12, gamma=(0.6, 1.6), contrast=0.25
)
SIGMA = 0.01
"""Of the blobs, as a part of the image's height."""


def blobs(shape_yx: tuple[int, int], spacing_mm_yx: tuple[float, float] | None = None) -> Template:
    """Return Gaussian blobs, the landmarks at their sub-pixel centres."""
    places = [(0.3, 0.4), (0.5, 0.5), (0.71, 0.33), (0.62, 0.77), (0.34, 0.69)]
    centres = np.array(places) * shape_yx + 0.37
    rows, columns = np.mgrid[: shape_yx[0], : shape_yx[1]]
    pixels = sum(
        np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (SIGMA * shape_yx[0]) ** 2))
        for y, x in centres
    )
    image = GrayImage.from_array(1000 * pixels, spacing_mm_yx, "blobs.png")
    positions = {f"blob {i}": (y, x) for i, (y, x) in enumerate(centres.tolist())}
    return Template.create(image, Landmarks.from_positions(positions))


def centroid(image: torch.Tensor, point_yx: torch.Tensor) -> NDArray[np.float64]:
    """Centre of mass of the blob around a point, found without knowing it exactly."""
    grid = torch.stack(torch.meshgrid(*map(torch.arange, image.shape[-2:]), indexing="ij"), -1)
    near = (grid - point_yx.round()).square().sum(-1) <= 20**2
    weight = image[0, 0].double() * near
    return ((grid * weight[..., None]).sum((0, 1)) / weight.sum()).numpy()


@pytest.mark.parametrize(
    ("shape_yx", "spacing"),
    [((800, 645), None), ((1600, 1290), (0.1, 0.1)), ((250, 300), None), ((500, 400), (0.3, 0.45))],
    ids=["halved", "quartered", "enlarged", "oblong pixels"],
)
def test_points_follow_the_pixels_to_a_twentieth_of_one(shape_yx, spacing):
    settings = WIDE.model_copy(update={"gamma": (1.0, 1.0)})
    copies = TemplateAugmentation(blobs(shape_yx, spacing), settings, 5)
    for index in range(3):
        copy = copies.copy(index)
        assert copy.inside.all()
        for point in copy.points_yx:
            error = np.abs(centroid(copy.image, point) - point.numpy())
            assert error.max() < 0.05


def test_points_move_as_the_numbers_say():
    copies = TemplateAugmentation(blobs((800, 400)), WIDE)
    at_rest = copies.augment(AugmentationParams()).points_yx
    shifted = copies.augment(AugmentationParams(shift_yx=(0.05, -0.1))).points_yx
    torch.testing.assert_close(shifted - at_rest, torch.tensor([19.2, -38.4]).expand_as(at_rest))
    zoomed = copies.augment(AugmentationParams(zoom=1.5)).points_yx
    torch.testing.assert_close(zoomed - 191.5, 1.5 * (at_rest - 191.5))
    # A quarter turn of the patient, whose pixels are square: what lies above the
    # middle by a tenth of 800 lies to its left by a fifth of 400.
    turned = copies.augment(AugmentationParams(rotation_deg=90)).points_yx
    up, left = 191.5 - at_rest[:, 0], 191.5 - turned[:, 1]
    torch.testing.assert_close(left, 2 * up)
    # With pixels half as high, rows are mapped to columns in millimetres, not in pixels.
    oblong = TemplateAugmentation(blobs((800, 400), (0.1, 0.2)), WIDE)
    turned = oblong.augment(AugmentationParams(rotation_deg=90)).points_yx
    torch.testing.assert_close(191.5 - turned[:, 1], up)


@pytest.mark.parametrize("shape_yx", [(800, 645), (250, 300), (384, 384)])
def test_copy_without_ranges_is_the_template(shape_yx):
    image, landmarks = generate("skull", 0, shape_yx=shape_yx)
    template = Template.create(image, landmarks)
    still = TemplateCopySettings(count=1, shift=0, scale=0, rotation_deg=0)
    copy = TemplateAugmentation(template, still).copy(0)
    expected = prepare_image(image)
    assert copy.image.shape == expected.shape
    assert copy.image.dtype == torch.float32
    assert (copy.image - expected).abs().max() < 0.03
    assert (copy.image - expected).square().mean().sqrt() < 0.002
    points = image.geometry.points_to_network(landmarks.positions_yx)
    np.testing.assert_allclose(copy.points_yx, points, atol=1e-3)


def test_copy_is_as_sharp_as_the_template():
    # Resampling a resampled image would blur it.
    image, landmarks = generate("hand", 1, shape_yx=(1600, 1200))
    template = Template.create(image, landmarks)
    params = AugmentationParams(shift_yx=(0.0113, 0.0071))
    moved = TemplateAugmentation(template, WIDE).augment(params)

    def energy(picture: torch.Tensor) -> float:
        middle = picture[..., 40:-40, 40:-40]
        return float(middle.diff(dim=-1).square().mean())

    assert energy(moved.image) == pytest.approx(energy(prepare_image(image)), rel=0.02)


def test_each_copy_has_its_own_numbers():
    template = blobs((400, 300))
    copies = TemplateAugmentation(template, WIDE, seed=4)
    third = copies.copy(3)
    more = TemplateAugmentation(template, WIDE.model_copy(update={"count": 500}), seed=4)
    assert torch.equal(third.image, more.copy(3).image)
    assert torch.equal(third.points_yx, more.copy(3).points_yx)
    assert copies.key(3) == more.key(3)
    other_seed = TemplateAugmentation(template, WIDE, seed=5)
    assert not torch.equal(third.points_yx, other_seed.copy(3).points_yx)
    assert not torch.equal(third.points_yx, copies.copy(2).points_yx)
    wider = TemplateAugmentation(template, WIDE.model_copy(update={"shift": 0.07}), seed=4)
    other_template = TemplateAugmentation(blobs((400, 301)), WIDE, seed=4)
    keys = {c.key(3) for c in (copies, other_seed, wider, other_template)} | {copies.key(2)}
    assert len(keys) == 5


def test_numbers_stay_in_their_ranges_and_fill_them():
    settings = WIDE.model_copy(update={"noise": 0.1})
    copies = TemplateAugmentation(blobs((100, 100)), settings)
    draws = [copies.params(index) for index in range(400)]
    for values, low, high in (
        ([d.rotation_deg for d in draws], -12, 12),
        ([d.zoom for d in draws], 0.88, 1.12),
        ([d.shift_yx[0] for d in draws], -0.06, 0.06),
        ([d.shift_yx[1] for d in draws], -0.06, 0.06),
        ([d.gamma for d in draws], 0.6, 1.6),
        ([d.contrast for d in draws], 0.75, 1.25),
        ([d.noise for d in draws], 0, 0.1),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high


def test_grey_values_change_as_drawn_and_stay_in_range():
    image, landmarks = generate("skull", 2, shape_yx=(400, 320))
    copies = TemplateAugmentation(Template.create(image, landmarks), WIDE)
    plain = copies.augment(AugmentationParams()).image
    torch.testing.assert_close(
        copies.augment(AugmentationParams(gamma=1.5)).image, plain**1.5, atol=1e-3, rtol=0
    )
    flat = copies.augment(AugmentationParams(contrast=0.75)).image
    assert float(flat.mean()) == pytest.approx(float(plain.mean()), abs=1e-3)
    assert float(flat.std()) == pytest.approx(0.75 * float(plain.std()), rel=1e-3)
    noisy = copies.augment(AugmentationParams(noise=0.05, noise_seed=1)).image
    assert float((noisy - plain).std()) == pytest.approx(0.05, rel=0.3)
    for picture in (noisy, copies.augment(AugmentationParams(contrast=1.25)).image):
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert type(picture) is torch.Tensor


def test_outside_of_the_template_is_black():
    image, landmarks = generate("skull", 2, shape_yx=(400, 320))
    bright = GrayImage.from_array(image.pixels.max() - image.pixels, name="inverted")
    copies = TemplateAugmentation(Template.create(bright, landmarks.with_geometry(None)), WIDE)
    moved = copies.augment(AugmentationParams(shift_yx=(0.25, 0.0), gamma=1.6, contrast=0.75))
    # A quarter of 384 rows is empty, and the next row is the image's first.
    assert (moved.image[..., :96, :] == 0).all()
    assert (moved.image[..., 96, :] > 0).any()


def test_placed_landmarks_are_followed_out_of_the_frame():
    template = blobs((400, 400))
    absent = Landmark("not there", state=State.ABSENT)
    landmarks = Landmarks((absent, *template.landmarks.points))
    copies = TemplateAugmentation(Template.create(template.image, landmarks), WIDE)
    assert len(copies) == WIDE.count
    moved = copies.augment(AugmentationParams(shift_yx=(0.35, 0.0)))
    assert moved.points_yx.shape == (5, 2)
    expected = (moved.points_yx[:, 0] <= 383.5).tolist()
    assert moved.inside.tolist() == expected
    assert sorted(set(expected)) == [False, True]
