"""Labels and marks that follow the zoom: as many labels as fit, marks of one size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtGui import QFont, QFontMetricsF, QGuiApplication

from napari_oneshot_lmk.widgets.layers import label_text, marks
from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of
from napari_oneshot_lmk.widgets.layers.points import is_ours, is_preview
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FIRST, UNSURE, REST = 0, 1, 2
"""Priorities: selected or next to be placed, unsure, all others."""


def choose_labels(
    boxes: ArrayLike, priority: ArrayLike, marks: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Choose labels that do not overlap, the important ones first.

    Parameters
    ----------
    boxes : (N, 4) array
        Each label's (top, left, bottom, right) on the screen, in pixels.
    priority : (N,) array
        Lower comes first; of equals the earlier row.
    marks : (N, 4) array, optional
        The mark of each row. A label is not drawn over the mark of another row,
        except one of priority ``FIRST``, which gives way to earlier labels only.

    Returns
    -------
    (N,) array of bool
        Which labels to show. No two of them overlap; boxes that only touch do not.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    priority = np.asarray(priority).reshape(-1)
    shown = np.zeros(len(boxes), dtype=bool)
    free = np.ones(len(boxes), dtype=bool)
    if marks is not None and len(boxes):
        marks = np.asarray(marks, dtype=float).reshape(-1, 4)
        covers = _overlap(boxes[:, None], marks[None])
        np.fill_diagonal(covers, False)
        free = ~covers.any(axis=1) | (priority == FIRST)
    for row in np.argsort(priority, kind="stable"):
        if free[row]:
            shown[row] = True
            free &= ~_overlap(boxes, boxes[row])
    return shown


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes have more than an edge in common; (..., 4) each, broadcast."""
    overlap: NDArray[np.bool_] = (
        (one[..., 0] < other[..., 2])
        & (other[..., 0] < one[..., 2])
        & (one[..., 1] < other[..., 3])
        & (other[..., 1] < one[..., 3])
    )
    return overlap


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


WAIT_MS = 30
"""Changes that come within this time are answered together."""
GAP_PX = 2.0
"""Between a mark and its label."""
DROP_PX = 11.0
"""How far below its mark a label hangs, so that its letters stand level with it."""
IMAGE_EVENTS = ("contrast_limits", "gamma", "colormap", "visible", "opacity")
POINTS_EVENTS = ("data", "features", "feature_defaults", "visible")


