"""Measures in another thread what corrected images gain, and fine-tunes a model on them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import Event
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import learn_texts, texts
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train.training_texts import TIME_LEFT, duration

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.fine_tune import TuningStep
    from napari_oneshot_lmk.review.learn import Trial
    from napari_oneshot_lmk.review.learnt import Learnt, Way
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.detectors import DetectorCache

FEW = 3
"""With fewer corrected images the figures say little."""


class LearnRun(WorkerRun):
    """Measures, in another thread, what a project's corrected images gain."""

    tried = Signal(object)
    """The `Trial`."""
    read = Signal(object)
    """The further templates of what the project has learnt before."""
    trained = Signal(object)
    """A `Learnt` with a fine-tuned model, to be applied after the end."""
    cancelled_text, failed_text = learn_texts.CANCELLED, learn_texts.FAILED

    def __init__(self, make_detector: DetectorCache) -> None:
        super().__init__()
        self._make = make_detector
        self._training: Generator[Any, None, Any] | None = None
        self._stop = Event()

    def start(self, project: Project, template: Template, model: Path | None) -> None:
        """Begin; nothing is written."""
        if not self.running:
            wanted = preferences()
            self.going.emit(texts.BUSY_LOADING, 0, 0)
            self._work(lambda: self._try(project, template, model, wanted))

    def start_reading(self, project: Project, learnt: Learnt) -> None:
        """Read the further templates of what a project has learnt."""
        if not self.running:
            self.going.emit(learn_texts.READING, 0, 0)
            self._work(lambda: self._read(project, learnt))

    def start_tuning(
        self,
        project: Project,
        template: Template,
        model: Path | None,
        trial: Trial,
        way: Way | None = None,
    ) -> None:
        """Fine-tune without a part of the corrected images each; with a way, on all for it."""
        if not self.running:
            wanted = preferences()
            self._stop.clear()
            self.going.emit(texts.BUSY_LOADING, 0, 0)
            self._work(lambda: self._tune(project, template, model, wanted, trial, way))

    @property
    def tuning(self) -> bool:
        """Whether a model is being fine-tuned."""
        return self.running and self._training is not None

    def stop(self) -> None:
        """End fine-tuning with what there is."""
        self._stop.set()

    def _on_cancelled(self) -> None:
        # At once, and not when it is collected: it holds the lock of its run.
        if self._training is not None:
            self._training.close()
            self._training = None
        super()._on_cancelled()

    def _tune(
        self,
        project: Project,
        template: Template,
        model: Path | None,
        wanted: Any,
        trial: Trial,
        way: Way | None,
    ) -> Generator[Any, None, tuple[str, bool]]:
        from napari_oneshot_lmk.review.fine_tune import ProjectTuning, TuningStep
        from napari_oneshot_lmk.training.fine_tune import fine_tuning_config

        further = [each.template for each in trial.points]
        yield None
        options: dict[str, Any] = {} if model is None else {"model": model}
        detector = self._make(template, wanted, lambda *_: None, further=further, **options)
        tuning = ProjectTuning(project, detector, fine_tuning_config(), self._stop.is_set)
        training: Generator[Any, None, Any]
        training = tuning.try_folds(trial) if way is None else tuning.train()
        self._training, result = training, None
        while result is None:
            try:
                step = next(training)
            except StopIteration as end:
                result = end.value
                break
            except Exception:
                # What runs next is no fine-tuning.
                self._training = None
                raise
            if isinstance(step, TuningStep):
                yield self.going, tuning_in_words(step), step.done, step.total
            else:
                result = step
        self._training = None
        if way is not None:
            yield self.trained, trial.learnt(way, result)
            return learn_texts.TUNED_ON_ALL, False
        yield self.tried, result
        return learn_texts.TUNED.format(
            images=texts.counted(result.tuned_images, "image"),
            trainings=texts.counted(result.trainings, "part"),
        ), False

    def _read(self, project: Project, learnt: Learnt) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        failed: list[OneshotError] = []
        yield self.read, templates_of(project, learnt, failed.append)
        return (f"{failed[0]}." if failed else ""), bool(failed)

    def _try(
        self, project: Project, template: Template, model: Path | None, wanted: Any
    ) -> Generator[Any, None, tuple[str, bool]]:
        from napari_oneshot_lmk.review.learn import corrected_images, try_learning

        failed: list[OneshotError] = []
        ids, further = corrected_images(project, tell=failed.append)
        yield None
        options: dict[str, Any] = {} if model is None else {"model": model}
        detector = self._make(template, wanted, lambda *_: None, further=further, **options)
        trial: Trial | None = None
        for done, trial in enumerate(try_learning(ids, detector), start=1):
            if trial is None:
                text = learn_texts.TRYING.format(done=done, total=len(ids))
                yield self.going, text, done, len(ids)
        assert trial is not None
        yield self.tried, trial
        text = learn_texts.TRIED if len(ids) >= FEW else learn_texts.TRIED_FEW
        said = text.format(images=texts.counted(len(ids), "image"))
        if failed:
            said += " " + learn_texts.LEFT_OUT.format(
                count=texts.counted(len(failed), "image"), error=failed[0]
            )
        return said, bool(failed)


def tuning_in_words(step: TuningStep) -> str:
    """Return how far fine-tuning is, and how long it will take."""
    what = learn_texts.TUNING if step.trainings > 1 else learn_texts.TUNING_ON_ALL
    words = [what.format(training=step.training, trainings=step.trainings)]
    if step.seconds_left is not None:
        words.append(TIME_LEFT.format(time=duration(step.seconds_left)))
    return ", ".join(words)


def templates_of(
    project: Project, learnt: Learnt, tell: Callable[[OneshotError], None]
) -> list[Template]:
    """Return the corrected images that a project detects with as further templates."""
    if not learnt.way.templates:
        return []
    return [template for _, template in project.corrected(tell, learnt.images)]
