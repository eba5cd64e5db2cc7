"""How a points layer shows landmarks: thin marks of constant size on the screen.

A mark is open in the middle, so that an incisal tip stays visible under it, and is
drawn in two tones, light beside dark, so that it is visible on bone, on the background
and on everything between. Its shape says where the point comes from:

- a coloured ring: detected, coloured by score;
- a diamond: detected, and unsure;
- a white double ring: placed or corrected by a person.

Where nothing was detected, every landmark has a ring in its own colour.
"""

from __future__ import annotations

import colorsys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.widgets.layers import label_text, marks
from napari_oneshot_lmk.widgets.layers.marks import marker_hit as marker_hit
from napari_oneshot_lmk.widgets.layers.points import METADATA, label_table, to_metadata
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks


# Orange to blue is legible with any colour vision, and on black and white.
SCORE_STOPS = np.array([[1.0, 0.45, 0.0], [1.0, 0.86, 0.35], [0.20, 0.80, 1.0]], dtype=float)
UNKNOWN_SCORE = (0.75, 0.75, 0.75)
UNSURE_COLOUR = (1.0, 0.18, 0.10, 1.0)
"""Red enough to be visible on bone; its mark differs in shape, too."""

MARK_DARK = (0.0, 0.0, 0.0, 0.7)
MARK_LIGHT = (1.0, 1.0, 1.0, 1.0)


