"""The processes that train one network together, and what they share.

`ProcessGroup` is a single process; `torchrun.TorchrunGroup` is one of several. Only the main
process, of rank 0, writes and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from napari_oneshot_lmk.errors import ImageError, OneshotError, UsageError
from napari_oneshot_lmk.training.events import Event
from napari_oneshot_lmk.training.run_folder import versions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.dataset import TrainingSet

PATIENCE_S = 600.0
"""Without an answer for so long, a process counts as lost."""

P = ParamSpec("P")
T = TypeVar("T")
Losses = dict[str, "Tensor"]
FetchProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class ProcessGroup:
    """A single process: collective calls return what this process gives."""

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
        """Connect the processes for a ``with`` block; ``device`` is from `device`.

        Without an answer for ``patience_s``, a process counts as lost. Raises
        `LostProcessError` if the others do not come, or one is lost later, `UsageError` if
        this PyTorch was built without ``torch.distributed``.
        """
        yield

    def device(self, name: str) -> str:
        """Return the device of this process: one GPU each, or the CPU.

        Raises `UsageError` if there are fewer GPUs than processes on this computer.
        """
        return name

    def explain(self, error: Exception) -> Exception:
        """Return why the training ends: the error, or the reason that another process gave."""
        return error

    def reports(self, error: Exception) -> bool:
        """Whether this process tells the user why the training ends."""
        return True

    def once_per_host(self, get: Callable[[FetchProgress], T]) -> T:
        """Get what is stored on a computer's disk: one of its processes goes first."""
        return get(lambda done, total: None)

    # -- collective: all processes make the same calls ------------------------------

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
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
        """Yield ``count`` values in order; each process makes those of its `shard`."""
        for first in range(0, count, self.size):
            made = self.gather(next(own, None))
            yield from made[: count - first]  # type: ignore[misc]

    def check_same(self, what: str, value: object) -> None:
        """Raise `refusal` in all processes if their values differ."""
        values = self.gather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise self.refusal(
                    f"{what} of process {rank} is {other}, of process 0 {values[0]}",
                    "all hosts need the same program, files and kind of device",
                )

    def refusal(self, what: str, remedy: str) -> OneshotError:
        """Return an error that all processes raise, to be reported by the main one.

        In the main process it is a `UsageError`, in the others a `LostProcessError`.
        """
        return UsageError(what, remedy=remedy)

    def average_gradients(
        self, network: nn.Module, losses: Callable[P, Losses], *, find_unused: bool
    ) -> Callable[P, Losses]:
        """Return ``losses`` with gradients that are averaged over all processes.

        The parameters of ``network`` become the main process's. ``find_unused`` says whether a
        step may leave parameters out; they are not changed then.
        """
        return losses

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's items, every `size`-th; see `gather_in_order`."""
        return items[self.rank :: self.size]

    def portion(self, count: int) -> slice:
        """Return this process's consecutive part of ``count`` items; it may be empty."""
        first, last = (count * r // self.size for r in (self.rank, self.rank + 1))
        return slice(first, last)


ALONE = ProcessGroup()


def check_group(group: ProcessGroup, config: TrainingConfig) -> None:
    """Refuse a method that several processes cannot train, and differing configurations.

    Raises `UsageError`, or in case of differences `ProcessGroup.refusal`.
    """
    if not group.is_distributed:
        return
    if config.training_method.per_landmark:
        raise UsageError(
            f"torchrun's {group.size} processes train one network together, but the "
            f"method {config.method} trains one per landmark",
            remedy="use --method fused, or --workers and --scheduler without torchrun",
        )
    if config.fine:
        raise UsageError(
            "several processes of torchrun do not train a fine stage together",
            remedy="train without --fine, then give the command with --fine and without torchrun",
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


def load_encoder(
    group: ProcessGroup, config: TrainingConfig, fetching: FetchProgress | None
) -> Encoder:
    """Return the encoder of this process; weights are downloaded once on each computer."""
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
    """Run the inspection, from `inspect_images`, in the main process, for all.

    All processes get its events and result; `ImageError` where one does not find an image.
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
        # One image at a time, so that no process waits for long without an answer.
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
