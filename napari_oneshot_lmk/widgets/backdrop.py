"""How bright the picture is under a label, and the colour that reads on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ON_DARK = (1.0, 0.82, 0.96, 1.0)
ON_LIGHT = (0.28, 0.0, 0.20, 1.0)
"""Both of a hue that no grey image holds; one or the other reads on any grey."""


def text_colours(luminance: ArrayLike) -> NDArray[np.float64]:
    """Map (N,) luminances behind labels to (N, 4) RGBA with the better contrast."""
    behind = np.asarray(luminance, dtype=float).reshape(-1)
    dark = _contrast(behind, luminance_of(ON_LIGHT))
    light = _contrast(behind, luminance_of(ON_DARK))
    return np.where((light >= dark)[:, None], ON_DARK, ON_LIGHT)


def luminance_of(rgba: ArrayLike) -> NDArray[np.float64]:
    """Relative luminance (WCAG) of (..., 3 or 4) sRGB colours in 0..1."""
    rgb = np.asarray(rgba, dtype=float)[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance: NDArray[np.float64] = linear @ (0.2126, 0.7152, 0.0722)
    return luminance


def luminance_at(viewer: Any, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Luminance of what a viewer shows at world positions.

    Parameters
    ----------
    viewer : Viewer
        Its visible images count, the topmost first; where there is none, or none
        whose pixels lie in memory, the canvas of its theme.
    world : (N, ndim) array
        Positions in the viewer's world.

    Returns
    -------
    (N,) array
        0 is black, 1 white.
    """
    from napari.layers import Image
    from napari.utils.theme import get_theme

    canvas = np.array(get_theme(viewer.theme).canvas.as_rgb_tuple()[:3]) / 255
    found = np.full(len(world), float(luminance_of(canvas)))
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.visible and layer.opacity > 0.5:
            _look_up(layer, world, found)
    return found


def _look_up(layer: Any, world: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    pixels = layer.data[-1] if layer.multiscale else layer.data
    if not isinstance(pixels, np.ndarray) or layer.ndim > world.shape[1]:
        return
    at = _to_data(layer, world[:, world.shape[1] - layer.ndim :])
    full = layer.data[0] if layer.multiscale else pixels
    shape = np.array(pixels.shape[: layer.ndim])
    at = at * shape / np.array(full.shape[: layer.ndim])
    index = np.round(at).astype(int)
    inside = np.all((index >= 0) & (index < shape), axis=1)
    values = np.asarray(pixels[tuple(index[inside].T)], dtype=float)
    if layer.rgb:
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
        found[inside] = luminance_of(values / top)
        return
    low, high = layer.contrast_limits
    values = np.clip((values - low) / max(high - low, 1e-12), 0, 1) ** layer.gamma
    found[inside] = luminance_of(layer.colormap.map(np.nan_to_num(values)))


def _to_data(layer: Any, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (N, ndim) world positions at once; a layer's transform is affine."""
    origin = np.asarray(layer.world_to_data(np.zeros(layer.ndim)))
    steps = [layer.world_to_data(axis) for axis in np.eye(layer.ndim)]
    columns = np.array(steps) - origin
    mapped: NDArray[np.float64] = world @ columns + origin
    return mapped


def _contrast(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    high, low = np.maximum(one, other), np.minimum(one, other)
    ratio: NDArray[np.float64] = (high + 0.05) / (low + 0.05)
    return ratio
