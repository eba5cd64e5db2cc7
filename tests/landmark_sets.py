"""Landmark sets of every shape, for round trips through files."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State

# Quotes, separators, line ends and letters of all sorts, but no blanks around.
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters='\n,;\t"'),
    min_size=1,
    max_size=12,
).filter(lambda text: text == text.strip())
# Readers bring names to one form of their accents.
NAMES = TEXT.map(lambda text: unicodedata.normalize("NFC", text)).filter(
    lambda text: text == text.strip()
)
IMAGE_NAMES = st.from_regex(r"[A-Za-z0-9äß_ ./-]{0,12}[a-z]\.(png|dcm)", fullmatch=True).map(
    str.strip
)


@st.composite
def landmark_points(draw):
    coordinates = st.floats(-1e4, 1e4)
    state = draw(st.sampled_from(State))
    placed = state is State.PLACED
    return Landmark(
        draw(NAMES),
        (draw(coordinates), draw(coordinates)) if placed else None,
        state,
        draw(st.none() | st.floats(0, 1)),
        draw(st.booleans()),
        draw(st.none() | st.floats(0, 100)),
        draw(st.just("") | TEXT),
        draw(st.none() | st.sampled_from(Source)),
        draw(st.just("") | TEXT),
    )


@st.composite
def image_geometries(draw, known_spacing=False):
    angle, tilt = draw(st.floats(-3, 3)), draw(st.floats(-1, 1))
    column_axis = (math.cos(angle), math.sin(angle), 0.0)
    row_axis = (-math.sin(angle) * math.cos(tilt), math.cos(angle) * math.cos(tilt), math.sin(tilt))
    spacing = st.tuples(st.floats(0.001, 50), st.floats(0.001, 50))
    plain = st.sampled_from([(0.1, 0.1), (0.3, 0.2), (1.0, 1.0)])
    spacings = spacing | plain if known_spacing else st.none() | spacing | plain
    grid = (draw(st.integers(1, 5000)), draw(st.integers(1, 5000))), draw(spacings)
    if draw(st.booleans()):
        origin = tuple(draw(st.floats(-500, 500)) for _ in range(3))
        return Geometry(*grid, origin, row_axis, column_axis)
    return Geometry(*grid)


@st.composite
def landmark_sets(draw, geometries=None):
    points = draw(st.lists(landmark_points(), min_size=1, max_size=6, unique_by=lambda p: p.name))
    texts = st.just("") | TEXT
    geometry = draw(st.none() | image_geometries() if geometries is None else geometries)
    provenance = Provenance(*(draw(texts) for _ in range(6)))
    return Landmarks(tuple(points), draw(IMAGE_NAMES), geometry, provenance)


def example() -> Landmarks:
    """Return a set with one point of each state, on an oblique image."""
    return Landmarks(
        (
            Landmark(
                *("sella", (70.25, 100.125)),
                score=0.75,
                description="a, b",
                predicted_error_px=1.25,
                radius_90_px=3.5,
            ),
            Landmark("nasion", None, State.SKIPPED),
            Landmark("porion", None, State.ABSENT, unsure=True),
            Landmark("menton", (0.1 + 0.2, 5.0), unsure=True, shape_residual_mm=1.5),
        ),
        "images/001.png",
        Geometry((300, 200), (0.3, 0.2), (10.0, -20.0, 30.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
        Provenance("instant", "vgg19", "125", "A. Reader", "2026-11-21T10:00:00", "mirrored"),
    )


def same(first: Landmarks, second: Landmarks) -> bool:
    """Say whether nothing was lost, to the last bit."""
    return first == second and np.array_equal(
        first.positions_yx, second.positions_yx, equal_nan=True
    )


def refuses(match: str, path: Path, **known: Any) -> None:
    """Check that a landmark file is refused in one sentence that begins with its name."""
    with pytest.raises(LandmarkError, match=match) as caught:
        read_landmarks(path, **known)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def in_a_table(landmarks: Landmarks) -> Landmarks:
    """Return a set as a table tells it where a person has decided every point.

    An author of all rows is that of the set, and where a person has placed every point,
    no row is left that could say by which method the set was made.
    """
    if len(landmarks.manual) < len(landmarks):
        return landmarks
    provenance = landmarks.provenance
    authors = [point.author or provenance.author for point in landmarks]
    one = authors[0] if len(set(authors)) == 1 else ""
    return replace(
        landmarks,
        points=tuple(
            replace(point, author="" if one else author)
            for point, author in zip(landmarks, authors, strict=True)
        ),
        provenance=replace(
            provenance,
            method="manual"
            if all(p.is_position_of_person for p in landmarks)
            else provenance.method,
            author=one,
        ),
    )
