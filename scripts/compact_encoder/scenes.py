"""Pairs of generated images with known correspondence.

A scene is a pile of smooth closed outlines, some with a dense rim like cortical
bone, and a few curved strokes. Its two pictures show two "subjects": the same
outlines under a smooth deformation, with other densities, textures, exposure,
blur and noise. What corresponds is then known everywhere, and it is the shape
that corresponds, not the grey values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from compact_encoder.pair import Pair, points_on_structure, sampled, uniform

OUTLINES = 22
STROKES = 6
HARMONICS = 5


def scene_pair(side: int, source: Generator) -> Pair:
    """Draw one scene twice; everything random comes from ``source``."""
    flow = deformation(side, source)
    grid = _grid(side)
    outlines = _outline_parameters(source)
    # The second picture shows at y what the scene holds at the inverse flow of y.
    inverse = inverted(flow)
    first = _picture(grid, outlines, side, source)
    second = _picture(grid + inverse, outlines, side, source)
    return Pair(first, second, *points_on_structure(first, flow, source))


def _grid(side: int) -> Tensor:
    axis = torch.arange(float(side))
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]


def _smooth(side: int, cells: int, source: Generator, channels: int = 1) -> Tensor:
    """Smooth normal noise with about ``cells`` bumps along a side."""
    coarse = torch.randn(1, channels, cells + 3, cells + 3, generator=source)
    fine = F.interpolate(
        coarse, size=(side + 2 * side // cells,) * 2, mode="bicubic", align_corners=True
    )
    margin = side // cells
    return fine[..., margin : margin + side, margin : margin + side]


def deformation(side: int, source: Generator) -> Tensor:
    """Affine part and two octaves of smooth bending, in pixels."""
    centred = _grid(side) - (side - 1) / 2
    angle = uniform(-0.2, 0.2, source)
    scale_y = uniform(0.85, 1.18, source)
    scale_x = scale_y * uniform(0.9, 1.1, source)
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    y, x = centred[:, :1], centred[:, 1:]
    moved = torch.cat([cos * y * scale_y - sin * x, sin * y + cos * x * scale_x], 1)
    shift = torch.randn(1, 2, 1, 1, generator=source) * side * 0.04
    bend = _smooth(side, 3, source, 2) * side * uniform(0.005, 0.025, source)
    bend = bend + _smooth(side, 8, source, 2) * side * uniform(0.0, 0.006, source)
    return moved - centred + shift + bend


def inverted(flow: Tensor, rounds: int = 12) -> Tensor:
    """Displacement field that undoes ``flow``, by fixed-point iteration."""
    side = flow.shape[-1]
    grid = _grid(side)
    inverse = torch.zeros_like(flow)
    for _ in range(rounds):
        places = (grid + inverse)[0].flatten(1).T
        inverse = -sampled(flow, places).T.reshape(1, 2, side, side)
    return inverse


@dataclass(frozen=True)
class _Outlines:
    centres_yx: Tensor
    radii: Tensor
    stretch: Tensor
    turn: Tensor
    waves: Tensor
    density: Tensor
    rim: Tensor
    edge: Tensor
    strokes: Tensor


def _outline_parameters(source: Generator) -> _Outlines:
    """Draw the scene, in units of the picture's side."""
    n = OUTLINES

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=source)

    radii = 0.02 + 0.4 * rand(n) ** 2.5
    radii[0] = 0.3 + 0.15 * rand(())
    centres = rand(n, 2) * 0.9 + 0.05
    centres[0] = 0.5 + 0.1 * (rand(2) - 0.5)
    order = torch.arange(1, HARMONICS + 1)
    waves = torch.randn(n, HARMONICS, 2, generator=source) * 0.16 / order[:, None]
    return _Outlines(
        centres,
        radii,
        torch.exp(torch.randn(n, generator=source) * 0.35),
        rand(n) * torch.pi,
        waves,
        (rand(n) - 0.3) * 1.2,
        rand(n).clamp_min(0.3) - 0.3,
        0.002 + 0.012 * rand(n) ** 2,
        torch.randn(STROKES, 8, generator=source),
    )