def landmark_colours(names: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """Return the colour (RGBA, 0..1) of each name, by its place in the list."""
    colours = {}
    for index, name in enumerate(names):
        # Steps of the golden ratio keep neighbours in the list apart in hue.
        hue = (0.08 + index * 0.618033988749895) % 1.0
        # Blue looks dark: it would be invisible on a black background.
        lightness = 0.68 if 0.55 < hue < 0.8 else 0.58
        colours[name] = (*colorsys.hls_to_rgb(hue, lightness, 0.95), 1.0)
    return colours


def score_colours(scores: ArrayLike) -> NDArray[np.float64]:
    """Map (N,) scores in 0..1 to (N, 4) RGBA; grey where there is no score."""
    values = np.asarray(scores, dtype=float).reshape(-1)
    known = np.nan_to_num(np.clip(values, 0.0, 1.0))
    stops = np.linspace(0.0, 1.0, len(SCORE_STOPS))
    rgb = np.stack([np.interp(known, stops, c) for c in SCORE_STOPS.T], axis=-1)
    rgb[np.isnan(values)] = UNKNOWN_SCORE
    return np.hstack([rgb, np.ones((len(rgb), 1))])


def css(rgba: Sequence[float]) -> str:
    """Return a colour for a style sheet."""
    return "#" + "".join(f"{round(255 * v):02x}" for v in rgba[:3])


RING, DIAMOND = "ring", "diamond"
BORDER = {RING: 0.06, DIAMOND: 0.15}
"""Width of the lines, as a fraction of the mark's diameter."""


def landmark_style(
    landmarks: Landmarks, data: ArrayLike, text: str = "automatic"
) -> dict[str, Any]:
    """Keyword arguments of a points layer that shows landmarks of any source.

    Parameters
    ----------
    landmarks : Landmarks
        All of them; also those that are not placed.
    data : ndarray, (N, ndim)
        Data coordinates of the placed ones, in order.
    text : {"automatic", "names", "numbers"}
        What is beside a point; automatic goes by how many there are.
    """
    data = np.asarray(data, dtype=float)
    features = _features(landmarks)
    faces, borders, symbols, widths = _marks(landmarks)
    px = preferences().point_size_px
    texts = label_text.kind_of_text(landmarks, text)
    strings = label_text.encoding_of(label_text.full_texts(features, texts))
    # An empty layer takes no empty array for a colour.
    some = len(symbols) > 0
    return {
        "data": data,
        "features": features,
        "feature_defaults": next_point(landmarks),
        "face_color": faces if some else "transparent",
        "border_color": borders if some else "black",
        "border_width": widths if some else BORDER[RING],
        "symbol": symbols if some else RING,
        "size": marks.first_size(landmarks, data, px),
        "canvas_size_limits": marks.canvas_limits(px),
        "text": {**label_text.STYLE, "string": strings},
        "metadata": {METADATA: to_metadata(landmarks), label_text.TEXTS: texts},
    }


def apply_style(layer: Any, landmarks: Landmarks, data: ArrayLike, text: str = "automatic") -> None:
    """Make a points layer show exactly these landmarks.

    What is equal already is not set again and emits no event. Selected landmarks stay
    selected where they are still shown. Parameters as in `landmark_style`.
    """
    features = _features(landmarks)
    data = np.asarray(data, dtype=float).reshape(len(features), layer.ndim)
    texts = label_text.kind_of_text(landmarks, text)
    strings = label_text.still_hidden(layer, features, label_text.full_texts(features, texts))
    before = label_text.labels_of(layer.features)
    renamed = before != list(features["label"])
    selected = {before[row] for row in layer.selected_data if renamed and row < len(before)}
    if renamed and layer.selected_data:
        # Rows change their meaning, and napari would give the selected ones the colour
        # that is set for the next point.
        layer.selected_data = set()
    # A hidden layer must not draw its text: napari would look for the texts of the points
    # that it had when it was last visible. All is drawn when it is shown again.
    with nullcontext() if layer.visible else layer.text.events.blocker_all():
        _colour_directly(layer)
        if not np.array_equal(np.asarray(layer.data), data):
            layer.data = data
            if not layer.visible:
                # napari slices it only when it is shown, and would look for points that it has
                # no more as soon as a colour changes.
                layer.set_view_slice()
        if not _same_table(layer.features, features):
            layer.features = features
        # The next point keeps its name, where the list still has it.
        following = label_text.labels_of(layer.feature_defaults)
        defaults = next_point(landmarks, following[0] if following else "")
        if not _same_table(layer.feature_defaults, defaults):
            layer.feature_defaults = defaults
        _paint(layer, landmarks)
        layer.metadata[METADATA] = to_metadata(landmarks)
        layer.metadata[label_text.TEXTS] = texts
        label_text.show_texts(layer, strings)
    if selected:
        layer.selected_data = {n for n, name in enumerate(features["label"]) if name in selected}


def _features(landmarks: Landmarks) -> pd.DataFrame:
    placed, names = landmarks.placed, landmarks.names
    number = {name: place for place, name in enumerate(names, start=1)}
    features = label_table([p.name for p in placed], names)
    features["number"] = np.array([number[p.name] for p in placed], dtype=int)
    features["score"] = _numbers(p.score for p in placed)
    features["unsure"] = np.array([p.unsure for p in placed], dtype=bool)
    for key in ("shape_residual_mm", "predicted_error_px", "radius_90_px"):
        features[key] = _numbers(getattr(p, key) for p in placed)
    features["source"] = np.array([str(p.source or "") for p in placed], dtype=object)
    features["author"] = np.array([p.author for p in placed], dtype=object)
    return features


def next_point(landmarks: Landmarks, name: str = "") -> pd.DataFrame:
    """Return ``feature_defaults`` that give the next point a name, and nothing else.

    ``name`` is one of the landmarks' names; the first if it is none.
    """
    names = landmarks.names
    name = name if name in names else (names[0] if names else "")
    number, blank = names.index(name) + 1 if names else 0, np.array([""], dtype=object)
    return (
        label_table([name] if names else [], names)
        .reindex([0])
        .assign(number=number, score=np.nan, unsure=False, shape_residual_mm=np.nan)
        .assign(predicted_error_px=np.nan, radius_90_px=np.nan, source=blank, author=blank)
    )


def _same_table(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Compare columns, values and the names of the list; column types may differ."""
    if list(one.columns) != list(other.columns) or str(one["label"].dtype) != "category":
        return False
    if list(one["label"].cat.categories) != list(other["label"].cat.categories):
        return False
    plain = [table.reset_index(drop=True).astype(object) for table in (one, other)]
    return bool(plain[0].equals(plain[1]))


def _marks(landmarks: Landmarks) -> tuple[NDArray[Any], ...]:
    """(N, 4) face and border colours, (N,) symbols and line widths of the placed ones."""
    placed = landmarks.placed
    detected = np.array([_is_detected(p) for p in placed], dtype=bool)
    unsure = detected & np.array([p.unsure for p in placed], dtype=bool)
    faces = np.tile(np.array(MARK_DARK), (len(placed), 1))
    borders = faces.copy()
    symbols = np.full(len(placed), RING, dtype=object)
    if any(p.follows_detection for p in landmarks):
        faces[detected] = score_colours(_numbers(p.score for p in placed))[detected]
        borders[~detected] = MARK_LIGHT
        faces[unsure] = 0.0
        borders[unsure] = UNSURE_COLOUR
        symbols[unsure] = DIAMOND
    elif len(placed):
        own = landmark_colours(landmarks.names)
        faces[:] = [own[p.name] for p in placed]
    return faces, borders, symbols, np.array([BORDER[symbol] for symbol in symbols], dtype=float)


def _is_detected(point: Landmark) -> bool:
    return point.source is Source.DETECTED or (point.source is None and point.score is not None)


def _colour_directly(layer: Any) -> None:
    """Remove colours that depend on a feature: a new name has none."""
    for what in ("face", "border"):
        if str(getattr(layer, f"{what}_color_mode")) != "direct":
            colours = np.array(getattr(layer, f"{what}_color"))
            setattr(layer, f"{what}_color", colours if len(colours) else "transparent")


def _paint(layer: Any, landmarks: Landmarks) -> None:
    """Set colours, shapes and sizes where they differ."""
    faces, borders, symbols, widths = _marks(landmarks)
    px = preferences().point_size_px
    limits = marks.canvas_limits(px)
    if tuple(layer.canvas_size_limits) != limits:
        layer.canvas_size_limits = limits
    if not len(faces):
        return
    if list(map(str, layer.symbol)) != list(symbols):
        layer.symbol = symbols
    if not layer.border_width_is_relative:
        layer.border_width = BORDER[RING]
        layer.border_width_is_relative = True
    wanted = {"face_color": faces, "border_color": borders, "border_width": widths}
    for name, values in wanted.items():
        if not np.allclose(getattr(layer, name), values):
            setattr(layer, name, values)
    marks.fit_size(layer, px)


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)
