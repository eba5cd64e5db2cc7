"""A training from beginning to end, for command line, dock and Python.

`train` makes the run or goes on with it, keeps its log, curves and checkpoints while
`trainer.fit` works, and puts the model in its place at the end.
"""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError, TrainingError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.distributed.group import (
    ALONE,
    ProcessGroup,
    check_group,
    load_encoder,
    share_images,
)
from napari_oneshot_lmk.training.events import (
    EpochEnded,
    Event,
    EventLog,
    Failed,
    Finished,
    Noted,
    TensorBoardLogger,
    read_events,
)
from napari_oneshot_lmk.training.run_folder import RunFolder, versions
from napari_oneshot_lmk.training.run_lifecycle import check_encoder, inspect_images, open_run

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.per_landmark import Strategy


def train(
    template: Template,
    images: Sequence[ImageFile],
    out: Path,
    config: TrainingConfig,
    *,
    encoder: Encoder | None = None,
    previews: Sequence[Path] = (),
    overwrite: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    fetching: Callable[[int, int], None] | None = None,
    strategy: Strategy | None = None,
    group: ProcessGroup = ALONE,
    spacings_mm_yx: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Iterator[Event]:
    """Train, or go on with a training that was interrupted.

    Parameters
    ----------
    template : Template
        The one annotated image.
    images : sequence of ImageFile
        Without landmarks; from `find_images`.
    out : Path
        Folder of the run: new, or one to go on with.
    config : TrainingConfig
        What to train and how.
    encoder : Encoder, optional
        Use this one; the configuration's weights and device are ignored.
    previews : sequence of Path
        Images in which the model of each epoch finds the landmarks; see `Previewed`.
    overwrite : bool
        Begin anew where the run has finished or has other settings.
    should_stop : callable
        Called at each step, as is `RunFolder.stop_requested`: once one is true, the
        training ends with the best model so far.
    fetching : callable, optional
        Called with bytes done and bytes in all while weights are fetched.
    strategy : Strategy, optional
        Who trains; by default this process, one network after the other.
    group : ProcessGroup
        Processes that do the same at the same time, inside `ProcessGroup.connected`: only the
        main one writes the run, the others yield the same events.
    spacings_mm_yx : mapping
        Of single images by name, as a data set's description gives them; where the configuration
        has a spacing, that is the one of all.

    Yields
    ------
    Event
        Each after it is in the run's log. The last one is `Finished`, or `Failed`
        where there was nothing to keep. Of a run that has finished before, its
        `Finished` alone.

    Raises
    ------
    OneshotError
        If the training cannot begin or go on. Once the run is opened, its log
        ends with the same as a `Failed`.
    """
    config = config.resolved(template, lambda: _on_gpu(config, group))
    check_group(group, config)

    def events(run: RunFolder) -> Iterator[Event]:
        given = encoder or load_encoder(group, config, fetching)
        spacings = (config.spacing_mm_yx, spacings_mm_yx)
        inspect = partial(inspect_images, run, images, template, *spacings)
        yield from _events(run, template, inspect, config, given, should_stop, strategy, group)

    if not group.is_main:
        if group.from_main(None) is None:
            yield from events(RunFolder(out))
        return
    with open_run(out, config, template, overwrite=overwrite) as run:
        if (end := group.from_main(run.finished)) is not None:
            if config.pack:
                _pack_finished(run, config.encoder_weights)
            yield end
            return
        if previews:
            run.set_preview_images(previews)
        log, board = EventLog(run.events_path), TensorBoardLogger(run.tensorboard_path)
        try:
            for event in events(run):
                if not log.append(event):
                    continue
                board.log(event)
                if isinstance(event, Finished):
                    run.finish(event)
                yield event
        except Exception as error:
            log.append(_failed(group.explain(error)))
            raise
        finally:
            board.close()
            log.close()


def _on_gpu(config: TrainingConfig, group: ProcessGroup) -> bool:
    from napari_oneshot_lmk.encoders.device import resolve_device

    return resolve_device(group.device(config.device)).type == "cuda"


def _events(
    run: RunFolder,
    template: Template,
    inspect: Callable[[Callable[[], bool]], Generator[Event, None, TrainingSet | None]],
    config: TrainingConfig,
    encoder: Encoder,
    should_stop: Callable[[], bool],
    strategy: Strategy | None,
    group: ProcessGroup,
) -> Iterator[Event]:
    """Prepare what the training loop needs, then run it."""
    # Slow to import; the window and --help do without.
    from napari_oneshot_lmk.training.checkpoint import RunCheckpoints
    from napari_oneshot_lmk.training.fine_run import add_fine_stage, leave_out_fine_stage
    from napari_oneshot_lmk.training.task import TrainingTask
    from napari_oneshot_lmk.training.trainer import fit

    if strategy is None and run.networks_path.is_dir() and not group.is_distributed:
        # Workers have begun it network by network; what they have finished is kept.
        from napari_oneshot_lmk.training.per_landmark import fit_in_this_process

        strategy = fit_in_this_process
    group.check_same("the encoder", encoder.card.identity)
    group.check_same("the kind of device", encoder.device.type)
    if encoder.card.note:
        yield Noted(encoder.card.note)
    if group.is_distributed:
        size, batch = group.size, config.numbers.training.batch
        yield Noted(f"{size} processes train together: a step has {size} x {batch} images.")
    packed_weights = None
    if group.is_main:
        check_encoder(run, encoder)
        packed_weights = _keep_weights(run, encoder) if config.pack else None

    def asked() -> bool:
        return should_stop() or (group.is_main and run.stop_requested)

    def stopped() -> bool:
        return group.any(asked())

    usable = yield from share_images(group, inspect(asked))
    if usable is None:
        begun = run.checkpoint_path.is_dir()
        kept = "What was trained before is kept" if begun else "Nothing was trained"
        yield Failed(f"Stopped before the first step. {kept}; start it again to go on.")
        return
    if note := group.from_main(_goes_on(run, config) if group.is_main else ""):
        yield Noted(note)
    task = TrainingTask(
        config=config,
        template=template,
        images=usable,
        encoder=encoder,
        features_folder=run.features_path,
        preview_images=lambda: run.preview_images if group.is_main else (),
        group=group,
        packed_weights=packed_weights,
    )
    coarse = run.coarse if config.fine else None
    if coarse is None and task.landmark_groups:
        if strategy is None:
            events = fit(task, RunCheckpoints(run, group=group), stopped)
        else:
            events = strategy(task, run, stopped)
        for event in events:
            if isinstance(event, Finished):
                event = replace(event, model=str(run.model_path.absolute()))
                if config.fine and event.stopped:
                    leave_out_fine_stage(run, config)
                elif config.fine:
                    run.note(coarse=asdict(event))
                    coarse = event
                    break
            yield event
    if coarse is not None or not task.landmark_groups:
        yield from add_fine_stage(run, task, coarse, stopped)


def _goes_on(run: RunFolder, config: TrainingConfig) -> str:
    """Say from where a training goes on that was begun before; empty where it begins."""
    if config.fine and run.coarse is not None:
        return "This training was begun before and goes on with its fine stage."
    ended = [event for event in read_events(run.events_path) if isinstance(event, EpochEnded)]
    if not ended:
        begun = run.checkpoint_path.is_dir()
        return "This training was begun before and goes on within its first epoch." if begun else ""
    last = ended[-1]
    of = f" of {last.model}" if config.training_method.per_landmark else ""
    return (
        f"This training was begun before and goes on after epoch {last.epoch} of {last.epochs}{of}."
    )


def _keep_weights(run: RunFolder, encoder: Encoder) -> Path | None:
    """Copy the encoder's weights into the run, in half precision; None if it has none.

    Before it trains: their file may be gone at the end of a long training.
    """
    from napari_oneshot_lmk.encoders.weights_file import half_precision, read_weights, write_weights

    if not encoder.card.weights_sha256:
        return None
    origin = encoder.card.origin
    if origin is None or not origin.path:
        raise UsageError(
            "the encoder's weights came from no file and cannot be packed",
            file=run.path,
            remedy="name their file with --encoder-weights",
        )
    weights = read_weights(Path(origin.path))
    if weights.sha256 != origin.sha256:
        raise TrainingError(
            "the file of the encoder's weights was replaced a moment ago",
            file=origin.path,
            remedy="give the same command again",
        )
    write_weights(run.encoder_path, half_precision(weights), half=True)
    return run.encoder_path


def _pack_finished(run: RunFolder, weights: Path | None) -> None:
    """Put the encoder's weights into the model of a run that has finished without them.

    Without their file, they are looked for where they were.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.model_encoder import VGG19, weights_for
    from napari_oneshot_lmk.encoders.model_weights import encoder_identity
    from napari_oneshot_lmk.encoders.weights_file import read_weights

    model = TrainedModel.load(run.model_path)
    if model.packed or not model.card.encoder.startswith(VGG19):
        return
    found = weights_for(model) if weights is None else read_weights(weights)
    if encoder_identity(found.sha256, model.card.encoder) != model.card.encoder:
        raise UsageError(
            "the model was not trained on these weights",
            file=weights,
            remedy="name those that it was trained on, or none",
        )
    with run.new_model() as folder:
        model.with_packed(found).save(folder)


def _failed(error: Exception) -> Failed:
    """Return the event that describes an error; a user's own needs no report."""
    if isinstance(error, OneshotError):
        return Failed(f"{error}.")
    lines = [f"{name} {number}" for name, number in versions().items()]
    lines += [platform.platform(), "", *traceback.format_exception(error)]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        sentence = (
            "There is not enough memory; close other programs, or use a preset with "
            "a smaller width or batch."
        )
    else:
        what = " ".join(str(error).split()) or "no reason given"
        sentence = (
            f"This should not have happened ({type(error).__name__}: {what}); give "
            "the same command again to go on, and report it if it happens again."
        )
    return Failed(sentence, "\n".join(lines))
