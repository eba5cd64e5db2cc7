"""The fine stage of a run: trained after its model, and put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import Event, Failed, Finished, Noted
from napari_oneshot_lmk.training.fine import train_fine
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.state import trained_model
from napari_oneshot_lmk.training.task import TrainingTask


def add_fine_stage(
    run: RunFolder, task: TrainingTask, coarse: Finished | None, should_stop: Callable[[], bool]
) -> Iterator[Event]:
    """Train the fine stage of a run, or go on with it.

    ``coarse`` is how the training of the model ended that is there; None where the stage follows
    detection without training. The last event is `Finished`. Where it was asked to stop, the
    model stays without a fine stage, and the checkpoint in the run: the same command goes on.
    """
    detector: Detector
    if coarse is None:
        model = trained_model(task, (), {}, 0, 0.0)
        detector = Detector(task.template, task.encoder)
    else:
        yield Noted("The model is there; its fine stage follows.")
        model = replace(TrainedModel.load(run.model_path), fine=None)
        detector = TrainedDetector.from_model(model, encoder=task.encoder)
    trained = yield from train_fine(
        detector,
        task.images,
        task.preset,
        task.config.seed,
        run.fine_path,
        should_stop,
        task.config.landmarks,
    )
    if trained is None:
        if coarse is None:
            yield Failed("Stopped before the fine stage was trained; start it again to go on.")
            return
        leave_out_fine_stage(run, task.config)
        text = "Stopped in the fine stage: the model is kept without it; the same command goes on."
        yield Noted(text, serious=True)
        yield replace(coarse, stopped=True)
        return
    with run.new_model() as folder:
        replace(model, fine=trained.stage).save(folder)
    if coarse is None:
        place = str(run.model_path.absolute())
        yield Finished(place, 0, stopped=False, seconds=trained.seconds)
    else:
        yield replace(coarse, seconds=coarse.seconds + trained.seconds)


def leave_out_fine_stage(run: RunFolder, config: TrainingConfig) -> None:
    """Record that a run ends without its fine stage: the same command then adds it."""
    run.note(settings=config.model_copy(update={"fine": False}).to_json())
