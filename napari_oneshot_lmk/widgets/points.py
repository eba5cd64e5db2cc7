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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

METADATA = "napari-oneshot-lmk"
SCHEMA_VERSION = 1


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
