"""The fine stage of a run: trained after its model, and put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import EpochEnded, Event, Finished, Noted
from napari_oneshot_lmk.training.fine import train_fine
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.task import TrainingTask


def add_fine_stage(
    run: RunFolder, task: TrainingTask, coarse: Finished, should_stop: Callable[[], bool]
) -> Iterator[Event]:
    """Train the fine stage of a run whose model is there, or go on with it.

    The last event is `Finished`. Where it was asked to stop, the model stays without a fine
    stage, and its checkpoint in the run: the same command goes on.
    """
    yield Noted("The model is there; its fine stage follows.")
    model = replace(TrainedModel.load(run.model_path), fine=None)
    detector = TrainedDetector.from_model(model, encoder=task.encoder)
    training = train_fine(
        detector, task.images, task.preset, task.config.seed, run.fine_path, should_stop
    )
    seconds = 0.0
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            stage = end.value
            break
        if isinstance(event, EpochEnded):
            seconds = event.seconds
        yield event
    if stage is None:
        leave_out_fine_stage(run, task.config)
        text = "Stopped in the fine stage: the model is kept without it; the same command goes on."
        yield Noted(text, serious=True)
        yield replace(coarse, stopped=True)
        return
    with run.new_model() as folder:
        replace(model, fine=stage).save(folder)
    yield replace(coarse, seconds=coarse.seconds + seconds)


def leave_out_fine_stage(run: RunFolder, config: TrainingConfig) -> None:
    """Record that a run ends without its fine stage: the same command then adds it."""
    run.note(settings=config.model_copy(update={"fine": False}).to_json())
