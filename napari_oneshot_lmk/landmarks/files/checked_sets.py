"""What holds for landmarks that were read, whatever file they come from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.image_names import image_key
from napari_oneshot_lmk.landmarks.landmark import Landmarks

LONGEST_SENTENCE = 600
LONGEST_TEXT = 50_000
"""Of a cell: programs that read tables take no more than 131072 letters."""


def checked_sets(images: Iterable[Landmarks]) -> tuple[Landmarks, ...]:
    """Return landmarks with their names in one form (NFC), one set for each image.

    Raises
    ------
    LandmarkError
        If two sets are of one image: nobody can tell which one counts. If a text is
        so long, or holds half a letter, that no file can be written with it.
    """
    seen: set[str] = set()
    checked = []
    for landmarks in images:
        if image_key(landmarks.image) in seen:
            raise LandmarkError(
                f"image {landmarks.image!r} stands twice", remedy="keep one of the two"
            )
        seen.add(image_key(landmarks.image))
        checked.append(_composed(landmarks))
    return tuple(checked)


def shortened(sentence: str) -> str:
    """Leave out the middle where a damaged cell of thousands of letters is repeated."""
    if len(sentence) <= LONGEST_SENTENCE:
        return sentence
    half = LONGEST_SENTENCE // 2
    return f"{sentence[:half]} … {sentence[-half:]}"


def _composed(landmarks: Landmarks) -> Landmarks:
    texts = [landmarks.image, *vars(landmarks.provenance).values()]
    texts += [text for p in landmarks for text in (p.name, p.description, p.author)]
    for text in texts:
        if len(text) > LONGEST_TEXT:
            raise LandmarkError(
                f"holds a name or description of {len(text)} letters", remedy="correct it"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise LandmarkError(f"the text {text!r} holds half a letter", remedy="correct it")
    if all(unicodedata.is_normalized("NFC", name) for name in landmarks.names):
        return landmarks
    return landmarks.with_points(
        replace(point, name=unicodedata.normalize("NFC", point.name)) for point in landmarks
    )
