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

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.landmarks.landmark import Source
from napari_oneshot_lmk.widgets import mark_size
from napari_oneshot_lmk.widgets.colours import (
    MARK_DARK,
    MARK_LIGHT,
    UNSURE_COLOUR,
    landmark_colours,
    score_colours,
)
from napari_oneshot_lmk.widgets.mark_size import marker_hit
from napari_oneshot_lmk.widgets.points import METADATA, label_table, to_metadata
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks

__all__ = [
    "annotation_look",
    "apply_look",
    "found_look",
    "full_texts",
    "landmark_look",
    "marker_hit",
    "point_size",
]

NAMES_UP_TO = 12
"""With more points than this, names hide the anatomy: numbers stand there."""

TEXTS = "napari-oneshot-lmk-text"
"""Key in a layer's metadata: "names" or "numbers", what its labels say."""

TEXT_COLOUR = "#e0007f"
"""As far from white as from black (4.6 : 1), and a hue that no grey image holds."""
TEXT_SIZE = 11
TEXT_ANCHOR = "upper_left"
"""napari hangs a text's lower left corner on it, above and right of the point."""

NOT_YET = " "
"""Text of a point that napari has just added; an empty one is hidden on purpose."""

RING, DIAMOND = "ring", "diamond"
BORDER = {RING: 0.06, DIAMOND: 0.15}
"""Width of the lines, as a part of the mark's diameter."""


