"""A project learns from its corrected images: what it gains first, then in one step, and back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import ProjectError
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.review.corrections import (
    Gain,
    LeftOutPoints,
    detect_left_out,
    gain,
    learnt_offsets,
    left_out_errors,
    recommended,
)
from napari_oneshot_lmk.review.detect import detect_images, images_to_detect
from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING, Learnt, Way
from napari_oneshot_lmk.review.project import Project, Tell
from napari_oneshot_lmk.review.project_files import ImageWork

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.batch import DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.landmarks.template import Template


@dataclass(frozen=True)
class Trial:
    """What the corrected images of a project would gain for the others."""

    images: tuple[str, ...]
    """Ids of the corrected images."""
    points: tuple[LeftOutPoints, ...]
    """Each of them, detected as if it were not corrected."""
    gains: dict[Way, tuple[Gain, ...]]
    """Once for images with millimetres and once for those without; only ways that were tried."""
    recommended: Way | None
    """None where nothing gains."""
    trainings: int = 0
    """Parts of the images that fine-tuning was tried on, each left out of one training; 0 where
    it was not."""
    tuned_images: int = 0
    """Images of the parts that were done."""

    def learnt(self, way: Way, tuned: str = "") -> Learnt:
        """Return what is to be kept if the user wants this way.

        ``tuned`` is the run of the fine-tuned model, from `ProjectTuning.train`.
        """
        offsets = learnt_offsets(self.points, way)
        return Learnt(way=way, images=self.images, offsets=offsets, tuned=tuned)


def try_learning(
    ids: Sequence[str],
    detector: Detector,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Trial | None]:
    """Find out what a project would gain; nothing is written.

    Parameters
    ----------
    ids : sequence of str
        Of the corrected images.
    detector : Detector
        With these images as its ``further`` templates, in this order, and without offsets.
    advance : callable
        Called with how many images are done, and how many there are.

    Yields
    ------
    Trial or None
        None once for each image, where the work can be stopped; at last the result.

    Raises
    ------
    ProjectError
        If fewer than two images are corrected: one cannot be left out and help itself.
    """
    if len(ids) < 2:
        raise ProjectError(
            "fewer than two images are corrected, and one cannot show what it gains",
            remedy="correct some landmarks on at least two images",
        )
    points = []
    for one in detect_left_out(detector):
        points.append(one)
        advance(len(points), len(ids))
        yield None
    errors = left_out_errors(points)
    gains = {way: gain(errors, way) for way in WITHOUT_TRAINING}
    yield Trial(tuple(ids), tuple(points), gains, recommended(errors))


def helped(detector: Detector, learnt: Learnt) -> Detector:
    """Return the detector that a project detects with, of one that has its further templates.

    ``detector.further`` are the corrected images; they are left out where the way has none. For
    a way with fine-tuning it is the detector of the fine-tuned model.
    """
    chosen = detector if learnt.way.templates else detector.with_further([])
    return chosen.with_offsets(learnt.offsets if learnt.way.offsets else {})


def begin_learning(
    project: Project, detector: Detector, learnt: Learnt, tell: Tell | None = None
) -> tuple[str, ...]:
    """Let a project detect with what it has learnt from now on; `forget` takes it back.

    Parameters
    ----------
    project : Project
    detector : Detector
        From `helped`.
    learnt : Learnt
    tell : callable, optional
        As for `Project.works`.

    Returns
    -------
    Ids of the images to be detected anew: those that nobody has finished.
    """
    forget(project, tell)
    ids = images_to_detect(project, detector, again=True, tell=tell)
    project.set_learnt(learnt, ids)
    return ids


def apply(
    project: Project, detector: Detector, learnt: Learnt, tell: Tell | None = None
) -> Generator[DetectionResult, None, None]:
    """Detect anew on all images that nobody has finished, with what was learnt.

    Yields a result for each, once it is kept; what a person has decided stays. Parameters as for
    `begin_learning`.
    """
    ids = begin_learning(project, detector, learnt, tell)
    yield from detect_images(project, detector, ids)


def forget(project: Project, tell: Tell | None = None) -> tuple[str, ...]:
    """Take back what a project has learnt, and what was detected with it.

    Each landmark that nobody has decided goes back to where it was before. Returns the ids of
    the images on which something has changed; none, where nothing was learnt.
    """
    changed = []
    for image_id, before in project.works_before_learning().items():
        try:
            now = project.work(image_id)
            back = put_back(now, before)
            if back != now:
                project.put_back(image_id, back)
                changed.append(image_id)
        except ProjectError as error:
            if tell is None:
                raise
            tell(error)
    project.set_learnt(None)
    return tuple(changed)


def put_back(now: ImageWork, before: ImageWork) -> ImageWork:
    """Return the work on an image as it was, but for what a person has decided since."""
    if now.landmarks is None:
        return now
    annotation = Annotation(now.landmarks)
    manual = {name for name in now.landmarks.names if annotation.is_manual(name)}
    if before.landmarks is None and not manual:
        return replace(now, landmarks=None, detected=None, detected_by=before.detected_by)
    old = {point.name: point for point in before.landmarks or Landmarks()}
    points = (
        point
        if point.name in manual
        else old.get(point.name, Landmark(point.name, None, State.SKIPPED))
        for point in now.landmarks
    )
    landmarks = now.landmarks.with_points(points)
    if before.landmarks is not None:
        landmarks = replace(landmarks, provenance=before.landmarks.provenance)
    return replace(
        now, landmarks=landmarks, detected=before.detected, detected_by=before.detected_by
    )


def corrected_images(
    project: Project, ids: Sequence[str] | None = None, tell: Tell | None = None
) -> tuple[tuple[str, ...], list[Template]]:
    """Return corrected images as templates, with their ids; by default all.

    Only what a person has decided on is in them. ``tell`` as for `Project.works`.
    """
    found = list(project.corrected(tell, ids))
    return tuple(image_id for image_id, _ in found), [template for _, template in found]
