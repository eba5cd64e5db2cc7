"""Pairs of phantoms: two subjects with their landmarks, or one subject bent.

The phantoms are of the generator that makes the sample data (`scripts/phantoms`), of a
population that no sample and no measurement shows. Two subjects correspond at their
landmarks alone; a subject and its bent copy correspond everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from compact_encoder.pair import POINTS, Pair, points_on_structure, sampled, uniform
from compact_encoder.scenes import deformation, inverted
from phantoms.generator import generate

POPULATION = 40_961
"""Seed of the subjects; samples, tests and measurements use small ones and 2026."""
COUNTS = {"skull": 64, "hand": 64, "spine": 20}
PICTURE = 384
"""Rows and columns in which phantoms are drawn: those of the detector's grid."""


@dataclass(frozen=True)
class Phantom:
    """A generated radiograph, (1, 1, S, S) grey in 0..1, with its landmarks (N, 2) in pixels."""

    grey: Tensor
    points_yx: Tensor


def drawn_phantoms() -> list[list[Phantom]]:
    """Draw a list of `COUNTS` subjects per anatomy; all of a list have the same landmarks."""
    return [[_drawn(anatomy, i) for i in range(count)] for anatomy, count in COUNTS.items()]


def _drawn(anatomy: str, index: int) -> Phantom:
    image, landmarks = generate(anatomy, index, POPULATION, (PICTURE, PICTURE))
    grey = torch.from_numpy(image.pixels).float()[None, None] / 255
    return Phantom(grey, torch.from_numpy(landmarks.positions_yx).float())


def phantom_pair(anatomies: Sequence[Sequence[Phantom]], side: int, source: Generator) -> Pair:
    """Draw one pair of pictures of ``side`` pixels; everything random comes from ``source``."""
    subjects = anatomies[_integer(len(anatomies), source)]
    first = subjects[_integer(len(subjects), source)]
    if uniform(0, 1, source) < 0.5:
        return _bent(first, side, source)
    return _two_subjects(first, subjects[_integer(len(subjects), source)], side, source)


@dataclass(frozen=True)
class _View:
    """A square window of a picture, turned, magnified, perhaps mirrored.

    The pixel (y, x) of the view shows the picture at ``centre + matrix @ (y - c, x - c)``, c
    being the view's own centre.
    """

    centre_yx: Tensor
    matrix: Tensor

    def to_picture(self, places_yx: Tensor, side: int) -> Tensor:
        """Map (N, 2) pixels of the view to the picture."""
        return self.centre_yx + (places_yx - (side - 1) / 2) @ self.matrix.T

    def from_picture(self, points_yx: Tensor, side: int) -> Tensor:
        """Map (N, 2) pixels of the picture to the view."""
        away = points_yx - self.centre_yx
        return away @ torch.linalg.inv(self.matrix).T + (side - 1) / 2

    def shown(self, grey: Tensor, side: int, bend_yx: Tensor | None = None) -> Tensor:
        """Return what it shows, (1, 1, side, side), where it looks displaced by ``bend_yx``."""
        axis = torch.arange(float(side))
        places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        if bend_yx is not None:
            places = places + bend_yx[0].permute(1, 2, 0)
        # Less detail where several pixels of the picture share one of the view.
        pixels = float(torch.linalg.det(self.matrix).abs().sqrt())
        if pixels > 1.4:
            grey = F.avg_pool2d(F.pad(grey, (0, 1, 0, 1), mode="replicate"), 2, 1)
        flat = self.to_picture(places.flatten(0, 1), side)
        if pixels > 1.4:
            flat = flat - 0.5
        return sampled(grey, flat).T.reshape(1, 1, side, side)


def _view(around_yx: Tensor, side: int, source: Generator) -> _View:
    """Draw a window around a point: any way up, mirrored or not, of any magnification."""
    pixels = 2 ** uniform(-0.5, 1.0, source)
    angle = uniform(0, 2 * torch.pi, source) if uniform(0, 1, source) < 0.5 else 0.0
    mirror = torch.diag(torch.tensor([1.0, -1.0 if uniform(0, 1, source) < 0.5 else 1.0]))
    shift = (torch.rand(2, generator=source) - 0.5) * side * 0.6 * pixels
    return _View(around_yx + shift, pixels * _turn(angle) @ mirror)


def _turn(angle: float) -> Tensor:
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    return torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])


def _bent(subject: Phantom, side: int, source: Generator) -> Pair:
    """Show one subject twice, the second time deformed and on another film."""
    around = subject.points_yx[_integer(len(subject.points_yx), source)]
    view = _view(around, side, source)
    flow = deformation(side, source)
    seen = view.shown(subject.grey, side)
    bent = view.shown(subject.grey, side, inverted(flow))
    points, partners = points_on_structure(seen, flow, source)
    inversion = uniform(0, 1, source) < 0.25
    first, second = (_developed(each, inversion, source) for each in (seen, bent))
    return Pair(first, second, points, partners)


def _two_subjects(one: Phantom, other: Phantom, side: int, source: Generator) -> Pair:
    """Show two subjects around the same landmark; all landmarks in both windows correspond."""
    chosen = _integer(len(one.points_yx), source)
    view = _view(one.points_yx[chosen], side, source)
    angle, zoom = uniform(-0.2, 0.2, source), uniform(0.87, 1.15, source)
    offset = view.centre_yx - one.points_yx[chosen]
    jitter = torch.randn(2, generator=source) * side * 0.04
    partner_view = _View(
        other.points_yx[chosen] + offset + jitter, zoom * view.matrix @ _turn(angle)
    )
    points = view.from_picture(one.points_yx, side)
    partners = partner_view.from_picture(other.points_yx, side)
    inside = (torch.cat([points, partners], 1) > 4) & (torch.cat([points, partners], 1) < side - 5)
    kept = inside.all(1)
    inversion = uniform(0, 1, source) < 0.25
    first = _developed(view.shown(one.grey, side), inversion, source)
    second = _developed(partner_view.shown(other.grey, side), inversion, source)
    return Pair(first, second, points[kept][:POINTS], partners[kept][:POINTS])


def _developed(grey: Tensor, inversion: bool, source: Generator) -> Tensor:
    """Change the film: brightness, contrast, gamma, perhaps the negative, grain, 8 bits."""
    grey = grey.clamp(0, 1) ** (2 ** uniform(-0.7, 0.7, source))
    grey = 0.5 + uniform(0.5, 1.1, source) * (grey - 0.5) + uniform(-0.15, 0.15, source)
    grain = torch.randn(grey.shape, generator=source)
    grey = (grey + uniform(0.0, 0.015, source) * grain).clamp(0, 1)
    return (255 * (1 - grey if inversion else grey)).round() / 255


def _integer(count: int, source: Generator) -> int:
    return int(torch.randint(count, (), generator=source))