def landmark_look(
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
    texts = _text_of(landmarks, text)
    return {
        "data": data,
        "features": features,
        "feature_defaults": _defaults(landmarks),
        # An empty layer takes no empty array for a colour.
        "face_color": faces if len(placed) else "transparent",
        "border_color": borders if len(placed) else MARK_DARK,
        "border_width": _border_width(symbols) if len(placed) else BORDER[RING],
        "symbol": symbols if len(placed) else RING,
        "size": mark_size.first_size(landmarks, data, px),
        "canvas_size_limits": mark_size.canvas_limits(px),
        "text": {
            "string": _strings(full_texts(features, texts)),
            "color": TEXT_COLOUR,
            "size": TEXT_SIZE,
            "anchor": TEXT_ANCHOR,
        },
        "metadata": {METADATA: to_metadata(landmarks), TEXTS: texts},
    }


def apply_look(
    layer: Any, landmarks: Landmarks, data: ArrayLike, text: str = "automatic"
) -> None:
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
        As in ``landmark_look``.
    """
    features = _features(landmarks)
    data = np.asarray(data, dtype=float).reshape(len(features), layer.ndim)
    texts = _text_of(landmarks, text)
    strings = _still_hidden(layer, features, full_texts(features, texts))
    moved = not np.array_equal(np.asarray(layer.data), data)
    renamed = _labels(layer.features) != list(features["label"])
    selected = _selected_labels(layer) if renamed else set()
    if renamed and layer.selected_data:
        # Rows get another meaning, and napari paints the selected ones anew with
        # whatever is set for the next point.
        layer.selected_data = set()
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
    layer.metadata[TEXTS] = texts
    show_texts(layer, strings)
    if selected:
        rows = [n for n, name in enumerate(features["label"]) if name in selected]
        layer.selected_data = set(rows)


def full_texts(features: pd.DataFrame, texts: str) -> list[str]:
    """Label of each row: its name or number, with a question mark where unsure.

    Parameters
    ----------
    features : DataFrame
        With the columns ``label``, ``number``, ``unsure`` and ``source``.
    texts : str
        "names" or "numbers".
    """
    column = features["number" if texts == "numbers" else "label"]
    return [
        f"{value}?" if doubt else str(value)
        for value, doubt in zip(column, unsure_rows(features), strict=True)
    ]


def unsure_rows(features: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) whether a person should still look; not where one has had his say."""
    unsure: NDArray[np.bool_] = features["unsure"].to_numpy(dtype=bool)
    return unsure & features["source"].isin(["", Source.DETECTED]).to_numpy()


def show_texts(
    layer: Any,
    strings: Sequence[str],
    colours: NDArray[np.float64] | None = None,
    shift: NDArray[np.float64] | None = None,
) -> None:
    """Write a text beside each point.

    Parameters
    ----------
    layer : napari Points
        With N points.
    strings : sequence of str
        N texts; an empty one where there is to be none.
    colours : (N, 4) array, optional
        Their colours; as they are when not given.
    shift : (ndim,) array, optional
        From a point to the left end of its text, in data units.
    """
    text = layer.text
    shown = [str(value) for value in np.atleast_1d(text.values)]
    anew = not hasattr(text.string, "array") or shown != list(strings)
    if anew:
        text.string = _strings(strings)
    if colours is not None and not _same_colours(text.color, colours):
        text.color = {"array": colours, "default": TEXT_COLOUR}
        anew = True
    if anew:
        # Only now does the manager make the texts and their colours.
        text.refresh(layer.features)
    if shift is not None and not np.allclose(text.translation, shift, rtol=1e-3):
        text.translation = shift
    if text.size != TEXT_SIZE:
        text.size = TEXT_SIZE
    if str(text.anchor) != TEXT_ANCHOR:
        text.anchor = TEXT_ANCHOR


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


def _defaults(landmarks: Landmarks, name: str = "") -> pd.DataFrame:
    """One row for the next point: a name, and nothing known of it."""
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
    return _defaults(landmarks, name)


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


def _labels(features: pd.DataFrame) -> list[str]:
    return [str(v) for v in features["label"]] if "label" in features else []


def _selected_labels(layer: Any) -> set[str]:
    labels = _labels(layer.features)
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
    limits = mark_size.canvas_limits(px)
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
    mark_size.fit_size(layer, px)


# -- the labels ------------------------------------------------------------------------


def _text_of(landmarks: Landmarks, text: str) -> str:
    crowded = len(landmarks.placed) > NAMES_UP_TO
    by_number = text == "numbers" or (text == "automatic" and crowded)
    return "numbers" if by_number else "names"


def _still_hidden(
    layer: Any, features: pd.DataFrame, texts: Sequence[str]
) -> list[str]:
    """Leave out the labels that were left out, until somebody decides anew."""
    shown = [str(value) for value in np.atleast_1d(layer.text.values)]
    before = _labels(layer.features)
    if not hasattr(layer.text.string, "array") or len(shown) != len(before):
        return list(texts)
    hidden = {name for name, value in zip(before, shown, strict=True) if not value}
    return [
        "" if name in hidden else text
        for name, text in zip(features["label"], texts, strict=True)
    ]


def _same_colours(encoding: Any, colours: NDArray[np.float64]) -> bool:
    held = np.asarray(getattr(encoding, "array", ()))
    return held.shape == colours.shape and np.allclose(held, colours, atol=1e-3)


def _strings(texts: Sequence[str]) -> dict[str, Any]:
    return {"array": np.array(texts, dtype=np.str_), "default": NOT_YET}


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


# -- earlier names ---------------------------------------------------------------------


def point_size(
    shape_yx: tuple[int, int], percent: float = mark_size.FIRST_PERCENT
) -> float:
    """Diameter of a point in pixels of an image, before a window says its zoom."""
    return max(1.0, percent / 100 * max(shape_yx))


def annotation_look(
    landmarks: Landmarks, data: ArrayLike, labels: Sequence[str], size: float
) -> dict[str, Any]:
    """``landmark_look``; labels and size follow from the landmarks."""
    return landmark_look(landmarks, data, "names")


def found_look(
    landmarks: Landmarks, data: ArrayLike, size: float, text: str = "automatic"
) -> dict[str, Any]:
    """``landmark_look``; the size follows from the zoom."""
    return landmark_look(landmarks, data, text)
