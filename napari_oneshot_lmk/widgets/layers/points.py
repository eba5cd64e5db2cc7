"""Landmarks as a napari points layer, and a points layer as landmarks.

Names are in the categorical feature ``label``. What a points layer cannot hold (landmarks
without a position, descriptions, spacing, provenance) is in its metadata as plain JSON
types; positions, names and scores are always read from the layer itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State
from napari_oneshot_lmk.widgets import texts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

METADATA = "napari-oneshot-lmk"
SCHEMA_VERSION = 1
IMAGE_LAYER = "image_layer"
"""Metadata key: the image layer that a points layer was put on when it was opened."""
PREVIEW = "preview"
"""Provenance of points that a training shows and that cannot be edited."""


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
    """Return what a points layer itself cannot hold, as plain JSON types."""
    geometry = {} if landmarks.geometry is None else asdict(landmarks.geometry)
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
        "geometry": {k: list(v) if isinstance(v, tuple) else v for k, v in geometry.items()}
        or None,
        "provenance": asdict(landmarks.provenance),
    }


def from_layer(data: ArrayLike, attributes: Mapping[str, Any]) -> Landmarks:
    """Read landmarks from a points layer's data and attributes.

    Parameters
    ----------
    data : ndarray, (N, ndim)
        Data coordinates; the last two are (row, column).
    attributes : mapping
        At least ``features`` and ``metadata``; the points of a layer that this plugin did
        not make are numbered in their order.

    Raises
    ------
    LandmarkError
        If two points have the same name.
    """
    array, features = np.asarray(data, dtype=float), attributes.get("features")
    positions = array.reshape(len(array), array.shape[-1])[:, -2:]
    known = dict((attributes.get("metadata") or {}).get(METADATA) or {})
    if known.get("schema_version") != SCHEMA_VERSION:
        known = {}
    entries = {entry["name"]: entry for entry in known.get("points", ())}
    cells = [{}] * len(positions) if features is None else features.to_dict("records")
    width = max(2, len(str(len(positions))))
    placed: dict[str, Landmark] = {}
    for number, (position_yx, row) in enumerate(zip(positions, cells, strict=True), start=1):
        name = str(row.get("label", f"{number:0{width}d}")).strip()
        if name in placed:
            what, remedy = texts.TWICE.format(name=name), texts.TWICE_REMEDY
            raise LandmarkError(what, file=attributes.get("name"), remedy=remedy)
        placed[name] = _placed(name, position_yx, row, entries.get(name, {}))
    points = [placed.get(name) or _unplaced(entries[name]) for name in {**entries, **placed}]
    geometry = known.get("geometry") or {}
    fields: dict[str, Any] = {k: None if v is None else tuple(v) for k, v in geometry.items()}
    return Landmarks(
        tuple(points),
        str(known.get("image") or attributes.get("name") or ""),
        Geometry(**fields) if fields else None,
        Provenance(**known.get("provenance", {})),
    )


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Say whether a points layer carries our metadata."""
    return METADATA in metadata


def is_preview(metadata: Mapping[str, Any]) -> bool:
    """Say whether a points layer only shows the preview of a training."""
    known = metadata.get(METADATA) or {}
    return (known.get("provenance") or {}).get("method") == PREVIEW


def _unplaced(entry: Mapping[str, Any]) -> Landmark:
    """Read a landmark that has no point in the layer."""
    source, author = _source(entry.get("source")), str(entry.get("author", ""))
    if entry["state"] == State.PLACED:
        # Somebody deleted the point: a detected landmark is corrected by that.
        source, author = (None if source in (None, Source.PLACED) else Source.CORRECTED), ""
    return Landmark(
        entry["name"],
        None,
        State.ABSENT if entry["state"] == State.ABSENT else State.SKIPPED,
        description=entry.get("description", ""),
        source=source,
        author=author,
    )


def _placed(
    name: str, position_yx: NDArray[np.float64], row: Mapping[str, Any], entry: Mapping[str, Any]
) -> Landmark:
    """Read a landmark from its point; a detected one that was moved counts as corrected."""
    source = _source(_text(row, "source") or entry.get("source"))
    recorded = entry.get("position_yx")
    moved = recorded is not None and not np.allclose(recorded, position_yx)
    description = entry.get("description", "")
    if moved and source is not None and source.follows_detection:
        return Landmark(name, tuple(position_yx), description=description, source=Source.CORRECTED)
    return Landmark(
        name,
        tuple(position_yx),
        score=_number(row, "score"),
        unsure=bool(_number(row, "unsure")),
        shape_residual_mm=_number(row, "shape_residual_mm"),
        description=description,
        source=source,
        author=_text(row, "author") or str(entry.get("author", "")),
        predicted_error_px=_number(row, "predicted_error_px"),
        radius_90_px=_number(row, "radius_90_px"),
    )


def _source(value: Any) -> Source | None:
    return Source(value) if value in set(Source) else None


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    return None if value is None or np.isnan(float(value)) else float(value)
