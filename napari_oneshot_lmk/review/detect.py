"""Detection on the images of a project; each result is kept as soon as it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.batch import DetectionResult, detect_many
from napari_oneshot_lmk.errors import ProjectError, WeightsError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.review.project import Project, Tell
from napari_oneshot_lmk.review.project_files import ImageWork
from napari_oneshot_lmk.review.status import ReviewState, status_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.encoders.weights import Progress


def detector_sha256(detector: Detector) -> str:
    """Return a hash of all that a detector's results depend on, apart from the image."""
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

    model = detector.model.content_sha256 if isinstance(detector, TrainedDetector) else ""
    about = [detector.method, detector.encoder_card.identity, detector.templates_sha256, model]
    if detector.offsets:
        about.append(json.dumps(sorted(detector.offsets.items())))
    return hashlib.sha256(json.dumps([*about, detector.upright, __version__]).encode()).hexdigest()


def project_encoder(
    project: Project, device: str = "auto", progress: Progress | None = None
) -> Encoder | None:
    """Return the encoder that a project was detected with, so that no other one mixes with it.

    None where nothing was detected without a trained model yet. A `WeightsError` says if its
    weights cannot be found any more.
    """
    about = project.detected_with
    if about is None:
        return None
    from napari_oneshot_lmk.encoders.select import encoder_again

    try:
        return encoder_again(about.identity, about.origin, device, progress)
    except WeightsError as error:
        where = about.origin.path if about.origin is not None else ""
        raise WeightsError(
            f"was detected with {about.title or about.identity}"
            f"{f' ({where})' if where else ''}, whose weights are not there any more or have "
            "changed",
            file=project.folder,
            remedy="put the file back, or name it, or another one, with --encoder-weights",
        ) from error


def images_to_detect(
    project: Project, detector: Detector, *, again: bool = False, tell: Tell | None = None
) -> tuple[str, ...]:
    """Return the ids of the images that a detector has something to do on.

    Parameters
    ----------
    project : Project
    detector : Detector
    again : bool
        Not only images without a detection, but all that nobody has finished, except those
        whose last detection was this detector's: what was interrupted goes on.
    tell : callable, optional
        As for `Project.works`.
    """
    own = detector_sha256(detector)
    chosen = []
    for image, work in project.works(tell=tell):
        accepted = status_of(work.landmarks, project.template).state is ReviewState.ACCEPTED
        done = work.detected is not None and (not again or work.detected_by == own)
        if not accepted and not done:
            chosen.append(image.id)
    return tuple(chosen)


def detect_images(
    project: Project,
    detector: Detector,
    ids: Sequence[str],
    *,
    batch: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[DetectionResult, None, None]:
    """Detect on images of a project; what a person has decided stays.

    Parameters
    ----------
    project : Project
    detector : Detector
    ids : sequence of str
        See `images_to_detect`.
    batch, should_stop
        As for `detect_many`.

    Yields
    ------
    DetectionResult
        One per image, in order, once it is kept. An image that cannot be read, or whose file
        in the project is damaged, has an error instead of landmarks.

    Raises
    ------
    ProjectError
        If another process is writing.
    OutputError
        If a result cannot be written.
    """
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

    project.lock()
    own = detector_sha256(detector)
    if ids and not isinstance(detector, TrainedDetector):
        project.remember_encoder(detector.encoder_card)
    images = [project.image(image_id) for image_id in ids]
    files = [ImageFile(image.path or Path(image.name), image.name) for image in images]
    id_of = {image.name: image.id for image in images}
    results = detect_many(
        detector,
        files,
        batch=batch,
        should_stop=should_stop,
        read=lambda file: project.read(id_of[file.name]),
    )
    with closing(results):
        for result in results:
            if result.landmarks is None:
                yield result
                continue
            try:
                _take(project, id_of[result.image.name], result.landmarks, own)
            except ProjectError as error:
                result = replace(result, landmarks=None, error=error)
            yield result


def settle_image(
    project: Project, detector: Detector, image_id: str, *, reader: str = ""
) -> ImageWork:
    """Find the other landmarks of an image anew, given those that a person has decided.

    Raises
    ------
    ProjectError
        If nobody has decided on a landmark of it yet.
    OneshotError
        If the image cannot be read, or the result cannot be kept.
    """
    work = project.work(image_id)
    here = Annotation() if work.landmarks is None else Annotation.adopt(work.landmarks)
    if not here.has_manual:
        raise ProjectError(
            "nobody has corrected or accepted a landmark on it",
            file=project.image(image_id).name,
            remedy="correct one first",
        )
    detector.set_image(project.read(image_id))
    settled = detector.settle(here.landmarks)
    # To reset a landmark that was decided, its own detection is needed.
    before = {} if work.detected is None else {p.name: p for p in work.detected}
    detected = settled.with_points(
        before.get(p.name, Landmark(p.name, None, State.SKIPPED)) if p.is_manual else p
        for p in settled
    )
    taken = here.take_detection(settled).landmarks
    return project.record(image_id, taken, action="settle", reader=reader, detected=detected)


def accept_landmarks(
    project: Project, image_id: str, *, sure_only: bool = False, reader: str = ""
) -> tuple[str, ...]:
    """Say that detected landmarks of an image are right as they are; return their names.

    Parameters
    ----------
    project : Project
    image_id : str
    sure_only : bool
        Leave out those that the detector is unsure of.
    reader : str
        Who says so, by default the project's reader.
    """
    landmarks = project.work(image_id).landmarks or Landmarks()
    before = Annotation.adopt(landmarks)
    names = [p.name for p in landmarks if not (sure_only and p.unsure)]
    after = before.accept(names, reader or project.reader)
    accepted = _changed(before.landmarks, after.landmarks)
    if accepted:
        project.record(image_id, after.landmarks, action="accept", reader=reader)
    return accepted


def _take(project: Project, image_id: str, found: Landmarks, detected_by: str) -> None:
    before = project.work(image_id).landmarks
    here = Annotation() if before is None else Annotation.adopt(before)
    taken = here.take_detection(found).landmarks
    project.record(image_id, taken, action="detect", detected=found, detected_by=detected_by)


def _changed(before: Landmarks, after: Iterable[Landmark]) -> tuple[str, ...]:
    return tuple(point.name for point in after if point != before[point.name])
