"""What the dock says of the image that it shows, as long as that holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_oneshot_lmk.detection.batch import is_doubtful
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, spacing_of
from napari_oneshot_lmk.widgets.qt.parts import NOTE, WARN
from napari_oneshot_lmk.widgets.workbench import spacing_taken

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.autosave import Offer
    from napari_oneshot_lmk.widgets.workbench import Workbench


def note_of(bench: Workbench) -> tuple[str, str]:
    """Return sentences about the image of the session, and their colour.

    Whether it may be a wrong one, how it lies, and which decisions of an earlier session were, or
    will be, taken over.
    """
    target = bench.session.target
    if target is None:
        return "", ""
    landmarks = bench.session.annotation.landmarks
    said = []
    if is_doubtful(sum(point.unsure for point in landmarks), len(landmarks.placed)):
        said.append(texts.DOUBTFUL)
    unreadable = bench.unreadable.get(target.key, "")
    if orientation := landmarks.provenance.orientation:
        said.append(texts.LIES.format(orientation=orientation))
    taken = bench.autosave.taken(target)
    if taken is not None:
        said += [_in_words(texts.WORK_TAKEN, taken), *_of_spacing(bench, target, taken)]
    try:
        waiting = bench.autosave.offer(target)
    except OneshotError as error:
        unreadable = str(error)
    else:
        if waiting is not None and waiting.decided:
            said.append(_in_words(texts.WORK_WAITS, waiting))
    if unreadable:
        said.append(texts.SIDECAR_BROKEN.format(error=f"{unreadable}."))
    return " ".join(said), WARN if unreadable else NOTE if said else ""


def _in_words(text: str, work: Offer) -> str:
    corrected = all(point.source is Source.CORRECTED for point in work.decided)
    noun = texts.CORRECTION if corrected else texts.DECISION
    return text.format(
        decisions=texts.counted(len(work.decided), noun),
        when=f"{work.saved_at:{texts.SAVED_AT}}",
        file=work.path.name,
    )


def _of_spacing(bench: Workbench, target: ImageView, taken: Offer) -> list[str]:
    """Say where the image has the spacing of the earlier work and not its own."""
    geometry, own = taken.landmarks.geometry, spacing_of(target.layer).mm_yx
    theirs = None if geometry is None else geometry.spacing_mm_yx
    now = bench.session.spacing_for(target).mm_yx
    if own is None or theirs is None or now != theirs or now == own:
        return []
    return [spacing_taken(theirs, own)]
