"""The processes that train one network together, started by ``torchrun``.

The first one, of rank 0, leads: it alone writes and talks. Where there is but one
process, everything here is nothing.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from napari_oneshot_lmk.errors import OneshotError, TrainingError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

LAST_WORDS_S = 2.0
"""How long the reason may come after the news that a process is gone."""
LOST = (
    "another process of this training has ended, was killed or does not answer",
    "give the same command again to go on from the newest checkpoint",
)

T = TypeVar("T")


class LostProcessError(TrainingError):
    """The training ends because of another process."""


class Messages:
    """The store of a training, as one of its processes sees it.

    Parameters
    ----------
    store : torch.distributed.Store, optional
        None where there is but one process.
    name : str
        Of this process, for the others.
    patience_s : float
        After how long without news a process counts as lost.
    """

    def __init__(self, store: Any = None, name: str = "", patience_s: float = 0.0) -> None:
        self._store, self._name, self._patience_s = store, name, patience_s
        self.ended = False
        """Whether this process was told to end, as torchrun does if one is lost."""
        self._known: list[Exception] = []
        self._told_others = False

    def check_ended(self) -> None:
        """Raise `LostProcessError` if this process was told to end."""
        if self.ended:
            raise LostProcessError(LOST[0], remedy=LOST[1])

    def explained(self, error: Exception) -> Exception:
        """Return why a training ends here: the error, or what ended another process.

        Where the error is this process's own, the others are told.
        """
        if self._store is None or any(error is one for one in self._known):
            return error
        if isinstance(error, LostProcessError) or _means_loss(error):
            found: Exception = self._why_lost()
            found.__cause__ = error
        else:
            found = error
            what = str(error) if isinstance(error, OneshotError) else _named(error)
            self._told_others = self._say("why", f"{self._name}: {what}")
        self._known.append(found)
        return found

    @property
    def open(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def untold(self, error: Exception) -> bool:
        """Say whether nobody else tells the user of an error; not for the leader.

        The leader hears of this process's own, and goes first where another is lost.
        """
        if not isinstance(error, LostProcessError):
            return not self._told_others
        time.sleep(LAST_WORDS_S)
        return self.first_to_tell()

    def first_to_tell(self) -> bool:
        """Say whether no other process has told the user why the training ends."""
        if self._store is None:
            return True
        try:
            return int(self._store.add("told", 1)) == 1
        except RuntimeError:
            return True  # Who kept the store is gone.

    def host_by_host(self, leads: bool, get: Callable[[Callable[[int, int], None]], T]) -> T:
        """Get what lands on a computer's disk: one of its processes goes first.

        Parameters
        ----------
        leads : bool
            Whether this is the one.
        get : callable
            Called with a function that it tells bytes done and in all.

        Raises
        ------
        LostProcessError
            If there was no news of it for too long.
        """
        key = f"got on {platform.node()}"
        if leads or self._store is None:
            told = time.monotonic()

            def tell(done: int, total: int) -> None:
                nonlocal told
                if time.monotonic() - told > 1:
                    told = time.monotonic()
                    self._say(f"{key} so far", str(done))

            found = get(tell)
            self._say(key, "all")
            return found
        news, since = None, time.monotonic()
        while self._heard(key) is None:
            time.sleep(0.1)
            heard = self._heard(f"{key} so far")
            if heard != news:
                news, since = heard, time.monotonic()
            if time.monotonic() - since > self._patience_s or self._heard("why"):
                raise LostProcessError(LOST[0], remedy=LOST[1])
            self.check_ended()
        return get(lambda done, total: None)

    def _why_lost(self) -> LostProcessError:
        until = time.monotonic() + LAST_WORDS_S
        while (why := self._heard("why")) is None and time.monotonic() < until:
            time.sleep(0.1)
        if why is None:
            return LostProcessError(LOST[0], remedy=LOST[1])
        return LostProcessError(f"another process could not go on ({why})")

    def _say(self, key: str, text: str) -> bool:
        if self._store is None:
            return False
        try:
            self._store.set(key, text)
        except RuntimeError:
            return False  # Who kept the store is gone.
        return True

    def _heard(self, key: str) -> str | None:
        try:
            there = self._store.check([key])
            return str(self._store.get(key).decode()) if there else None
        except RuntimeError:
            return None


def _means_loss(error: Exception) -> bool:
    """Say whether an error comes from a call that all make together."""
    import torch.distributed as dist

    # What gloo throws has no class of its own.
    speaks = any(word in str(error).lower() for word in ("gloo", "nccl"))
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and speaks)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason'}"


VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""That ``torchrun`` sets for each process that it starts."""


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
    napari_oneshot_lmk.training.distributed.group.joined : lets them find one another.
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


PATIENCE_S = 600.0
"""After so long without an answer a process counts as lost."""


@contextmanager
def joined(world: World, device: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Let the processes of a world speak with one another inside a ``with`` block.

    ``torchrun`` ends the processes that are left when one has ended. Inside the
    block that is an error of the next call to the others, which a log can tell of.

    Parameters
    ----------
    world : World
        Those to meet; nothing happens where it is one process.
    device : str
        From `World.device`.
    patience_s : float
        After how long without an answer a process counts as lost.

    Raises
    ------
    LostProcessError
        If the others do not come, or one is lost later.
    UsageError
        If this PyTorch was built without what it takes.
    """
    if not world.several:
        yield
        return
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        raise UsageError(
            "this PyTorch cannot train in several processes",
            remedy="install one with torch.distributed, or start it without torchrun",
        )
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend, waited = "gloo", timedelta(seconds=patience_s)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, _, _ = next(rendezvous("env://", timeout=waited))
        dist.init_process_group(
            backend,
            store=PrefixStore("group", store),
            rank=world.rank,
            world_size=world.size,
            timeout=waited,
        )
    except (dist.DistError, RuntimeError) as error:
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise LostProcessError(
            f"the {world.size} processes did not find one another ({what})",
            remedy="look at torchrun's options and at the network between the hosts",
        ) from error
    name = f"process {world.rank} on {platform.node()}"
    world.messages = Messages(PrefixStore("words", store), name, patience_s)
    with _heeding_torchrun(world.messages):
        try:
            yield
        except Exception as error:
            # Not parted from: that would wait for who is gone.
            found = world.messages.explained(error)
            if found is error:
                raise
            raise found from error
    dist.destroy_process_group()


@contextmanager
def _heeding_torchrun(messages: Messages) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        # An error raised here could come while a listener holds the event before.
        messages.ended = True
        # Once: torchrun, or whoever it is, may insist.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
