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
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State
from napari_oneshot_lmk.widgets import texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

METADATA = "napari-oneshot-lmk"
SCHEMA_VERSION = 1
IMAGE_LAYER = "image_layer"
"""Key of the image layer that a points layer was put on when it was opened."""
PREVIEW = "preview"
"""Provenance of points that a training shows and nobody works on."""


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
            {
                "name": p.name,
                "state": str(p.state),
                "description": p.description,
                "position_yx": None if p.position_yx is None else list(p.position_yx),
                "source": None if p.source is None else str(p.source),
                "author": p.author,
            }
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
    positions = array.reshape(len(array), array.shape[-1])[:, -2:]
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
                texts.TWICE.format(name=label),
                file=attributes.get("name"),
                remedy=texts.TWICE_REMEDY,
            )
        rows[label] = row
    points = [
        _unplaced(entries[name])
        if name not in rows
        else _placed(name, positions[rows[name]], features, rows[name], entries)
        for name in [*order, *(label for label in labels if label not in entries)]
    ]
    return Landmarks(
        tuple(points),
        str(known.get("image") or attributes.get("name") or ""),
        _geometry(known.get("geometry")),
        Provenance(**known.get("provenance", {})),
    )


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Say whether a points layer carries our metadata."""
    return METADATA in metadata


def is_preview(metadata: Mapping[str, Any]) -> bool:
    """Say whether a points layer only shows what a training sees."""
    known = metadata.get(METADATA) or {}
    return (known.get("provenance") or {}).get("method") == PREVIEW


def _unplaced(entry: Mapping[str, Any]) -> Landmark:
    """Read a landmark that has no point in the layer."""
    source, author = _source(entry.get("source")), str(entry.get("author", ""))
    # The layer lost a point that its record calls placed: somebody took it off.
    lost = entry["state"] == State.PLACED
    if lost and source is not Source.PLACED:
        source, author = _corrected(source), ""
    elif lost:
        source, author = None, ""
    state = State.ABSENT if entry["state"] == State.ABSENT else State.SKIPPED
    return Landmark(
        entry["name"],
        None,
        state,
        description=entry.get("description", ""),
        source=source,
        author=author,
    )


def _placed(
    name: str,
    position_yx: NDArray[np.float64],
    features: Any,
    row: int,
    entries: Mapping[str, Mapping[str, Any]],
) -> Landmark:
    """Read a landmark from its point; one that was moved is a person's from then on."""
    entry = entries.get(name, {})
    source = _source(_text(features, "source", row) or entry.get("source"))
    recorded = entry.get("position_yx")
    moved = recorded is not None and not np.allclose(recorded, position_yx)
    description = entry.get("description", "")
    if moved and source in (Source.DETECTED, Source.CORRECTED):
        return Landmark(name, tuple(position_yx), description=description, source=Source.CORRECTED)
    return Landmark(
        name,
        tuple(position_yx),
        score=_number(features, "score", row),
        unsure=bool(_number(features, "unsure", row) or False),
        shape_residual_mm=_number(features, "shape_residual_mm", row),
        description=description,
        source=source,
        author=_text(features, "author", row) or str(entry.get("author", "")),
    )


def _corrected(source: Source | None) -> Source | None:
    return None if source is None else Source.CORRECTED


def _source(value: Any) -> Source | None:
    return Source(value) if value in set(Source) else None


def _text(features: Any, column: str, row: int) -> str:
    if features is None or column not in features:
        return ""
    value = features[column].iloc[row]
    return value.strip() if isinstance(value, str) else ""


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
    kept: dict[str, Any] = {k: None if v is None else tuple(v) for k, v in fields.items()}
    return Geometry(**kept)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
