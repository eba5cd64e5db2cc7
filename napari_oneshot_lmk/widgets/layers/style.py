"""How a points layer shows landmarks: thin marks of constant size on the screen.

A mark is open in the middle, so that an incisal tip stays visible under it, and is
drawn in two tones, light beside dark, so that it is seen on bone, on the background
and on everything between. Its form says where the point comes from:

- a coloured ring: detected, coloured by score;
- a diamond: detected, and unsure;
- a white double ring: placed or corrected by a person.

Where nothing was detected, every landmark has a ring in a colour of its own.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from contextlib import contextmanager
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


# Orange to blue stays readable with any colour vision, and on black and white.
SCORE_STOPS = np.array([[1.0, 0.45, 0.0], [1.0, 0.86, 0.35], [0.20, 0.80, 1.0]], dtype=float)
UNKNOWN_SCORE = (0.75, 0.75, 0.75)
UNSURE_COLOUR = (1.0, 0.18, 0.10, 1.0)
"""Red enough to be seen on bone; its mark has a form of its own besides."""

MARK_DARK = (0.0, 0.0, 0.0, 0.7)
MARK_LIGHT = (1.0, 1.0, 1.0, 1.0)

# Steps of the golden ratio keep neighbours in the list apart in hue.
GOLDEN = 0.618033988749895


def landmark_colours(names: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """Give every name of a list its colour (RGBA, 0..1), by its place in the list."""
    colours = {}
    for index, name in enumerate(names):
        hue = (0.08 + index * GOLDEN) % 1.0
        # Blue is dark to the eye: lift it, or it drowns in a black background.
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
    """Write a colour for a style sheet."""
    return "#" + "".join(f"{round(255 * v):02x}" for v in rgba[:3])


RING, DIAMOND = "ring", "diamond"
BORDER = {RING: 0.06, DIAMOND: 0.15}
"""Width of the lines, as a part of the mark's diameter."""


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
    text : str
        What stands beside a point: "names", "numbers" (its place in the list),
        or "automatic", which goes by how many there are.
    """
    placed = landmarks.placed
    data = np.asarray(data, dtype=float)
    features = _features(landmarks)
    faces, borders, symbols = _marks(landmarks)
    px = preferences().point_size_px
    texts = label_text.kind_of_text(landmarks, text)
    return {
        "data": data,
        "features": features,
        "feature_defaults": next_point(landmarks),
        # An empty layer takes no empty array for a colour.
        "face_color": faces if len(placed) else "transparent",
        "border_color": borders if len(placed) else "black",
        "border_width": _border_width(symbols) if len(placed) else BORDER[RING],
        "symbol": symbols if len(placed) else RING,
        "size": marks.first_size(landmarks, data, px),
        "canvas_size_limits": marks.canvas_limits(px),
        "text": {
            **label_text.STYLE,
            "string": label_text.encoding_of(label_text.full_texts(features, texts)),
        },
        "metadata": {METADATA: to_metadata(landmarks), label_text.TEXTS: texts},
    }


@contextmanager
def _texts_of_hidden(layer: Any) -> Iterator[None]:
    """Let napari draw no text of a hidden layer meanwhile.

    It would look for the texts of points that were there when it was last shown. All
    is drawn anew when the layer is shown again.
    """
    if layer.visible:
        yield
    else:
        with layer.text.events.blocker_all():
            yield


def apply_style(layer: Any, landmarks: Landmarks, data: ArrayLike, text: str = "automatic") -> None:
    """Make a points layer show exactly these landmarks.

    What is so already is left alone: no event tells of a change that is none. The
    landmarks that were selected stay selected where they are still shown.

    Parameters
    ----------
    layer : napari Points
        In any state.
    landmarks : Landmarks
        All of them; also those that are not placed.
    data : ndarray, (N, ndim)
        Data coordinates of the placed ones, in order.
    text : str
        As in ``landmark_style``.
    """
    features = _features(landmarks)
    data = np.asarray(data, dtype=float).reshape(len(features), layer.ndim)
    texts = label_text.kind_of_text(landmarks, text)
    strings = label_text.still_hidden(layer, features, label_text.full_texts(features, texts))
    moved = not np.array_equal(np.asarray(layer.data), data)
    renamed = label_text.labels_of(layer.features) != list(features["label"])
    selected = _selected_labels(layer) if renamed else set()
    if renamed and layer.selected_data:
        # Rows get another meaning, and napari paints the selected ones anew with
        # whatever is set for the next point.
        layer.selected_data = set()
    with _texts_of_hidden(layer):
        _colour_directly(layer)
        if moved or len(layer.data) != len(data):
            layer.data = data
        if not _same_table(layer.features, features):
            layer.features = features
        defaults = _kept_defaults(layer, landmarks)
        if not _same_table(layer.feature_defaults, defaults):
            layer.feature_defaults = defaults
        _paint(layer, landmarks)
        layer.metadata[METADATA] = to_metadata(landmarks)
        layer.metadata[label_text.TEXTS] = texts
        label_text.show_texts(layer, strings)
    if selected:
        rows = [n for n, name in enumerate(features["label"]) if name in selected]
        layer.selected_data = set(rows)


# -- the table -------------------------------------------------------------------------


def _features(landmarks: Landmarks) -> pd.DataFrame:
    placed, names = landmarks.placed, landmarks.names
    number = {name: place for place, name in enumerate(names, start=1)}
    features = label_table([p.name for p in placed], names)
    features["number"] = np.array([number[p.name] for p in placed], dtype=int)
    features["score"] = _numbers(p.score for p in placed)
    features["unsure"] = np.array([p.unsure for p in placed], dtype=bool)
    features["shape_residual_mm"] = _numbers(p.shape_residual_mm for p in placed)
    features["source"] = np.array([str(p.source or "") for p in placed], dtype=object)
    features["author"] = np.array([p.author for p in placed], dtype=object)
    return features


def next_point(landmarks: Landmarks, name: str = "") -> pd.DataFrame:
    """Return ``feature_defaults`` that give the next point a name, and nothing else.

    Parameters
    ----------
    landmarks : Landmarks
        Whose names count.
    name : str
        One of them; the first when it is none.
    """
    names = landmarks.names
    name = name if name in names else (names[0] if names else "")
    defaults = label_table([name] if names else [], names).reindex([0])
    defaults["number"] = [names.index(name) + 1 if names else 0]
    defaults["score"] = [np.nan]
    defaults["unsure"] = [False]
    defaults["shape_residual_mm"] = [np.nan]
    defaults["source"] = np.array([""], dtype=object)
    defaults["author"] = np.array([""], dtype=object)
    return defaults


def _kept_defaults(layer: Any, landmarks: Landmarks) -> pd.DataFrame:
    """Keep the name of the next point, where it still is one of the list."""
    held = layer.feature_defaults
    name = str(held["label"].iloc[0]) if "label" in held and len(held) else ""
    return next_point(landmarks, name)


def _same_table(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    if list(one.columns) != list(other.columns) or len(one) != len(other):
        return False
    if str(one["label"].dtype) != "category":
        return False
    known = list(one["label"].cat.categories) == list(other["label"].cat.categories)
    return known and all(
        list(one[c].fillna(-1.0)) == list(other[c].fillna(-1.0))
        if one[c].dtype.kind == "f"
        else list(one[c].astype(object)) == list(other[c].astype(object))
        for c in other.columns
    )


def _selected_labels(layer: Any) -> set[str]:
    labels = label_text.labels_of(layer.features)
    return {labels[row] for row in layer.selected_data if row < len(labels)}


# -- the marks -------------------------------------------------------------------------


def _marks(
    landmarks: Landmarks,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.object_]]:
    """(N, 4) face colours, (N, 4) border colours, (N,) symbols of the placed ones."""
    placed = landmarks.placed
    detected = np.array([_is_detected(p) for p in placed], dtype=bool)
    unsure = detected & np.array([p.unsure for p in placed], dtype=bool)
    faces = np.tile(np.array(MARK_DARK), (len(placed), 1))
    borders = faces.copy()
    symbols = np.full(len(placed), RING, dtype=object)
    if any(_is_detected(p) or p.source is Source.CORRECTED for p in landmarks):
        faces[detected] = score_colours(_numbers(p.score for p in placed))[detected]
        borders[~detected] = MARK_LIGHT
        faces[unsure] = 0.0
        borders[unsure] = UNSURE_COLOUR
        symbols[unsure] = DIAMOND
    elif len(placed):
        own = landmark_colours(landmarks.names)
        faces[:] = [own[p.name] for p in placed]
    return faces, borders, symbols


def _is_detected(point: Landmark) -> bool:
    if point.source is None:
        return point.score is not None
    return point.source is Source.DETECTED


def _border_width(symbols: NDArray[np.object_]) -> NDArray[np.float64]:
    return np.array([BORDER[symbol] for symbol in symbols], dtype=float)


def _colour_directly(layer: Any) -> None:
    """Take colours that follow a column away: a name that is new there has none."""
    for what in ("face", "border"):
        if str(getattr(layer, f"{what}_color_mode")) != "direct":
            colours = np.array(getattr(layer, f"{what}_color"))
            setattr(layer, f"{what}_color", colours if len(colours) else "transparent")


def _paint(layer: Any, landmarks: Landmarks) -> None:
    """Set colours, forms and sizes where they differ."""
    faces, borders, symbols = _marks(landmarks)
    px = preferences().point_size_px
    limits = marks.canvas_limits(px)
    if tuple(layer.canvas_size_limits) != limits:
        layer.canvas_size_limits = limits
    if not len(faces):
        return
    if not np.allclose(layer.face_color, faces):
        layer.face_color = faces
    if not np.allclose(layer.border_color, borders):
        layer.border_color = borders
    if [str(symbol) for symbol in layer.symbol] != list(symbols):
        layer.symbol = symbols
    if not layer.border_width_is_relative:
        layer.border_width = BORDER[RING]
        layer.border_width_is_relative = True
    if not np.allclose(layer.border_width, _border_width(symbols)):
        layer.border_width = _border_width(symbols)
    marks.fit_size(layer, px)


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)
