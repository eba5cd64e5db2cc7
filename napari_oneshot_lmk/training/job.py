"""A training from beginning to end: the one way for command line, dock and tests.

``train`` makes the run or goes on with it, keeps its log, curves and checkpoints
while `loop.fit` works, and puts the model in its place at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.imaging.sources import ImageFile
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.board import Board
from napari_oneshot_lmk.training.event_log import EventLog
from napari_oneshot_lmk.training.events import Event, Failed, Finished, Noted
from napari_oneshot_lmk.training.failure import failed
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run import RunFolder, UnitFolder
from napari_oneshot_lmk.training.run_settings import METHODS, RunSettings
from napari_oneshot_lmk.training.run_start import taken_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.checkpoint import Checkpoint
    from napari_oneshot_lmk.training.fitting import Fitting


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Parameters
    ----------
    template : Template
        The one annotated image.
    images : sequence of ImageFile
        Without landmarks; from `find_images`.
    out : Path
        Folder of the run: new, or one to go on with.
    preset : Preset
        All numbers.
    method : str
        ``"fused"``, ``"single"`` or ``"joint"``; see `RunSettings`.
    landmarks : sequence of str
        Those to train; empty for all that the template places.
    template_stage : bool
        Whether copies of the template are trained on.
    seed : int
        Of everything random.
    spacing_mm_yx : pair of float, optional
        Of the images, overriding what the files say.
    encoder_weights : Path, optional
        File of VGG19 weights; otherwise they are looked for.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    encoder : Encoder, optional
        Use this one and ignore weights and device.
    previews : sequence of Path
        Images on which the model of each epoch is shown; see `Previewed`.
    overwrite : bool
        Begin anew where the run has finished or has other settings.
    """

    template: Template
    images: Sequence[ImageFile]
    out: Path
    preset: Preset
    method: str = "fused"
    landmarks: Sequence[str] = ()
    template_stage: bool = True
    seed: int = 0
    spacing_mm_yx: tuple[float, float] | None = None
    encoder_weights: Path | None = None
    device: str = "auto"
    encoder: Encoder | None = field(default=None, compare=False)
    previews: Sequence[Path] = ()
    overwrite: bool = False

    @property
    def settings(self) -> RunSettings:
        """What the run is to remember.

        Raises
        ------
        UsageError
            If there is no such method, or the template does not place a landmark.
        """
        methods = [method for method in METHODS if method == self.method]
        if not methods:
            raise UsageError(
                f"there is no method {self.method!r}",
                remedy=f"use {', '.join(METHODS)}",
            )
        placed = [point.name for point in self.template.landmarks.placed]
        unknown = [name for name in self.landmarks if name not in placed]
        if unknown:
            raise UsageError(
                f"the template does not place {', '.join(unknown)}",
                file=self.template.name,
                remedy=f"it places {', '.join(placed)}",
            )
        return RunSettings(
            method=methods[0],
            landmarks=tuple(
                name for name in placed if not self.landmarks or name in self.landmarks
            ),
            template_stage=self.template_stage,
            seed=self.seed,
            spacing_mm_yx=self.spacing_mm_yx,
            template_sha256=self.template.content_sha256,
            preset=self.preset,
        )


def train(
    job: Job,
    should_stop: Callable[[], bool] = lambda: False,
    fetching: Callable[[int, int], None] | None = None,
    fitting: Fitting | None = None,
) -> Iterator[Event]:
    """Train, or go on with a training that was interrupted.

    Parameters
    ----------
    job : Job
        What to train.
    should_stop : callable
        Asked at each step, as is `RunFolder.stop_requested`: once it says yes, the
        training ends with the best model so far.
    fetching : callable, optional
        Called with bytes done and bytes in all while weights are fetched.
    fitting : Fitting, optional
        Who trains; by default this process, one network after the other.

    Yields
    ------
    Event
        Each after it is in the run's log. The last one is `Finished`, or `Failed`
        where there was nothing to keep. Of a run that has finished before, its
        `Finished` alone.

    Raises
    ------
    OneshotError
        If the training cannot begin or go on. Once the run is taken up, its log
        ends with the same as a `Failed`.
    """
    settings = job.settings
    with taken_up(job.out, settings, job.template, overwrite=job.overwrite) as run:
        if (end := run.finished) is not None:
            yield end
            return
        if job.previews:
            run.set_preview_images(job.previews)
        log, board = EventLog(run.events_path), Board(run.tensorboard_path)
        try:
            for event in _events(job, run, settings, should_stop, fetching, fitting):
                log.append(event)
                board.take(event)
                if isinstance(event, Finished):
                    run.finish(event)
                yield event
        except Exception as error:
            log.append(failed(error))
            raise
        finally:
            board.close()
            log.close()


