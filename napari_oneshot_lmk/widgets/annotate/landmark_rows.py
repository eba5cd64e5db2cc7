"""The landmarks of an image as table rows: the same words and dots in every dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Source, State
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.style import MARK_LIGHT, css, landmark_colours, score_colours
from napari_oneshot_lmk.widgets.qt.parts import DIM, LandmarkRow

if TYPE_CHECKING:
    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.review.annotation import Annotation


def rows_of(annotation: Annotation, with_score: bool = False) -> list[LandmarkRow]:
    """Return one row per landmark; ``with_score`` adds a column before the state."""
    colours = landmark_colours(annotation.landmarks.names)
    scored = score_colours([np.nan if p.score is None else p.score for p in annotation.landmarks])
    rows = []
    for point, of_score in zip(annotation.landmarks, scored, strict=True):
        placed = point.state is State.PLACED
        score = "" if point.score is None else f"{point.score:.2f}"
        colour = css(colours[point.name])
        if point.source is Source.DETECTED and point.score is not None:
            colour = css(of_score)
        elif annotation.is_result:
            colour = css(MARK_LIGHT) if placed else DIM
        rows.append(
            LandmarkRow(
                point.name,
                ((score,) if with_score else ()) + (_state_word(annotation, point),),
                colour,
                hollow=point.unsure or not placed,
                dim=not placed,
                tip=_tip_of(point, annotation.landmarks.geometry),
            )
        )
    return rows


def _state_word(annotation: Annotation, point: Landmark) -> str:
    if point.state is State.ABSENT:
        return texts.STATE_ABSENT
    corrected = point.source is Source.CORRECTED
    if point.state is State.SKIPPED:
        opened = texts.STATE_OPEN if annotation.is_open(point.name) else texts.STATE_SKIPPED
        return texts.STATE_TAKEN_OFF if corrected else opened
    if point.source is Source.DETECTED:
        return texts.STATE_UNSURE if point.unsure else texts.STATE_DETECTED
    if point.source is Source.ACCEPTED:
        return texts.STATE_ACCEPTED
    return texts.STATE_CORRECTED if corrected else texts.STATE_PLACED


def _tip_of(point: Landmark, geometry: Geometry | None) -> str:
    """Return what a landmark is, within which distance it is expected, and who has corrected it."""
    by = ""
    if point.source is Source.DETECTED and point.radius_90_px is not None:
        radius_mm = point.lengths(geometry)["radius_90_mm"]
        length = f"{point.radius_90_px:.0f} px" if radius_mm is None else f"{radius_mm:.1f} mm"
        by = texts.WITHIN.format(length=length)
    if point.source in (Source.CORRECTED, Source.ACCEPTED):
        accepted = point.source is Source.ACCEPTED
        word = texts.STATE_ACCEPTED if accepted else texts.STATE_CORRECTED
        by = texts.BY.format(state=word, author=point.author or texts.BY_HAND)
    return " · ".join(part for part in (point.description, by) if part)
