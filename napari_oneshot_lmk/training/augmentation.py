"""Augmentation of the template, and of the patches that are compared with images.

Augmented templates are the only images whose landmarks are known. They are those of C-ATD
(paper, section 2.1), made as FM-OSD makes them: moved, turned and scaled about the image's
middle, black where the template has no pixels. Wider ranges and changes of the grey values
are options of ours. Patches are those of CC2D, with which the paper goes on: a square of
the image about a point, brightness and contrast changed, then turned about its middle.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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
"""Grows when the same numbers make other copies, so that no cache serves old ones."""


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
    shift_yx: tuple[float, float] = (0.0, 0.0)  # as parts of height and width
    gamma: float = 1.0  # exponent
    contrast: float = 1.0  # factor about the mean
    noise: float = 0.0  # standard deviation
    noise_seed: int = 0


class TemplateAugmentation:
    """Makes augmented templates; copy ``i`` depends on the template, the ranges, seed and ``i``."""

    def __init__(self, template: Template, settings: TemplateCopySettings, seed: int = 0) -> None:
        self.template = template
        self.settings = settings
        self.seed = seed
        placed = template.landmarks.with_points(template.landmarks.placed)
        self.names = placed.names
        self._points_yx = torch.from_numpy(placed.positions_yx)

    def __len__(self) -> int:
        return self.settings.count

    def key(self, index: int) -> str:
        """Return a hash of all that a copy depends on, for caches."""
        ranges = self.settings.model_dump(exclude={"count"})
        parts = (VERSION, self.template.content_sha256, ranges, self.seed, index)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def params(self, index: int) -> AugmentationParams:
        """Return the random numbers of a copy."""
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
        """Make the copy that belongs to given numbers."""
        geometry = self.template.image.geometry
        spatial = Compose(
            [
                Affined(
                    ("image", "frame"),
                    affine=self._sampling(params),
                    spatial_size=geometry.network_shape_yx,
                    mode=("bilinear", "nearest"),
                    # Beyond the middle of the last pixel there is still half a
                    # pixel; what is outside the frame is blackened below.
                    padding_mode=("border", "zeros"),
                    align_corners=False,
                ),
                ApplyTransformToPointsd("points", refer_keys="image"),
            ]
        )
        moved = spatial(
            {
                "image": MetaTensor(self._smooth),
                "frame": MetaTensor(torch.ones_like(self._smooth)),
                "points": self._points_yx[None],
            }
        )
        image = _recoloured(moved["image"].as_tensor().clamp(0, 1), params)
        image = image.clamp(0, 1) * moved["frame"].as_tensor()
        points_yx = convert_to_tensor(moved["points"][0], torch.float32, track_meta=False)
        limits = torch.tensor(geometry.network_shape_yx) - 0.5
        inside = ((points_yx >= -0.5) & (points_yx <= limits)).all(-1)
        return AugmentedTemplate(image[None], points_yx, inside)

    def _sampling(self, params: AugmentationParams) -> Tensor:
        """Return where a copy's pixels come from.

        A point p of the template, in its own pixels from its middle, lies on the
        copy at N (zoom A^-1 R A p + t): A makes pixels square, R turns, t shifts, N
        goes to the network's grid. The result is the inverse, (3, 3), from network
        pixels to the template's own, both counted from the middle.
        """
        geometry = self.template.image.geometry
        # Images with unknown spacing are taken to have square pixels.
        pixel = np.diag(geometry.spacing_mm_yx or (1.0, 1.0))
        angle = math.radians(params.rotation_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        to_network = np.diag(geometry.network_pixels_per_image_pixel_yx)
        forward = np.eye(3)
        forward[:2, :2] = to_network @ np.linalg.inv(pixel) @ (params.zoom * turn) @ pixel
        shift = np.multiply(params.shift_yx, geometry.image_shape_yx)
        forward[:2, 2] = to_network @ shift
        return torch.from_numpy(np.linalg.inv(forward))

    @cached_property
    def _smooth(self) -> Tensor:
        """The template's own pixels, (1, H, W), ready to be read at any place.

        Grey values as `prepare_image` scales them. Smoothed with the triangle that the
        resampling to the network's grid would use, so that a copy is sampled once,
        bilinearly, and is as sharp as the images that it stands for.
        """
        image = self.template.image
        pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
        small = image.geometry.pixels_to_network(pixels).numpy()
        low, high = np.percentile(small, [DARKEST_PERCENT, BRIGHTEST_PERCENT])
        grey = (pixels - float(low)) / float(high - low)
        scale_y, scale_x = image.geometry.network_pixels_per_image_pixel_yx
        rows = _triangle_smoothed(grey, 1 / scale_y)
        columns = _triangle_smoothed(rows.mT, 1 / scale_x).mT
        return columns[0].contiguous()


def _recoloured(image: Tensor, params: AugmentationParams) -> Tensor:
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


def _triangle_smoothed(pixels: Tensor, reach: float) -> Tensor:
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
    corners_yx: Tensor  # (B, 2) int64: the patch's first pixel in the image, before turning
    angles: Tensor  # (B,) float32, radians: how far it was turned about its middle

    def tracked(self, points_yx: Tensor) -> Tensor:
        """Map other points of the images, (B, M, 2) network pixels, to the patch."""
        middle = (self.images.shape[-1] - 1) / 2
        offsets = points_yx - self.corners_yx[:, None] - middle
        turned = _turned(offsets.flatten(0, 1), self.angles.repeat_interleave(points_yx.shape[1]))
        return turned.view_as(points_yx) + middle


def cut_patches(
    images: Tensor,
    points_yx: Tensor,
    settings: PatchSettings,
    generator: torch.Generator | None = None,
    *,
    spread: Tensor | None = None,
) -> Patches:
    """Cut one patch from each image and augment it.

    Parameters
    ----------
    images : Tensor, (B, 1, H, W)
        On the network's grid, grey values 0..1.
    points_yx : Tensor, (B, 2)
        Network pixels, inside the images.
    settings : PatchSettings
        Size, place and augmentation.
    generator : torch.Generator, optional
        Of the processor; by default torch's own.
    spread : Tensor, (B, 5), optional
        From `random_spread`, where it was drawn before.

    Raises
    ------
    UsageError
        If the images are smaller than a patch.
    """
    if min(images.shape[-2:]) < settings.size:
        raise UsageError(
            f"patches of {settings.size} pixels do not fit into images of "
            f"{images.shape[-2]} x {images.shape[-1]}",
            remedy="make patch.size smaller",
        )
    # Random numbers come from the processor wherever the images lie: the same ones.
    points_yx = points_yx.detach().to("cpu", torch.float32)
    if spread is None:
        spread = random_spread(len(images), generator)
    corners = corners_yx(points_yx, images.shape, settings, spread[:, :2])
    in_patch = points_yx - corners
    angles = spread[:, 2] * math.radians(settings.rotation_deg)
    middle = (settings.size - 1) / 2
    turned = _turned(in_patch - middle, angles) + middle
    # Near a corner of the patch a point could be turned out of it: rather not.
    kept = ((turned >= -0.5) & (turned <= settings.size - 0.5)).all(-1)
    angles = torch.where(kept, angles, 0.0)
    turned = torch.where(kept[:, None], turned, in_patch)
    pixels = torch.stack(
        [
            image[:, y : y + settings.size, x : x + settings.size]
            for image, (y, x) in zip(images, corners.tolist(), strict=True)
        ]
    )
    factors = 1 + spread[:, 3:] * torch.tensor([settings.brightness, settings.contrast])
    pixels = recoloured(pixels, *factors.to(pixels.device).unbind(1))
    return Patches(
        rotated(pixels, angles.to(pixels.device)),
        turned.to(pixels.device),
        corners.to(pixels.device),
        angles.to(pixels.device),
    )


def random_spread(count: int, generator: torch.Generator | None = None) -> Tensor:
    """AugmentationParams all that is random in so many patches, (B, 5) in -1..1."""
    return 2 * torch.rand(count, 5, generator=generator) - 1


def corners_yx(
    points_yx: Tensor, shape: torch.Size | tuple[int, ...], settings: PatchSettings, spread: Tensor
) -> Tensor:
    """Choose where patches begin.

    Parameters
    ----------
    points_yx : Tensor, (B, 2)
        Network pixels.
    shape : sequence of int
        Of the images, rows and columns last.
    settings : PatchSettings
        ``"centred"`` puts the point's pixel right and below of the middle, on a
        corner of cells at every level; ``"jittered"`` moves that by whole pixels;
        ``"aligned"`` takes the multiple of 32 nearest to it, so that the cells of
        patch and image coincide.
    spread : Tensor, (B, 2)
        Uniform in -1..1, for the jitter.

    Returns
    -------
    Tensor, (B, 2), int64
        At borders patches are shifted inwards.
    """
    corners = (points_yx + 0.5).floor() - settings.size // 2
    if settings.placement == "jittered":
        corners = corners + (spread * (settings.jitter_px + 0.5)).round().clamp(
            -settings.jitter_px, settings.jitter_px
        )
    elif settings.placement == "aligned":
        corners = (corners / STRIDE).round() * STRIDE
    last = torch.tensor([shape[-2] - settings.size, shape[-1] - settings.size])
    if settings.placement == "aligned":
        last = last // STRIDE * STRIDE
    return corners.long().clamp_min(0).minimum(last)


def recoloured(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiply grey values, then their distances from each image's mean.

    Parameters
    ----------
    images : Tensor, (B, 1, H, W)
        Grey values 0..1, to which the result is cut as well.
    brightness, contrast : Tensor, (B,)
        Factors.
    """
    bright = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
    mean = bright.mean((1, 2, 3), keepdim=True)
    return (mean + (bright - mean) * contrast.view(-1, 1, 1, 1)).clamp(0, 1)


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Turn (B, 1, S, S) images about their middles, black where nothing is left.

    Parameters
    ----------
    images : Tensor, (B, 1, S, S)
        Squares.
    angles : Tensor, (B,)
        Radians; positive turns the row axis towards the column axis.
    """
    cosine, sine, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Where a pixel of the result comes from, as (column, row) of units that are the
    # same on both axes: the inverse rotation.
    rows = [torch.stack(row, 1) for row in ((cosine, -sine, none), (sine, cosine, none))]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    # Cubic, as published: linear interpolation would blur every turned patch.
    turned = F.grid_sample(images, grid, "bicubic", "zeros", align_corners=False)
    return turned.clamp(0, 1)


def _turned(offsets_yx: Tensor, angles: Tensor) -> Tensor:
    """Turn (B, 2) offsets from the middle as `rotated` turns the pixels."""
    y, x = offsets_yx.unbind(1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((cosine * y - sine * x, sine * y + cosine * x), 1)
