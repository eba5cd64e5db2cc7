"""The processes that train one network together, and what they share.

`ProcessGroup` is one process alone; `torchrun.TorchrunGroup` is one of several. The main
process, of rank 0, alone writes and reports: the others hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from napari_oneshot_lmk.errors import ImageError, OneshotError, UsageError
from napari_oneshot_lmk.training.events import Event, Noted
from napari_oneshot_lmk.training.run_folder import versions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.checkpoint import Checkpoint, CheckpointSink
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.dataset import TrainingSet

PATIENCE_S = 600.0
"""After so long without an answer a process counts as lost."""

P = ParamSpec("P")
T = TypeVar("T")
Losses = dict[str, "Tensor"]
FetchProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class ProcessGroup:
    """One process alone."""

    rank = local_rank = 0
    size = local_size = 1
    is_distributed = False
    """Whether there are other processes."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @contextmanager
    def connected(self, device: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Let the processes find one another, for a ``with`` block.

        Parameters
        ----------
        device : str
            From `device`.
        patience_s : float
            After how long without an answer a process counts as lost.

        Raises
        ------
        LostProcessError
            If the others do not come, or one is lost later.
        UsageError
            If this PyTorch was built without what it takes.
        """
        yield

    def device(self, name: str) -> str:
        """Return the device of this process: one GPU each, or the processor.

        Raises
        ------
        UsageError
            If there are fewer GPUs than processes on this computer.
        """
        return name

    def explain(self, error: Exception) -> Exception:
        """Return why a training ends here: the error, or what ended another process."""
        return error

    def reports(self, error: Exception) -> bool:
        """Whether the user hears from this process why the training ends."""
        return True

    def once_per_host(self, get: Callable[[FetchProgress], T]) -> T:
        """Get what lands on a computer's disk: one of its processes goes first."""
        return get(lambda done, total: None)

    # -- collective: all processes make the same calls ------------------------------

    def from_main(self, value: T) -> T:
        """Return what the main process has given here."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return what each process has given, by rank."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is set."""
        return flag

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers of the same names over all processes."""
        return dict(values)

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes; without gradient."""
        return value

    def gather_in_order(self, count: int, own: Iterator[T]) -> Iterator[T]:
        """Yield ``count`` values in order, of which each process makes those of its `shard`."""
        for first in range(0, count, self.size):
            made = self.gather(next(own, None))
            yield from made[: count - first]  # type: ignore[misc]

    def check_same(self, what: str, value: object) -> None:
        """Refuse processes that were started with different things.

        Raises
        ------
        UsageError
            If they differ, in the main process.
        LostProcessError
            If they differ, in the others: for a user it is no news.
        """
        values = self.gather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise self.refusal(
                    f"{what} of process {rank} is {other}, of process 0 {values[0]}",
                    "all hosts need the same program, files and kind of device",
                )

    def refusal(self, what: str, remedy: str) -> OneshotError:
        """Return the error that all processes raise at once: news in the main one."""
        return UsageError(what, remedy=remedy)

    def average_gradients(
        self, network: nn.Module, losses: Callable[P, Losses], *, find_unused: bool
    ) -> Callable[P, Losses]:
        """Let the gradients of losses be those of all processes, averaged.

        Parameters
        ----------
        network : Module
            That the losses are computed with; its parameters become the main process's.
        losses : callable
            Returns the loss of each stage.
        find_unused : bool
            Whether a step may leave parameters out; they are not changed then.
        """
        return losses

    # -- who does what -----------------------------------------------------------------

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items that this process makes the values of; see `gather_in_order`."""
        return items[self.rank :: self.size]

    def portion(self, count: int) -> slice:
        """Return this process's part of ``count`` items; it may be empty."""
        first, last = (count * r // self.size for r in (self.rank, self.rank + 1))
        return slice(first, last)


ALONE = ProcessGroup()


def check_group(group: ProcessGroup, config: TrainingConfig) -> None:
    """Refuse what several processes cannot train, or were not asked for alike.

    Raises
    ------
    UsageError
        If so; in the main process alone where it is they that differ.
    LostProcessError
        In the others then.
    """
    if not group.is_distributed:
        return
    if config.training_method.per_landmark:
        raise UsageError(
            f"torchrun's {group.size} processes train one network together, but the "
            f"method {config.method} trains one per landmark",
            remedy="use --method fused, or --workers and --scheduler without torchrun",
        )
    group.check_same("the version", versions()["napari-oneshot-lmk"])
    configs = group.gather(config)
    for rank, other in enumerate(configs):
        for difference in other.differences(configs[0]):
            now = difference.replace(" before", "")
            raise group.refusal(
                f"process {rank} was started with other settings than process 0: {now}",
                "start the same command on all hosts",
            )


def describe_group(group: ProcessGroup, config: TrainingConfig) -> Iterator[Noted]:
    """Say how many processes train, and what that makes of a step."""
    if group.is_distributed:
        size, batch = group.size, config.numbers.training.batch
        yield Noted(f"{size} processes train together: a step has {size} x {batch} images.")


def load_encoder(
    group: ProcessGroup, config: TrainingConfig, fetching: FetchProgress | None
) -> Encoder:
    """Return the encoder of this process; its weights are fetched once on each computer."""
    from napari_oneshot_lmk.encoders.select import instant_encoder

    def fetch(notify: FetchProgress) -> Encoder:
        def progress(done: int, total: int) -> None:
            notify(done, total)
            if fetching is not None:
                fetching(done, total)

        device = group.device(config.device)
        return instant_encoder(config.encoder_weights, device, progress=progress)

    return group.once_per_host(fetch)


def share_images(
    group: ProcessGroup, inspection: Generator[Event, None, TrainingSet | None]
) -> Generator[Event, None, TrainingSet | None]:
    """Let all processes train on the images that the main one finds.

    Parameters
    ----------
    group : ProcessGroup
        Only its main process runs the inspection.
    inspection : generator
        From `inspect_images`, whose events and result all processes get.

    Raises
    ------
    ImageError
        If this process does not find one of the images.
    """
    if not group.is_distributed:
        return (yield from inspection)
    images: TrainingSet | None = None
    while True:
        event: Event | None = None
        if group.is_main:
            try:
                event = next(inspection)
            except StopIteration as end:
                images = end.value
        # One image at a time, so that nobody waits for long without news.
        event = group.from_main(event)
        if event is None:
            break
        yield event
    images = group.from_main(images)
    for image in images.usable if images else ():
        if not image.path.exists():
            raise ImageError(
                f"process {group.rank} does not find this image",
                file=image.path,
                remedy="all hosts have to see the images under the same path",
            )
    return images


class SharedCheckpoints:
    """A `CheckpointSink` that the main process writes and all go on from."""

    def __init__(self, group: ProcessGroup, sink: CheckpointSink) -> None:
        self._group, self._sink = group, sink

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint."""
        return self._group.from_main(self._sink.load() if self._group.is_main else None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        if self._group.is_main:
            self._sink.save(checkpoint)

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep a network that is done."""
        if self._group.is_main:
            self._sink.save_part(index, state, epoch)

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return a network that was done before."""
        part = self._sink.load_part(index) if self._group.is_main else {}
        return self._group.from_main(part)

    def save_model(self, model: TrainedModel) -> None:
        """Keep the finished model."""
        if self._group.is_main:
            self._sink.save_model(model)