def _picture(places: Tensor, scene: _Outlines, side: int, source: Generator) -> Tensor:
    """Render the scene seen at ``places`` (1, 2, S, S), with its own looks."""
    y, x = (places[0] + 0.5) / side
    absorbed = torch.zeros(side, side)
    for i in range(OUTLINES):
        distance = _distance(y, x, scene, i)
        jitter = uniform(0.5, 1.6, source)
        softness = float(scene.edge[i]) * uniform(0.7, 1.5, source)
        inside = torch.sigmoid(-distance / softness)
        absorbed += inside * float(scene.density[i]) * jitter
        if scene.rim[i] > 0.1:
            thickness = 0.006 * uniform(0.6, 1.5, source)
            rim = torch.exp(-(((distance + thickness) / thickness) ** 2))
            absorbed += rim * float(scene.rim[i]) * uniform(0.3, 1.6, source)
    for stroke in scene.strokes:
        absorbed += _stroke(y, x, stroke) * uniform(0.1, 0.6, source)
    absorbed += _texture(side, source)
    return _exposed(absorbed[None, None], source)


def _distance(y: Tensor, x: Tensor, scene: _Outlines, i: int) -> Tensor:
    """Approximate signed distance to an outline, negative inside."""
    dy, dx = y - scene.centres_yx[i, 0], x - scene.centres_yx[i, 1]
    cos, sin = torch.cos(scene.turn[i]), torch.sin(scene.turn[i])
    u = (cos * dx + sin * dy) * scene.stretch[i]
    v = (cos * dy - sin * dx) / scene.stretch[i]
    radius = torch.sqrt(u * u + v * v + 1e-8)
    # cos(k t) and sin(k t) by recurrence from u / r and v / r.
    real, imaginary = u / radius, v / radius
    wave_real, wave_imaginary = real, imaginary
    outline = torch.ones_like(radius)
    for k in range(HARMONICS):
        a, b = scene.waves[i, k]
        outline = outline + a * wave_real + b * wave_imaginary
        wave_real, wave_imaginary = (
            wave_real * real - wave_imaginary * imaginary,
            wave_real * imaginary + wave_imaginary * real,
        )
    return radius - scene.radii[i] * outline.clamp_min(0.2)


def _stroke(y: Tensor, x: Tensor, parameters: Tensor) -> Tensor:
    """Draw a curved line of finite length: a suture, a vessel, a soft contour."""
    a = [float(v) for v in parameters]
    angle = torch.tensor(a[0] * 3)
    dy, dx = y - 0.5 - 0.2 * a[1], x - 0.5 - 0.2 * a[2]
    along = torch.cos(angle) * dx + torch.sin(angle) * dy
    across = torch.cos(angle) * dy - torch.sin(angle) * dx
    across = across - a[3] * along**2 - 0.05 * a[4] * torch.sin(12 * along)
    width = 0.003 + 0.004 * abs(a[5])
    length = 0.1 + 0.1 * abs(a[6])
    return torch.exp(-((across / width) ** 2) - (along / length) ** 4)


def _texture(side: int, source: Generator) -> Tensor:
    """Noise of several octaves, different in each picture."""
    total = torch.zeros(side, side)
    for cells in (4, 8, 16, 32, side // 4):
        strength = uniform(0.0, 0.12, source) * (4 / cells) ** 0.35
        total += strength * _smooth(side, cells, source)[0, 0]
    return total


def _exposed(absorbed: Tensor, source: Generator) -> Tensor:
    """Film response: contrast, gamma, blur, grain, 8 bits."""
    level = uniform(-0.5, 0.5, source)
    grey = torch.sigmoid(uniform(1.2, 3.0, source) * (absorbed - 0.5 + level))
    grey = grey ** uniform(0.6, 1.6, source)
    if uniform(0, 1, source) < 0.5:
        softer = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)
        grey = grey + uniform(0, 1, source) * (softer - grey)
    grain = torch.randn(grey.shape, generator=source)
    grey = grey + uniform(0.002, 0.02, source) * grain
    return (grey.clamp(0, 1) * 255).round() / 255
