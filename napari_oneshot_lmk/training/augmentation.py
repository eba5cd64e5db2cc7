"""Augmented copies of the template, and augmented patches that images are compared with.

Copies of the template are the only images whose landmarks are known. They are those of
C-ATD (paper, section 2.1), made as by FM-OSD: shifted, rotated and scaled about the centre,
black where the template has no pixels; wider ranges and changed grey values are options of
ours. Patches are those of CC2D: a square of the image about a point, with changed brightness
and contrast, then rotated about its centre.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import (
    AdjustContrast,
    Affined,
    ApplyTransformToPointsd,
    Compose,
    ScaleIntensityFixedMean,
)
from monai.utils import convert_to_tensor
from torch import Tensor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.transforms import BRIGHTEST_PERCENT, DARKEST_PERCENT
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.preset import STRIDE, PatchSettings, TemplateCopySettings

VERSION = 1
"""Increased when the same parameters make other copies, so that no cache serves old ones."""


class AugmentedTemplate(NamedTuple):
    """One copy, on the network's grid."""

    image: Tensor  # (1, 1, H, W) float32, grey values 0..1 as of `prepare_image`
    points_yx: Tensor  # (N, 2) float32, network pixels, the template's placed landmarks
    inside: Tensor  # (N,) bool: whether the point is still on the copy


@dataclass(frozen=True)
class AugmentationParams:
    """The numbers that one copy was made with."""

    rotation_deg: float = 0.0  # row axis to column axis: the top moves to the left
    zoom: float = 1.0  # larger than 1: larger on the copy
    shift_yx: tuple[float, float] = (0.0, 0.0)  # as fractions of height and width
    gamma: float = 1.0  # exponent
    contrast: float = 1.0  # factor about the mean
    noise: float = 0.0  # standard deviation
    noise_seed: int = 0


class Copies(Protocol):
    """Augmented copies of annotated images; all have the landmarks of one template."""

    def __len__(self) -> int:
        """Return how many there are."""

    def key(self, index: int) -> str:
        """Return a hash of all that a copy depends on, for caches."""

    def copy(self, index: int) -> AugmentedTemplate:
        """Make a copy; they are counted from 0."""


