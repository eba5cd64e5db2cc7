"""The processes that train one network together, started by ``torchrun``.

The first one, of rank 0, leads: it alone writes and talks. Where there is but one
process, everything here is nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.training.messages import LostProcessError, Messages

if TYPE_CHECKING:
    from torch import Tensor

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""That ``torchrun`` sets for each process that it starts."""

T = TypeVar("T")


class World:
    """One process among those that train together.

    Parameters
    ----------
    rank : int
        Which one this is, from 0; that one leads.
    size : int
        How many there are.
    local_rank, local_size : int
        The same among those of this computer.

    See Also
    --------
    World.from_environment : those that ``torchrun`` has started.
    napari_oneshot_lmk.training.meeting.joined : lets them find one another.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1
    ) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self.messages = Messages()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> World:
        """Return the world that ``torchrun`` describes; without it, one process.

        Raises
        ------
        UsageError
            If its variables are damaged.
        """
        given = os.environ if environment is None else environment
        if any(name not in given for name in VARIABLES):
            return cls()
        try:
            size = int(given["WORLD_SIZE"])
            return cls(
                int(given["RANK"]),
                size,
                int(given["LOCAL_RANK"]),
                int(given.get("LOCAL_WORLD_SIZE", size)),
            )
        except ValueError as error:
            raise UsageError(
                f"torchrun's environment variables are damaged ({error})",
                remedy=f"start the training with torchrun, or without {', '.join(VARIABLES)}",
            ) from error

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Return the device of this process: one GPU each, or the processor.

        Parameters
        ----------
        name : str
            What the user said: ``"auto"``, ``"cpu"``, ``"cuda"``.

        Raises
        ------
        UsageError
            If there are fewer GPUs than processes on this computer.
        """
        if not self.several or name == "cpu":
            return name
        import torch

        if name not in ("auto", "cuda"):
            raise UsageError(
                f"device {name!r} cannot be that of several processes",
                remedy="use auto, cpu or cuda; process N of a computer gets GPU N",
            )
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name == "auto" and count == 0:
            return "cpu"
        if count < self.local_size:
            raise UsageError(
                f"{self.local_size} processes on {platform.node()}, but "
                f"{count or 'no'} GPU{'' if count == 1 else 's'}",
                remedy="give torchrun --nproc-per-node the number of GPUs, or use --device cpu",
            )
        return f"cuda:{self.local_rank}"

    def has_to_tell(self, error: Exception) -> bool:
        """Say whether the user hears from this process why the training ends."""
        if self.leads:
            self.messages.first_to_tell()
            return True
        if not self.messages.open:
            return self.local_rank == 0
        return self.messages.untold(error)

    # -- speaking with the others: all processes make the same calls ---------------

    def from_leader(self, value: T) -> T:
        """Return what the leader has given here."""
        if not self.several:
            return value
        import torch.distributed as dist

        self.messages.check_ended()
        box = [value if self.leads else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Return what each process has given, by rank."""
        if not self.several:
            return [value]
        import torch.distributed as dist

        self.messages.check_ended()
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Say whether the flag of any process is set."""
        return self._sums([float(flag)])[0] > 0 if self.several else flag

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers of the same names over all processes."""
        if not self.several:
            return dict(values)
        sums = self._sums(list(values.values()))
        return {name: total / self.size for name, total in zip(values, sums, strict=True)}

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes; without gradient."""
        if not self.several:
            return value
        import torch.distributed as dist

        self.messages.check_ended()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def all_of(self, count: int, own: Iterator[T]) -> Iterator[T]:
        """Yield ``count`` values in their order, of which each process makes some.

        Parameters
        ----------
        count : int
            Of all values.
        own : iterator
            Makes those of `turns`; asked for one at a time.
        """
        for first in range(0, count, self.size):
            made = self.gather(next(own, None))
            yield from made[: count - first]  # type: ignore[misc]

    def check_alike(self, what: str, value: object) -> None:
        """Refuse processes that were started with different things.

        Raises
        ------
        UsageError
            If they differ, in the leader.
        LostProcessError
            If they differ, in the others: for a user it is no news.
        """
        if not self.several:
            return
        values = self.gather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise self.refusal(
                    f"{what} of process {rank} is {other}, of process 0 {values[0]}",
                    "all hosts need the same program, files and kind of device",
                )

    def refusal(self, what: str, remedy: str) -> OneshotError:
        """Return the error that all processes raise at once, news in the leader."""
        kind = UsageError if self.leads else LostProcessError
        return kind(what, remedy=remedy)

    def _sums(self, values: Sequence[float]) -> list[float]:
        import torch
        import torch.distributed as dist

        self.messages.check_ended()
        totals = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(totals)
        return [float(total) for total in totals]

    # -- who does what -----------------------------------------------------------

    def turns(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items that this process makes the values of; see `all_of`."""
        return items[self.rank :: self.size]

    def part(self, count: int) -> slice:
        """Return this process's part of ``count`` items; it may be empty."""
        first, last = (count * r // self.size for r in (self.rank, self.rank + 1))
        return slice(first, last)


ALONE = World()
"""One process."""
