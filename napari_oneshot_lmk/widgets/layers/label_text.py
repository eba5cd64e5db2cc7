"""What stands beside each point of a layer: its name or number, or nothing."""

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
"""With more points than this, names hide the anatomy: numbers stand there."""

TEXTS = "napari-oneshot-lmk-text"
"""Key in a layer's metadata: "names" or "numbers", what its labels say."""

TEXT_COLOUR = "#e0007f"
"""As far from white as from black (4.6 : 1), and a hue that no grey image holds."""
TEXT_SIZE = 11
TEXT_ANCHOR = "upper_left"
"""napari hangs a text's lower left corner on it, above and right of the point."""

STYLE = {"color": TEXT_COLOUR, "size": TEXT_SIZE, "anchor": TEXT_ANCHOR}
"""What all texts have in common."""

NOT_YET = " "
"""Text of a point that napari has just added; an empty one is hidden on purpose."""


def labels_of(features: pd.DataFrame) -> list[str]:
    """Return the name of each row of a table; none where it has no names."""
    return [str(v) for v in features["label"]] if "label" in features else []


def kind_of_text(landmarks: Landmarks, text: str) -> str:
    """Return "names" or "numbers" for a preference; "automatic" goes by the count."""
    crowded = len(landmarks.placed) > NAMES_UP_TO
    by_number = text == "numbers" or (text == "automatic" and crowded)
    return "numbers" if by_number else "names"


def still_hidden(layer: Any, features: pd.DataFrame, texts: Sequence[str]) -> list[str]:
    """Leave out the labels that were left out, until somebody decides anew."""
    shown = [str(value) for value in np.atleast_1d(layer.text.values)]
    before = labels_of(layer.features)
    if not hasattr(layer.text.string, "array") or len(shown) != len(before):
        return list(texts)
    hidden = {name for name, value in zip(before, shown, strict=True) if not value}
    return [
        "" if name in hidden else text for name, text in zip(features["label"], texts, strict=True)
    ]


def _same_shift(held: Any, shift: NDArray[np.float64]) -> bool:
    held = np.asarray(held)
    # However far one zooms in: compared with itself, not with a pixel.
    return held.shape == shift.shape and np.allclose(held, shift, rtol=1e-3, atol=0)


def _same_colours(encoding: Any, colours: NDArray[np.float64]) -> bool:
    held = np.asarray(getattr(encoding, "array", ()))
    return held.shape == colours.shape and np.allclose(held, colours, atol=1e-3)


def encoding_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return napari's form of one text for each point."""
    return {"array": np.array(texts, dtype=np.str_), "default": NOT_YET}


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
    anew = False
    # Told once and not for each part: every time the canvas sets its letters anew.
    with text.events.blocker_all():
        if not hasattr(text.string, "array") or shown != list(strings):
            text.string = encoding_of(strings)
            anew = True
        if colours is not None and not _same_colours(text.color, colours):
            text.color = {"array": colours, "default": TEXT_COLOUR}
            anew = True
        if shift is not None and not _same_shift(text.translation, shift):
            text.translation = shift
            anew = True
    if anew:
        text.refresh(layer.features)
    if text.size != TEXT_SIZE:
        text.size = TEXT_SIZE
    if str(text.anchor) != TEXT_ANCHOR:
        text.anchor = TEXT_ANCHOR