class RunCheckpoints:
    """Keeps what the loop hands over, in the run's folder.

    Parameters
    ----------
    run : RunFolder
        Taken up by this process, or by one that this process works for.
    unit : UnitFolder, optional
        The checkpoints' place where networks are trained side by side.
    """

    def __init__(self, run: RunFolder, unit: UnitFolder | None = None) -> None:
        self._run = run
        self._place = (unit or run).checkpoint_path

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint; None at the beginning."""
        from napari_oneshot_lmk.training.checkpoint import Checkpoint

        return Checkpoint.load(self._place)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""
        checkpoint.save(self._place)

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep the network of a landmark that is done."""
        from napari_oneshot_lmk.training.checkpoint import save_part

        save_part(self._run.part_path(index), state, epoch)

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the network of a landmark that was done before."""
        from napari_oneshot_lmk.training.checkpoint import load_part

        return load_part(self._run.part_path(index))

    def save_model(self, model: TrainedModel) -> None:
        """Keep a model in place of the one before."""
        with self._run.new_model() as folder:
            model.save(folder)


def _events(
    job: Job,
    run: RunFolder,
    settings: RunSettings,
    should_stop: Callable[[], bool],
    fetching: Callable[[int, int], None] | None,
    fitting: Fitting | None,
) -> Iterator[Event]:
    """Prepare what the loop needs, then loop."""
    # Slow to import; the window and --help do without.
    from napari_oneshot_lmk.encoders.choice import instant_encoder
    from napari_oneshot_lmk.training.loop import fit
    from napari_oneshot_lmk.training.run_images import inspected
    from napari_oneshot_lmk.training.side_by_side import fit_here
    from napari_oneshot_lmk.training.task import TrainingTask

    if fitting is None and run.units_path.is_dir():
        # Others have begun it network by network; what they have done is kept.
        fitting = fit_here
    encoder = job.encoder or instant_encoder(
        job.encoder_weights, job.device, progress=fetching
    )
    if encoder.card.note:
        yield Noted(encoder.card.note)
    _check_encoder(run, encoder)

    def stopped() -> bool:
        return should_stop() or run.stop_requested

    images = yield from inspected(
        run, job.images, job.template, job.spacing_mm_yx, stopped
    )
    if images is None:
        begun = run.checkpoint_path.is_dir()
        kept = "What was trained before is kept" if begun else "Nothing was trained"
        yield Failed(f"Stopped before the first step. {kept}; start it again to go on.")
        return
    task = TrainingTask(
        template=job.template,
        images=images,
        preset=job.preset,
        method=settings.method,
        landmarks=settings.landmarks,
        template_stage=settings.template_stage,
        encoder=encoder,
        seed=settings.seed,
        features_folder=run.features_path,
        preview_images=lambda: run.preview_images,
    )

    events = (
        fit(task, RunCheckpoints(run), stopped)
        if fitting is None
        else fitting(task, run, stopped)
    )
    for event in events:
        if isinstance(event, Finished):
            event = replace(event, model=str(run.model_path.absolute()))
        yield event


def _check_encoder(run: RunFolder, encoder: Encoder) -> None:
    """Refuse to go on with features of another kind; note where it computes."""
    identity = encoder.card.identity
    before = run.record().get("encoder", identity)
    if before != identity:
        raise UsageError(
            f"this run was begun with the encoder {before}, here is {identity}",
            file=run.path,
            remedy="name its weights with --encoder-weights, choose another --out, or "
            "begin anew with --overwrite",
        )
    run.note(encoder=identity, device=str(encoder.device))
