"""One landmark as a row of a table: the same words and dots in every dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Source, State
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.style import MARK_LIGHT, css, landmark_colours, score_colours
from napari_oneshot_lmk.widgets.qt.parts import DIM, LandmarkRow

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.annotation import Annotation


def rows_of(annotation: Annotation, with_score: bool = False) -> list[LandmarkRow]:
    """Return a row for each landmark of an image.

    Parameters
    ----------
    annotation : Annotation
        Its landmarks.
    with_score : bool
        Show the score in a column before the state.
    """
    colours = landmark_colours(annotation.landmarks.names)
    rows = []
    for point in annotation.landmarks:
        placed = point.state is State.PLACED
        state = state_word(annotation, point)
        score = "" if point.score is None else f"{point.score:.2f}"
        colour = css(colours[point.name])
        if point.source is Source.DETECTED and point.score is not None:
            colour = css(score_colours([point.score])[0])
        elif annotation.is_result:
            colour = css(MARK_LIGHT) if placed else DIM
        rows.append(
            LandmarkRow(
                point.name,
                (score, state) if with_score else (state,),
                colour,
                hollow=point.unsure or not placed,
                dim=not placed,
                tip=tip_of(point),
            )
        )
    return rows


def state_word(annotation: Annotation, point: Landmark) -> str:
    """Say how a landmark stands."""
    if point.state is State.ABSENT:
        return texts.STATE_ABSENT
    if point.state is State.SKIPPED:
        if point.source is Source.CORRECTED:
            return texts.STATE_TAKEN_OFF
        opened = annotation.is_open(point.name)
        return texts.STATE_OPEN if opened else texts.STATE_SKIPPED
    if point.source is Source.CORRECTED:
        return texts.STATE_CORRECTED
    if point.source is Source.DETECTED:
        return texts.STATE_UNSURE if point.unsure else texts.STATE_DETECTED
    return texts.STATE_PLACED


def tip_of(point: Landmark) -> str:
    """Say what a landmark is, and who has corrected it."""
    by = ""
    if point.source is Source.CORRECTED:
        author = point.author or texts.BY_HAND
        by = texts.BY.format(state=texts.STATE_CORRECTED, author=author)
    return " · ".join(part for part in (point.description, by) if part)