class LabelDeclutter:
    """Shows as many labels as fit at each zoom, and keeps the marks' size.

    The selected landmark and the one that is placed next come first, then unsure
    ones, then the rest in their order. A label that has no room appears when the
    user zooms in. Labels are light on dark ground and dark on light ground.

    Parameters
    ----------
    viewer : Viewer
        Whose points layers of ours are looked after, those that come later too. It
        does not keep this object alive.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._drawing = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self.refresh)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.events.reordered.connect(self._later)
        camera_of(viewer).events.zoom.connect(self._later)
        viewer.dims.events.current_step.connect(self._later)
        viewer.dims.events.ndisplay.connect(self._later)
        viewer.events.theme.connect(self._later)
        for layer in viewer.layers:
            self._follow(layer)
        self._later()

    def refresh(self) -> None:
        """Decide anew, at once, what is shown."""
        self._timer.stop()
        zoom = float(camera_of(self._viewer).zoom)
        px = preferences().point_size_px
        shown = [
            layer
            for layer in self._viewer.layers
            if _is_points(layer)
            and is_ours(layer.metadata)
            and not is_preview(layer.metadata)
            and layer.visible
            and len(layer.data)
        ]
        # What is changed here is no reason to decide once more.
        self._drawing = True
        try:
            for layer in shown:
                marks.fit_size(layer, px, zoom)
            if shown and self._viewer.dims.ndisplay == 2:
                _Labels(self._viewer, shown, zoom, px).show()
        finally:
            self._drawing = False

    def _follow(self, layer: Any) -> None:
        for emitter in _emitters(layer):
            emitter.connect(self._later)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self._later()

    def _on_removed(self, event: Any) -> None:
        for emitter in _emitters(event.value):
            emitter.disconnect(self._later)
        self._later()

    def _later(self, event: Any = None) -> None:
        # Not started anew while it runs: a long zoom is followed on the way.
        if not self._drawing and not self._timer.isActive():
            self._timer.start()


class _Labels:
    """All labels of the layers that are shown, as boxes on the screen."""

    def __init__(self, viewer: Any, layers: list[Any], zoom: float, px: float) -> None:
        self._layers = layers
        self._viewer = viewer
        self._zoom = zoom
        self._texts = [_texts(layer) for layer in layers]
        self._offset = px / 2 + GAP_PX
        world = [_to_world(layer, viewer) for layer in layers]
        self._world = np.vstack([full for full, _ in world])
        self._in_slice = np.concatenate([here for _, here in world])
        self._screen = self._world[:, -2:] * zoom
        self._sizes = np.array([text_size(t) for texts in self._texts for t in texts])
        self._priority = np.concatenate([_priority(layer) for layer in layers])
        self._half_mark = px / 2

    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) top, left, bottom, right of each label on the screen."""
        y, x = self._screen.T
        width, height = self._sizes.T
        top, left = y - height / 2, x + self._offset
        return np.stack([top, left, top + height, left + width], axis=1)

    def show(self) -> None:
        """Show the labels that fit, each in the colour that reads where it stands."""
        boxes = self.boxes()
        here = self._in_slice
        marks = np.hstack([self._screen - self._half_mark, self._screen + self._half_mark])
        shown = np.zeros(len(boxes), dtype=bool)
        shown[here] = choose_labels(boxes[here], self._priority[here], marks[here])
        colours = text_colours(self._behind(boxes))
        start = 0
        for layer, texts in zip(self._layers, self._texts, strict=True):
            rows = slice(start, start + len(texts))
            start += len(texts)
            strings = [t if s else "" for t, s in zip(texts, shown[rows], strict=True)]
            label_text.show_texts(layer, strings, colours[rows], self._shift(layer))

    def _behind(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) luminance behind each label, the mean of a few places."""
        parts = np.array([(0.5, 0.1), (0.25, 0.5), (0.75, 0.5), (0.5, 0.9)])
        spots = boxes[:, None, :2] + parts * (boxes[:, None, 2:] - boxes[:, None, :2])
        world = np.repeat(self._world[:, None], len(parts), axis=1)
        world[..., -2:] = spots / self._zoom
        flat = luminance_at(self._viewer, world.reshape(-1, world.shape[-1]))
        mean: NDArray[np.float64] = flat.reshape(-1, len(parts)).mean(axis=1)
        return mean

    def _shift(self, layer: Any) -> NDArray[np.float64]:
        """Return the way from a point to where its label hangs, in data units."""
        world = np.zeros(layer.ndim)
        world[-2:] = np.array([DROP_PX, self._offset]) / self._zoom
        origin = layer.world_to_data(np.zeros(layer.ndim))
        shift: NDArray[np.float64] = np.asarray(layer.world_to_data(world)) - origin
        return shift


@lru_cache(maxsize=4096)
def text_size(text: str) -> tuple[float, float]:
    """Width and height of a label on the screen in pixels."""
    font = QFont(QGuiApplication.font())
    # The canvas counts 96 dots an inch, whatever the screen says.
    font.setPixelSize(round(label_text.TEXT_SIZE * 96 / 72))
    metrics = QFontMetricsF(font)
    return 1.08 * metrics.horizontalAdvance(text) + 2, metrics.height()


def _is_points(layer: Any) -> bool:
    return hasattr(layer, "canvas_size_limits")


def _emitters(layer: Any) -> list[Any]:
    """Return what a layer tells that labels or marks depend on."""
    if _is_points(layer):
        # Of any points layer: one that is not ours yet can become ours.
        more = layer.selected_data.events.items_changed, layer.text.events.values
        return [*(getattr(layer.events, name) for name in POINTS_EVENTS), *more]
    if hasattr(layer, "contrast_limits"):
        return [getattr(layer.events, name) for name in IMAGE_EVENTS]
    return []


def _texts(layer: Any) -> list[str]:
    features = layer.features
    if not {"label", "number", "unsure", "source"} <= set(features.columns):
        return [str(label) for label in features.get("label", [""] * len(layer.data))]
    return label_text.full_texts(features, str(layer.metadata.get(label_text.TEXTS, "names")))


def _priority(layer: Any) -> NDArray[np.int_]:
    features = layer.features
    priority = np.full(len(layer.data), REST)
    if {"unsure", "source"} <= set(features.columns):
        priority[label_text.unsure_rows(features)] = UNSURE
    defaults = layer.feature_defaults
    if "label" in defaults and "label" in features and str(layer.mode) == "add":
        following = str(defaults["label"].iloc[0])
        priority[features["label"].astype(str).to_numpy() == following] = FIRST
    priority[[row for row in layer.selected_data if row < len(priority)]] = FIRST
    return priority


def _to_world(layer: Any, viewer: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, viewer's ndim) world positions, and which lie in the slice that is shown."""
    data = np.asarray(layer.data, dtype=float)
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    steps = [layer.data_to_world(axis) for axis in np.eye(layer.ndim)]
    world = np.tile(np.asarray(viewer.dims.point, dtype=float), (len(data), 1))
    world[:, -layer.ndim :] = data @ (np.array(steps) - origin) + origin
    point = np.asarray(viewer.dims.point, dtype=float)[-layer.ndim :]
    here = np.abs(data - np.asarray(layer.world_to_data(point)))[:, :-2]
    return world, np.all(here <= 0.5, axis=1) & np.asarray(layer.shown)
