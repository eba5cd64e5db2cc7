"""Labels and marks that follow the zoom: as many labels as fit, marks of constant size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qtpy.QtCore import QTimer
from qtpy.QtGui import QFont, QFontMetricsF, QGuiApplication

from napari_oneshot_lmk.widgets.layers import label_text, marks
from napari_oneshot_lmk.widgets.layers.image_view import affine_parts
from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of
from napari_oneshot_lmk.widgets.layers.points import is_ours, is_preview
from napari_oneshot_lmk.widgets.qt.connections import Flag
from napari_oneshot_lmk.widgets.settings import preferences

FIRST, UNSURE, REST = 0, 1, 2
"""Priorities: selected or next to be placed, unsure, all others."""


def choose_labels(
    boxes: ArrayLike, priority: ArrayLike, marks: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """(N,) which of N labels to show so that none overlap, the important ones first.

    ``boxes`` and ``marks`` are (N, 4), (top, left, bottom, right) on the screen in pixels;
    of ``priority``, (N,), lower comes first, and of equals the earlier row. A label is not
    drawn over the mark of another row, except one of priority ``FIRST``.
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
    both = (one[..., :2] < other[..., 2:]) & (other[..., :2] < one[..., 2:])
    return np.asarray(both.all(axis=-1))


ON_DARK = (1.0, 0.82, 0.96, 1.0)
ON_LIGHT = (0.28, 0.0, 0.20, 1.0)
"""Both of a hue that no grey image contains; one of the two is legible on any grey."""


def text_colours(luminance: ArrayLike) -> NDArray[np.float64]:
    """Map (N,) luminances behind labels to (N, 4) RGBA with the better contrast."""
    behind = np.asarray(luminance, dtype=float).reshape(-1)

    def contrast(colour: ArrayLike) -> NDArray[np.float64]:
        """Contrast ratio (WCAG)."""
        own = luminance_of(colour)
        return np.asarray((np.maximum(behind, own) + 0.05) / (np.minimum(behind, own) + 0.05))

    light = contrast(ON_DARK) >= contrast(ON_LIGHT)
    return np.where(light[:, None], ON_DARK, ON_LIGHT)


def luminance_of(rgba: ArrayLike) -> NDArray[np.float64]:
    """Relative luminance (WCAG) of (..., 3 or 4) sRGB colours in 0..1."""
    rgb = np.asarray(rgba, dtype=float)[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ (0.2126, 0.7152, 0.0722))


def luminance_at(viewer: Any, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) luminance, 0 black to 1 white, of what a viewer shows at (N, ndim) world positions.

    That is the topmost visible image there whose pixels are in memory, else the theme's
    canvas.
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
    """Write the luminances of an image into ``found`` where it covers the positions."""
    pixels = layer.data[-1] if layer.multiscale else layer.data
    if not isinstance(pixels, np.ndarray) or layer.ndim > world.shape[1]:
        return
    origin, steps = affine_parts(layer.world_to_data, layer.ndim)
    at = world[:, world.shape[1] - layer.ndim :] @ steps + origin
    full = layer.data[0] if layer.multiscale else pixels
    shape = np.array(pixels.shape[: layer.ndim])
    index = np.round(at * shape / np.array(full.shape[: layer.ndim])).astype(int)
    inside = np.all((index >= 0) & (index < shape), axis=1)
    values = np.asarray(pixels[tuple(index[inside].T)], dtype=float)
    if layer.rgb:
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
        found[inside] = luminance_of(values / top)
        return
    low, high = layer.contrast_limits
    values = np.clip((values - low) / max(high - low, 1e-12), 0, 1) ** layer.gamma
    found[inside] = luminance_of(layer.colormap.map(np.nan_to_num(values)))


WAIT_MS = 30
"""Changes within this time are handled together."""
GAP_PX = 2.0
"""Between a mark and its label."""
DROP_PX = 11.0
"""How far below its mark a label hangs, so that its letters are level with it."""
IMAGE_EVENTS = ("contrast_limits", "gamma", "colormap", "visible", "opacity")
POINTS_EVENTS = ("data", "features", "feature_defaults", "visible")


