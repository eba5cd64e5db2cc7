"""The text beside each point of a layer: its name, its number, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.landmarks.landmarks import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

NAMES_UP_TO = 12
"""With more points than this, names hide the anatomy and numbers are shown."""

TEXTS = "napari-oneshot-lmk-text"
"""Key in a layer's metadata: whether its labels are "names" or "numbers"."""

TEXT_COLOUR = "#e0007f"
"""As far from white as from black (4.6 : 1), and a hue that no grey image contains."""
TEXT_SIZE = 11
TEXT_ANCHOR = "upper_left"
"""napari puts a text's lower left corner there, above and right of the point."""

STYLE = {"color": TEXT_COLOUR, "size": TEXT_SIZE, "anchor": TEXT_ANCHOR}

NOT_YET = " "
"""Text of a point that napari has just added; an empty text is hidden on purpose."""


def labels_of(features: pd.DataFrame) -> list[str]:
    """Return the name in each row of a table; empty where it has no names."""
    return [str(v) for v in features["label"]] if "label" in features else []


def kind_of_text(landmarks: Landmarks, text: str) -> str:
    """Return "names" or "numbers" for a preference; "automatic" goes by the count."""
    if text == "automatic":
        return "numbers" if len(landmarks.placed) > NAMES_UP_TO else "names"
    return text


def still_hidden(layer: Any, features: pd.DataFrame, texts: Sequence[str]) -> list[str]:
    """Leave out the labels that are hidden now, until it is decided anew which fit."""
    shown = [str(value) for value in np.atleast_1d(layer.text.values)]
    before = labels_of(layer.features)
    if not hasattr(layer.text.string, "array") or len(shown) != len(before):
        return list(texts)
    hidden = {name for name, value in zip(before, shown, strict=True) if not value}
    named = zip(features["label"], texts, strict=True)
    return ["" if name in hidden else text for name, text in named]


def encoding_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return napari's encoding of one text per point."""
    return {"array": np.array(texts, dtype=np.str_), "default": NOT_YET}


def full_texts(features: pd.DataFrame, texts: str) -> list[str]:
    """Label of each row: its name or number, with a question mark where unsure.

    ``features`` has the columns ``label``, ``number``, ``unsure`` and ``source``;
    ``texts`` is "names" or "numbers".
    """
    column = features["number" if texts == "numbers" else "label"]
    rows = zip(column, unsure_rows(features), strict=True)
    return [f"{value}?" if unsure else str(value) for value, unsure in rows]


def unsure_rows(features: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) whether a person should check a point; not where a person has placed it."""
    unsure: NDArray[np.bool_] = features["unsure"].to_numpy(dtype=bool)
    return unsure & features["source"].isin(["", Source.DETECTED]).to_numpy()


def show_texts(
    layer: Any,
    strings: Sequence[str],
    colours: NDArray[np.float64] | None = None,
    shift: NDArray[np.float64] | None = None,
) -> None:
    """Write a text beside each of the N points of a layer.

    ``strings`` are N texts, empty for none; ``colours`` is (N, 4); ``shift``, (ndim,), goes
    from a point to the left end of its text in data units. None leaves either unchanged.
    """
    text = layer.text
    anew: dict[str, Any] = {}
    shown = [str(value) for value in np.atleast_1d(text.values)]
    if not hasattr(text.string, "array") or shown != list(strings):
        anew["string"] = encoding_of(strings)
    if colours is not None and not _same(getattr(text.color, "array", ()), colours, 1e-5, 1e-3):
        anew["color"] = {"array": colours, "default": TEXT_COLOUR}
    # A relative tolerance: data units may be large or small.
    if shift is not None and not _same(text.translation, shift, 1e-3, 0):
        anew["translation"] = shift
    # One event for all: with each, the canvas lays out all letters again.
    with text.events.blocker_all():
        for name, value in anew.items():
            setattr(text, name, value)
    if anew:
        text.refresh(layer.features)
    if text.size != TEXT_SIZE:
        text.size = TEXT_SIZE
    if str(text.anchor) != TEXT_ANCHOR:
        text.anchor = TEXT_ANCHOR


def _same(held: Any, wanted: NDArray[np.float64], rtol: float, atol: float) -> bool:
    held = np.asarray(held)
    return held.shape == wanted.shape and np.allclose(held, wanted, rtol, atol)
