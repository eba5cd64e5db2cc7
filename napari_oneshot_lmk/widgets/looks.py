"""How points layers look: a colour a landmark, or a colour a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.widgets.colours import landmark_colours, score_colours
from napari_oneshot_lmk.widgets.points import METADATA, label_table, to_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_oneshot_lmk.landmarks.landmark import Landmarks

POINT_SIZE_PERCENT = 1.4
"""Diameter of a point, in percent of the image's longer side."""

NAMES_UP_TO = 12
"""With more points than this, names hide the anatomy: numbers stand there."""

TEXT = {
    "string": " {label}",
    # No grey image holds this hue, so it reads on bone as on background.
    "color": "#ff5fd2",
    "size": 9,
    "anchor": "upper_left",
}


def point_size(shape_yx: tuple[int, int], percent: float = POINT_SIZE_PERCENT) -> float:
    """Diameter of a point in pixels of an image."""
    return max(1.0, percent / 100 * max(shape_yx))


def annotation_look(
    landmarks: Landmarks, data: ArrayLike, labels: Sequence[str], size: float
) -> dict[str, Any]:
    """Keyword arguments of a points layer in which each name has its colour.

    Parameters
    ----------
    landmarks : Landmarks
        All of them; also those that are not placed.
    data : ndarray, (N, ndim)
        Data coordinates of those that are.
    labels : sequence of str
        Their N names.
    size : float
        Diameter in pixels.
    """
    names = landmarks.names
    return {
        "data": np.asarray(data, dtype=float),
        "features": label_table(labels, names),
        "feature_defaults": label_table(names[:1], names),
        "face_color": "label",
        "face_color_cycle": landmark_colours(names),
        "border_color": "black",
        "border_width": 0.15,
        "symbol": "disc",
        "size": size,
        "text": dict(TEXT),
        "metadata": {METADATA: to_metadata(landmarks)},
    }


def found_look(
    landmarks: Landmarks, data: ArrayLike, size: float, text: str = "automatic"
) -> dict[str, Any]:
    """Keyword arguments of a points layer coloured by score; unsure points hollow.

    Parameters
    ----------
    landmarks : Landmarks
        What was detected.
    data : ndarray, (N, ndim)
        Data coordinates of the placed ones, in order.
    size : float
        Diameter in pixels.
    text : str
        What stands beside a point: "names", "numbers" (its place in the list),
        or "automatic", which goes by how many there are.
    """
    placed = landmarks.placed
    features = label_table([p.name for p in placed], landmarks.names)
    features["number"] = [landmarks.names.index(p.name) + 1 for p in placed]
    crowded = len(placed) > NAMES_UP_TO
    by_number = text == "numbers" or (text == "automatic" and crowded)
    features["score"] = _numbers(p.score for p in placed)
    features["unsure"] = [p.unsure for p in placed]
    features["shape_residual_mm"] = _numbers(p.shape_residual_mm for p in placed)
    colours = score_colours(features["score"])
    unsure = features["unsure"].to_numpy(dtype=bool)
    faces = colours.copy()
    faces[unsure, 3] = 0.0
    return {
        "data": np.asarray(data, dtype=float),
        "features": features,
        "feature_defaults": features.iloc[:1],
        "face_color": faces,
        "border_color": colours,
        "border_width": 0.25,
        "symbol": "disc",
        "size": size,
        "text": {**TEXT, "string": " {number}"} if by_number else dict(TEXT),
        "metadata": {METADATA: to_metadata(landmarks)},
    }


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def landmark_look(
    landmarks: Landmarks, data: ArrayLike, text: str = "automatic"
) -> dict[str, Any]:
    """Keyword arguments of a points layer that shows an image's landmarks."""
    look = found_look(landmarks, data, 6.0, text)
    placed = landmarks.placed
    look["features"]["source"] = [str(p.source or "") for p in placed]
    look["features"]["author"] = [p.author for p in placed]
    look["feature_defaults"] = look["features"].iloc[:1]
    if not placed:
        look.pop("face_color"), look.pop("border_color"), look.pop("feature_defaults")
    return look


def apply_look(
    layer: Any, landmarks: Landmarks, data: ArrayLike, text: str = "automatic"
) -> None:
    """Make a points layer show an image's landmarks."""
    look = landmark_look(landmarks, data, text)
    new = np.asarray(look["data"], dtype=float).reshape(-1, layer.ndim)
    if not np.array_equal(np.asarray(layer.data), new):
        layer.selected_data = set()
        layer.data = new
    layer.features = look["features"]
    if len(new):
        layer.face_color = look["face_color"]
        layer.border_color = look["border_color"]
    layer.metadata = {**layer.metadata, **look["metadata"]}