class TemplateAugmentation:
    """Makes augmented templates; copy ``i`` depends on template, ranges, seed and ``i`` alone."""

    def __init__(self, template: Template, settings: TemplateCopySettings, seed: int = 0) -> None:
        self.template, self.settings, self.seed = template, settings, seed
        placed = template.landmarks.with_points(template.landmarks.placed)
        self._points_yx = torch.from_numpy(placed.positions_yx)

    def __len__(self) -> int:
        return self.settings.count

    def key(self, index: int) -> str:
        """Return a hash of all that a copy depends on, for caches."""
        ranges = self.settings.model_dump(exclude={"count"})
        parts = (VERSION, self.template.content_sha256, ranges, self.seed, index)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def params(self, index: int) -> AugmentationParams:
        """Draw the random parameters of a copy."""
        ranges, rng = self.settings, random_stream(self.seed, Stream.COPIES, index)
        rotation, zoom, shift_y, shift_x = rng.uniform(-1, 1, 4)
        # Logarithmic, so that 1 / 2 is as likely as 2.
        low, high = np.log(ranges.gamma)
        return AugmentationParams(
            rotation_deg=float(ranges.rotation_deg * rotation),
            zoom=float(1 + ranges.scale * zoom),
            shift_yx=(float(ranges.shift * shift_y), float(ranges.shift * shift_x)),
            gamma=float(np.exp(rng.uniform(low, high))),
            contrast=float(1 + ranges.contrast * rng.uniform(-1, 1)),
            noise=float(ranges.noise * rng.uniform(0, 1)),
            noise_seed=int(rng.integers(2**31)),
        )

    def copy(self, index: int) -> AugmentedTemplate:
        """Make a copy; they are counted from 0."""
        return self.augment(self.params(index))

    def augment(self, params: AugmentationParams) -> AugmentedTemplate:
        """Make the copy with the given parameters."""
        shape_yx = self.template.image.geometry.network_shape_yx
        affine = Affined(
            ("image", "frame"),
            affine=self._sampling(params),
            spatial_size=shape_yx,
            mode=("bilinear", "nearest"),
            # Beyond the centre of the last pixel there is still half a pixel; what is
            # outside the frame is blackened below.
            padding_mode=("border", "zeros"),
            align_corners=False,
        )
        moved = Compose([affine, ApplyTransformToPointsd("points", refer_keys="image")])(
            {
                "image": MetaTensor(self._smooth),
                "frame": MetaTensor(torch.ones_like(self._smooth)),
                "points": self._points_yx[None],
            }
        )
        image = _change_grey_values(moved["image"].as_tensor().clamp(0, 1), params)
        image = image.clamp(0, 1) * moved["frame"].as_tensor()
        points_yx = convert_to_tensor(moved["points"][0], torch.float32, track_meta=False)
        inside = ((points_yx >= -0.5) & (points_yx <= torch.tensor(shape_yx) - 0.5)).all(-1)
        return AugmentedTemplate(image[None], points_yx, inside)

    def _sampling(self, params: AugmentationParams) -> Tensor:
        """Return the matrix (3, 3) from network pixels to the template's own pixels.

        It is the inverse of what moves a point p of the template, N (zoom A^-1 R A p + t):
        A makes pixels square, R rotates, t shifts, N scales to the network's grid. All
        points are counted from the image's centre.
        """
        geometry = self.template.image.geometry
        # Images with unknown spacing are taken to have square pixels.
        pixel = np.diag(geometry.spacing_mm_yx or (1.0, 1.0))
        angle = math.radians(params.rotation_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        to_network = np.diag(geometry.network_pixels_per_image_pixel_yx)
        forward = np.eye(3)
        forward[:2, :2] = to_network @ np.linalg.inv(pixel) @ (params.zoom * rotation) @ pixel
        forward[:2, 2] = to_network @ np.multiply(params.shift_yx, geometry.image_shape_yx)
        return torch.from_numpy(np.linalg.inv(forward))

    @cached_property
    def _smooth(self) -> Tensor:
        """The template's own pixels, (1, H, W), grey values scaled as by `prepare_image`.

        Smoothed with the triangle that resampling to the network's grid would use, so that
        a copy is sampled once, bilinearly, and is as sharp as the images it is compared with.
        """
        image = self.template.image
        pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
        small = image.geometry.pixels_to_network(pixels).numpy()
        low, high = np.percentile(small, [DARKEST_PERCENT, BRIGHTEST_PERCENT])
        grey = (pixels - float(low)) / float(high - low)
        scale_y, scale_x = image.geometry.network_pixels_per_image_pixel_yx
        rows = _smooth_with_triangle(grey, 1 / scale_y)
        return _smooth_with_triangle(rows.mT, 1 / scale_x).mT[0].contiguous()


def _change_grey_values(image: Tensor, params: AugmentationParams) -> Tensor:
    if params.gamma != 1:
        image = AdjustContrast(params.gamma)(image)
    if params.contrast != 1:
        image = ScaleIntensityFixedMean(params.contrast - 1)(image)
    if params.noise:
        rng = np.random.default_rng(params.noise_seed)
        noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + params.noise * torch.from_numpy(noise)
    # MONAI's own kind of tensor carries a history along.
    plain: Tensor = convert_to_tensor(image, track_meta=False)
    return plain


def _smooth_with_triangle(pixels: Tensor, reach: float) -> Tensor:
    """Average (1, 1, H, W) along H with weights that fall to 0 at ``reach`` pixels.

    Between pixels, linear interpolation continues the triangle, so that reading the
    result there is what one resampling with that triangle gives.
    """
    taps = math.ceil(reach) - 1
    if taps < 1:
        return pixels
    steps = torch.arange(-taps, taps + 1, dtype=pixels.dtype)
    kernel = (1 - steps.abs() / reach).view(1, 1, -1, 1)
    weight = F.conv2d(torch.ones_like(pixels[..., :1]), kernel, padding=(taps, 0))
    return F.conv2d(pixels, kernel, padding=(taps, 0)) / weight


class Patches(NamedTuple):
    """One patch per image."""

    images: Tensor  # (B, 1, S, S) float32, grey values 0..1
    points_yx: Tensor  # (B, 2) float32, pixels of the patch; always inside
    corners_yx: Tensor  # (B, 2) int64: the patch's first pixel in the image, before rotation
    angles: Tensor  # (B,) float32, radians: rotation about the centre

    def tracked(self, points_yx: Tensor) -> Tensor:
        """Map other points of the images, (B, M, 2) network pixels, to the patches."""
        centre = (self.images.shape[-1] - 1) / 2
        offsets = points_yx - self.corners_yx[:, None] - centre
        angles = self.angles.repeat_interleave(points_yx.shape[1])
        return _rotate_offsets(offsets.flatten(0, 1), angles).view_as(points_yx) + centre


def draw_patch_params(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw what is random in B patches: (B, 5) in -1..1, see `cut_patches`."""
    return 2 * torch.rand(count, 5, generator=generator) - 1


def cut_patches(
    images: Tensor, points_yx: Tensor, settings: PatchSettings, params: Tensor
) -> Patches:
    """Cut one patch from each image and augment it.

    Images are (B, 1, H, W) on the network's grid, grey values 0..1; points (B, 2) are in
    network pixels, inside the images. ``params`` (B, 5) are from `draw_patch_params`, on the
    CPU wherever the images are: the jitter of rows and columns, rotation, brightness and
    contrast, as fractions of the largest. Raises `UsageError` if images are too small.
    """
    if min(images.shape[-2:]) < settings.size:
        raise UsageError(
            f"patches of {settings.size} pixels do not fit into images of "
            f"{images.shape[-2]} x {images.shape[-1]}",
            remedy="make patch.size smaller",
        )
    points_yx = points_yx.detach().to("cpu", torch.float32)
    corners = _corners_yx(points_yx, images.shape[-2:], settings, params[:, :2])
    in_patch = points_yx - corners
    angles = params[:, 2] * math.radians(settings.rotation_deg)
    centre = (settings.size - 1) / 2
    rotated = _rotate_offsets(in_patch - centre, angles) + centre
    # Near a corner, rotation could move the point out of its patch: no rotation then.
    kept = ((rotated >= -0.5) & (rotated <= settings.size - 0.5)).all(-1)
    angles = torch.where(kept, angles, 0.0)
    rotated = torch.where(kept[:, None], rotated, in_patch)
    pixels = torch.stack(
        [
            image[:, y : y + settings.size, x : x + settings.size]
            for image, (y, x) in zip(images, corners.tolist(), strict=True)
        ]
    )
    device = pixels.device
    factors = 1 + params[:, 3:] * torch.tensor([settings.brightness, settings.contrast])
    pixels = rotate(adjust_grey_values(pixels, *factors.to(device).unbind(1)), angles.to(device))
    return Patches(pixels, rotated.to(device), corners.to(device), angles.to(device))


def _corners_yx(
    points_yx: Tensor, shape_yx: torch.Size, settings: PatchSettings, jitter: Tensor
) -> Tensor:
    """Return the first pixel of each patch, (B, 2) int64, inside the image.

    ``"centred"`` puts the point's pixel right and below of the centre, on a corner of cells
    at every level; ``"jittered"`` moves that by whole pixels, ``jitter`` (B, 2) in -1..1;
    ``"aligned"`` takes the nearest multiple of 32: cells of patch and image coincide.
    """
    corners = (points_yx + 0.5).floor() - settings.size // 2
    last = torch.tensor(shape_yx) - settings.size
    if settings.placement == "jittered":
        pixels = (jitter * (settings.jitter_px + 0.5)).round()
        corners = corners + pixels.clamp(-settings.jitter_px, settings.jitter_px)
    elif settings.placement == "aligned":
        corners = (corners / STRIDE).round() * STRIDE
        last = last // STRIDE * STRIDE
    return corners.long().clamp_min(0).minimum(last)


def adjust_grey_values(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiply grey values, then their distances from each image's mean, by factors (B,).

    Images are (B, 1, H, W) with grey values 0..1, to which the result is clamped as well.
    """
    bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
    mean = bright.mean((1, 2, 3), keepdim=True)
    return (mean + (bright - mean) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate (B, 1, S, S) images about their centres, black where there are no pixels.

    Angles are (B,) radians; positive rotates the row axis towards the column axis.
    """
    cosine, sine, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Where a pixel of the result comes from, as (column, row): the inverse rotation.
    rows = [torch.stack(row, 1) for row in ((cosine, -sine, none), (sine, cosine, none))]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    # Cubic, as published: linear interpolation would blur every rotated patch.
    return F.grid_sample(images, grid, "bicubic", "zeros", align_corners=False).clamp(0, 1)


def _rotate_offsets(offsets_yx: Tensor, angles: Tensor) -> Tensor:
    """Rotate (B, 2) offsets from the centre as `rotate` does the pixels."""
    y, x = offsets_yx.unbind(1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((cosine * y - sine * x, sine * y + cosine * x), 1)
