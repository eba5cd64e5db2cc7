"""Landmarks as a napari points layer, and a points layer as landmarks.

Names stand in the categorical feature ``label``. What a points layer has no
place for (landmarks without a position, descriptions, spacing, provenance) is
kept in its metadata as plain JSON types; the layer itself has the last word on
positions, names and scores.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, Provenance, State
from napari_oneshot_lmk.widgets import words
from napari_oneshot_lmk.widgets.colours import landmark_colours, score_colours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

METADATA = "napari-oneshot-lmk"
SCHEMA_VERSION = 1

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


def label_table(labels: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Features with the labels as a categorical column over all names."""
    import pandas as pd

    categories = [*names, *(n for n in dict.fromkeys(labels) if n not in names)]
    column = pd.Categorical(np.array(labels, dtype=object), categories=categories)
    # A table, not a dict: napari turns a dict's categoricals into strings.
    return pd.DataFrame({"label": column})


def placed_yx(landmarks: Landmarks) -> NDArray[np.float64]:
    """(N, 2) positions of the placed landmarks, in order."""
    positions = landmarks.positions_yx
    return positions[~np.isnan(positions[:, 0])]


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


def to_metadata(landmarks: Landmarks) -> dict[str, Any]:
    """Plain JSON types with all that a points layer itself cannot hold."""
    geometry = landmarks.geometry
    return {
        "schema_version": SCHEMA_VERSION,
        "image": landmarks.image,
        "points": [
            {"name": p.name, "state": str(p.state), "description": p.description}
            for p in landmarks
        ],
        "geometry": None if geometry is None else _plain(asdict(geometry)),
        "provenance": asdict(landmarks.provenance),
    }


def from_layer(data: ArrayLike, attributes: Mapping[str, Any]) -> Landmarks:
    """Read landmarks from a points layer's data and attributes.

    Parameters
    ----------
    data : ndarray, (N, ndim)
        Data coordinates; the last two are (row, column).
    attributes : mapping
        At least ``features`` and ``metadata``; a layer that this plugin did
        not make gets numbers for names, in the order of its points.

    Raises
    ------
    LandmarkError
        If a name stands twice.
    """
    array = np.asarray(data, dtype=float)
    positions = array.reshape(len(array), -1)[:, -2:]
    features = attributes.get("features")
    known = dict((attributes.get("metadata") or {}).get(METADATA) or {})
    if known.get("schema_version") != SCHEMA_VERSION:
        known = {}
    labels = _labels(features, len(positions))
    order = [entry["name"] for entry in known.get("points", ())]
    entries = {entry["name"]: entry for entry in known.get("points", ())}
    rows = {}
    for row, label in enumerate(labels):
        if label in rows:
            raise LandmarkError(
                words.TWICE.format(name=label),
                file=attributes.get("name"),
                remedy=words.TWICE_REMEDY,
            )
        rows[label] = row
    points = []
    for name in [*order, *(label for label in labels if label not in entries)]:
        description = entries.get(name, {}).get("description", "")
        if name not in rows:
            # The layer lost a point that the metadata calls placed: undecided.
            absent = entries[name]["state"] == State.ABSENT
            state = State.ABSENT if absent else State.SKIPPED
            points.append(Landmark(name, None, state, description=description))
            continue
        row = rows[name]
        points.append(
            Landmark(
                name,
                tuple(positions[row]),
                State.PLACED,
                score=_number(features, "score", row),
                unsure=bool(_number(features, "unsure", row) or False),
                shape_residual_mm=_number(features, "shape_residual_mm", row),
                description=description,
            )
        )
    return Landmarks(
        tuple(points),
        str(known.get("image") or attributes.get("name") or ""),
        _geometry(known.get("geometry")),
        Provenance(**known.get("provenance", {})),
    )


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Say whether a points layer carries our metadata."""
    return METADATA in metadata


def _labels(features: Any, count: int) -> list[str]:
    if features is not None and "label" in features:
        return [str(label).strip() for label in features["label"]]
    width = max(2, len(str(count)))
    return [f"{number:0{width}d}" for number in range(1, count + 1)]


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _number(features: Any, column: str, row: int) -> float | None:
    if features is None or column not in features:
        return None
    value = float(features[column].iloc[row])
    return None if np.isnan(value) else value


def _geometry(fields: Mapping[str, Any] | None) -> Geometry | None:
    if not fields:
        return None
    kept: dict[str, Any] = {
        k: None if v is None else tuple(v) for k, v in fields.items()
    }
    return Geometry(**kept)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
