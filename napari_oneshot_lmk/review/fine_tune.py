"""A project's model is fine-tuned on its corrected images: what it gains first, then in one step.

For the gain, the corrected images are divided into at most `FOLDS` parts. Each part is detected
on by a model that was fine-tuned without it: a training for each image alone would take as many
trainings as there are images.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.errors import ModelError, ProjectError
from napari_oneshot_lmk.review.corrections import LeftOutPoints, gain, left_out_errors, recommended
from napari_oneshot_lmk.review.learn import Trial
from napari_oneshot_lmk.review.learnt import TUNING_FOLDER, Way
from napari_oneshot_lmk.training.events import Failed, Stepped
from napari_oneshot_lmk.training.feature_cache import FeatureCache
from napari_oneshot_lmk.training.fine_tune import FineTuning, fine_tune
from napari_oneshot_lmk.training.run_folder import RunFolder

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.training.config import TrainingConfig

FOLDS = 3
"""Parts that the corrected images are divided into, each left out of one training."""


@dataclass(frozen=True)
class TuningStep:
    """How far one or several trainings are."""

    training: int
    """That is under way, counted from 1."""
    trainings: int
    done: int
    """Steps of the optimiser, of all trainings."""
    total: int
    seconds_left: float | None
    """Of all trainings; None while unknown."""


def folds(images: int) -> list[tuple[int, ...]]:
    """Divide so many images into parts; return the places of those that each leaves out.

    >>> folds(5)
    [(0, 3), (1, 4), (2,)]
    >>> folds(2)
    [(0,), (1,)]
    """
    parts = min(FOLDS, images)
    return [tuple(range(first, images, parts)) for first in range(parts)]


class ProjectTuning:
    """Fine-tunes the model of a detector; runs are kept in the project, to go on with.

    Parameters
    ----------
    project : Project
        Opened for writing.
    detector : Detector
        With the corrected images as its ``further`` templates, and the project's own model.
    config : TrainingConfig
        From `fine_tuning_config`.
    should_stop : callable
        Called at each step: once true, what is done is kept.

    Raises
    ------
    ModelError
        If the detector has no model that can be fine-tuned.
    """

    def __init__(
        self,
        project: Project,
        detector: Detector,
        config: TrainingConfig,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not isinstance(detector, TrainedDetector):
            raise ModelError(
                "the project has no trained model to fine-tune",
                file=project.folder,
                remedy="train one (method fused), and put it in with oneshot-lmk project model",
            )
        project.lock()
        self._detector, self._config, self._should_stop = detector, config, should_stop
        self._folder = project.folder / TUNING_FOLDER
        self._applied = "" if project.learnt is None else project.learnt.tuned
        self._whole = self._job(detector.further)
        left_out = [set(part) for part in folds(len(detector.further))]
        self._folds = [
            self._job([each for i, each in enumerate(detector.further) if i not in part])
            for part in (left_out if len(detector.further) > 1 else ())
        ]

    def try_folds(self, trial: Trial) -> Generator[TuningStep | Trial, None, None]:
        """Find out what fine-tuning would gain, beside what a trial has tried.

        Asked to stop, it counts the images of the parts that are done.

        Yields
        ------
        TuningStep or Trial
            Steps, where the work can be ended; at last the trial with two ways more.

        Raises
        ------
        ProjectError
            If it was stopped before the first part was done.
        """
        points, parts = list(trial.points), folds(len(trial.points))
        measured = 0
        with self._kept([job.key for job in (*self._folds, self._whole)]):
            for number, part in enumerate(parts):
                model = yield from self._train(self._folds, number)
                if model is None:
                    break
                for index, one in self._detect(model, points, part):
                    points[index] = one
                    yield self._step(self._folds, number + 1, 0, 0.0)
                    measured += 1
        if not measured:
            raise _stopped()
        errors = left_out_errors(points)
        gains = {way: gain(errors, way) for way in Way}
        yield Trial(trial.images, tuple(points), gains, recommended(errors), len(parts), measured)

    def train(self) -> Generator[TuningStep, None, str]:
        """Fine-tune on all corrected images; return the run's name, for `Learnt.tuned`.

        Asked to stop, the model so far is kept.
        """
        with self._kept([job.key for job in (*self._folds, self._whole)]):
            model = yield from self._train([self._whole], 0, until_stopped=True)
        if model is None:
            raise _stopped()
        return self._whole.key

    def detector(self, name: str) -> TrainedDetector:
        """Return the detector with the model of a run, and the same templates."""
        return self._detector_of(TrainedModel.load(self._run(name).model_path))

    # -- inside --------------------------------------------------------------------

    def _job(self, corrected: Sequence[Template]) -> FineTuning:
        before = self._detector
        # What is matched as mirrored or turned looks like no copy of the template.
        upright = tuple(t for t in corrected if not t.landmarks.provenance.orientation)
        return FineTuning(before.model, before.template, upright, before.encoder, self._config)

    def _run(self, name: str) -> RunFolder:
        return RunFolder(self._folder / name)

    @contextmanager
    def _kept(self, names: Sequence[str]) -> Iterator[None]:
        """Delete runs of earlier corrections, and at the end the features of the copies."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in (*names, self._applied):
                shutil.rmtree(path, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(self._features, ignore_errors=True)

    @property
    def _features(self) -> Path:
        return self._folder / "features"

    @cached_property
    def _cache(self) -> FeatureCache:
        shape_yx = self._whole.template.image.geometry.network_shape_yx
        return FeatureCache(
            self._whole.encoder, len(self._whole.copies) + 1, self._features, shape_yx
        )

    def _train(
        self, jobs: Sequence[FineTuning], number: int, *, until_stopped: bool = False
    ) -> Generator[TuningStep, None, TrainedModel | None]:
        """Train one of several; None where it was stopped before there was a model.

        With ``until_stopped`` the model so far is one. Otherwise the checkpoint is left: a model
        that had less training than the others says nothing of them.
        """
        run, done = self._run(jobs[number].key), 0
        stop = self._should_stop if until_stopped else lambda: False
        events = fine_tune(jobs[number], run.path, should_stop=stop, cache=self._cache)
        with closing(events):
            for event in events:
                left = None
                if isinstance(event, Failed):
                    return None
                if isinstance(event, Stepped):
                    done, left = (event.epoch - 1) * event.steps + event.step, event.seconds_left
                if not until_stopped and self._should_stop():
                    return None
                yield self._step(jobs, number, done, left)
        return TrainedModel.load(run.model_path)

    @staticmethod
    def _step(
        jobs: Sequence[FineTuning], number: int, done: int, seconds_left: float | None
    ) -> TuningStep:
        steps = [job.steps for job in jobs]
        if number < len(jobs) and seconds_left is not None and done < steps[number]:
            # As fast as this training, without what comes before its first step.
            later = sum(steps[number + 1 :]) / (steps[number] - done)
            seconds_left *= 1 + later
        return TuningStep(
            min(number + 1, len(jobs)),
            len(jobs),
            sum(steps[:number]) + done,
            sum(steps),
            seconds_left,
        )

    def _detect(
        self, model: TrainedModel, points: Sequence[LeftOutPoints], part: Sequence[int]
    ) -> Iterator[tuple[int, LeftOutPoints]]:
        """Detect on the images that a model was fine-tuned without."""
        detector = self._detector_of(model)
        for index in part:
            own = points[index].template
            # By content: detectors are shared, and their templates may be read anew.
            others = [t for t in detector.further if t.content_sha256 != own.content_sha256]
            rest = detector.with_further(others)
            rest.set_image(own.image)
            alone = rest.with_further([])
            yield index, replace(points[index], tuned=alone.detect(), tuned_rest=rest.detect())

    def _detector_of(self, model: TrainedModel) -> TrainedDetector:
        before = self._detector
        return TrainedDetector.from_model(
            model,
            before.template,
            before.encoder,
            further=before.further,
            upright=before.upright,
        )


def _stopped() -> ProjectError:
    return ProjectError(
        "stopped before there was a model; nothing is changed",
        remedy="ask again to go on from there",
    )