class LabelDeclutter:
    """Shows as many labels as fit at each zoom, and keeps the size of the marks.

    The selected landmark and the next to be placed come first, then unsure ones, then
    the rest in their order. A label without room appears when the user zooms in. Labels
    are light on dark ground and dark on light ground. All points layers of this plugin
    are followed, also those added later. The viewer does not keep this object alive.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._drawing = Flag()
        self._timer = QTimer(singleShot=True, interval=WAIT_MS)
        self._timer.timeout.connect(self.refresh)
        layers, dims = viewer.layers.events, viewer.dims.events
        layers.inserted.connect(self._on_inserted)
        layers.removed.connect(self._on_removed)
        zoomed, themed = camera_of(viewer).events.zoom, viewer.events.theme
        for event in (layers.reordered, zoomed, dims.current_step, dims.ndisplay, themed):
            event.connect(self._later)
        for layer in viewer.layers:
            self._follow(layer)
        self._later()

    def refresh(self) -> None:
        """Update marks and labels at once."""
        self._timer.stop()
        zoom = float(camera_of(self._viewer).zoom)
        px = preferences().point_size_px
        visible = (la for la in self._viewer.layers if _is_points(la) and la.visible)
        shown = [la for la in visible if len(la.data) and is_ours(la.metadata)]
        shown = [la for la in shown if not is_preview(la.metadata)]
        # Changes made here must not trigger another update.
        with self._drawing:
            for layer in shown:
                marks.fit_size(layer, px, zoom)
            if shown and self._viewer.dims.ndisplay == 2:
                _show_labels(self._viewer, shown, zoom, px)

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
        # Not restarted while it runs: labels are updated during a long zoom, too.
        if not self._drawing and not self._timer.isActive():
            self._timer.start()


def _show_labels(viewer: Any, layers: list[Any], zoom: float, px: float) -> None:
    """Show the labels that fit, each in the colour that is legible where it is drawn."""
    texts = [_texts(layer) for layer in layers]
    placed = [_to_world(layer, viewer) for layer in layers]
    world = np.vstack([at for at, _ in placed])
    in_slice = np.concatenate([here for _, here in placed])
    screen = world[:, -2:] * zoom
    sizes = np.array([text_size(text) for of_layer in texts for text in of_layer])[:, ::-1]
    right_of_mark = np.array([0, px / 2 + GAP_PX])
    start = screen + right_of_mark - sizes * (0.5, 0)
    boxes = np.hstack([start, start + sizes])
    priority = np.concatenate([_priority(layer) for layer in layers])
    around = np.hstack([screen - px / 2, screen + px / 2])
    shown = np.zeros(len(boxes), dtype=bool)
    shown[in_slice] = choose_labels(boxes[in_slice], priority[in_slice], around[in_slice])
    colours = text_colours(_luminance_behind(viewer, boxes, world, zoom))
    ends = np.cumsum([len(of_layer) for of_layer in texts])
    for layer, of_layer, end in zip(layers, texts, ends, strict=True):
        rows = slice(end - len(of_layer), end)
        strings = [t if s else "" for t, s in zip(of_layer, shown[rows], strict=True)]
        _, steps = affine_parts(layer.world_to_data, layer.ndim)
        shift = (right_of_mark + np.array((DROP_PX, 0))) / zoom @ steps[-2:]
        label_text.show_texts(layer, strings, colours[rows], shift)


def _luminance_behind(
    viewer: Any, boxes: NDArray[np.float64], world: NDArray[np.float64], zoom: float
) -> NDArray[np.float64]:
    """(N,) luminance behind each label, the mean of a few places."""
    parts = np.array([(0.5, 0.1), (0.25, 0.5), (0.75, 0.5), (0.5, 0.9)])
    spots = boxes[:, None, :2] + parts * (boxes[:, None, 2:] - boxes[:, None, :2])
    at = np.repeat(world[:, None], len(parts), axis=1)
    at[..., -2:] = spots / zoom
    flat = luminance_at(viewer, at.reshape(-1, world.shape[-1]))
    return np.asarray(flat.reshape(-1, len(parts)).mean(axis=1))


@lru_cache(maxsize=4096)
def text_size(text: str) -> tuple[float, float]:
    """Width and height of a label on the screen in pixels."""
    font = QFont(QGuiApplication.font())
    # The canvas uses 96 dots per inch, whatever the screen's resolution.
    font.setPixelSize(round(label_text.TEXT_SIZE * 96 / 72))
    metrics = QFontMetricsF(font)
    return 1.08 * metrics.horizontalAdvance(text) + 2, metrics.height()


def _is_points(layer: Any) -> bool:
    return hasattr(layer, "canvas_size_limits")


def _emitters(layer: Any) -> list[Any]:
    """Return the events of a layer that labels or marks depend on."""
    if _is_points(layer):
        # Of all points layers: one that is not ours yet can become ours.
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
    """(N, viewer's ndim) world positions, and which are in the slice that is shown."""
    data = np.asarray(layer.data, dtype=float)
    origin, steps = affine_parts(layer.data_to_world, layer.ndim)
    point = np.asarray(viewer.dims.point, dtype=float)
    world = np.tile(point, (len(data), 1))
    world[:, -layer.ndim :] = data @ steps + origin
    off = np.abs(data - np.asarray(layer.world_to_data(point[-layer.ndim :])))[:, :-2]
    return world, np.all(off <= 0.5, axis=1) & np.asarray(layer.shown)
