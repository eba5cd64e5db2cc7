"""One of several processes that ``torchrun`` has started, and how each learns of the others.

This is ``torch.distributed`` itself and not ``ignite.distributed``: ignite makes no group
that speaks over gloo and NCCL at once, passes no store on, which the reasons of lost
processes need, and broadcasts no objects.
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
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.errors import OneshotError, TrainingError, UsageError
from napari_oneshot_lmk.training.distributed.group import (
    ALONE,
    PATIENCE_S,
    FetchProgress,
    Losses,
    P,
    ProcessGroup,
    T,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""That ``torchrun`` sets for each process."""
REASON_WAIT_S = 2.0
"""How long the reason may come after the news that a process is gone."""
LOST = (
    "another process of this training has ended, was killed or does not answer",
    "give the same command again to go on from the newest checkpoint",
)


class LostProcessError(TrainingError):
    """The training ends because of another process."""


def group_from_environment(environment: Mapping[str, str] | None = None) -> ProcessGroup:
    """Return the group that ``torchrun`` describes; without it, one process.

    Raises
    ------
    UsageError
        If its variables are damaged.
    """
    given = os.environ if environment is None else environment
    if any(name not in given for name in VARIABLES):
        return ALONE
    try:
        size = int(given["WORLD_SIZE"])
        group = TorchrunGroup(
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
    return group if size > 1 else ALONE


class TorchrunGroup(ProcessGroup):
    """One of several processes, also of those of this computer; counted from 0."""

    is_distributed = True

    def __init__(self, rank: int, size: int, local_rank: int = 0, local_size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self._messages = MessageStore()

    @contextmanager
    def connected(self, device: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Let the processes find one another, for a ``with`` block.

        ``torchrun`` ends the processes that are left when one has ended. Inside the block that
        is an error of the next collective call, which a log can report.
        """
        import torch
        import torch.distributed as dist

        if not dist.is_available():
            raise UsageError(
                "this PyTorch cannot train in several processes",
                remedy="install one with torch.distributed, or start it without torchrun",
            )
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        backend, patience = "gloo", timedelta(seconds=patience_s)
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        try:
            store, _, _ = next(rendezvous("env://", timeout=patience))
            dist.init_process_group(
                backend,
                store=PrefixStore("group", store),
                rank=self.rank,
                world_size=self.size,
                timeout=patience,
            )
        except (dist.DistError, RuntimeError) as error:
            what = next(iter(str(error).splitlines()), type(error).__name__)
            raise LostProcessError(
                f"the {self.size} processes did not find one another ({what})",
                remedy="look at torchrun's options and at the network between the hosts",
            ) from error
        name = f"process {self.rank} on {platform.node()}"
        self._messages = MessageStore(PrefixStore("messages", store), name, patience_s)
        with _torchrun_ends(self._messages):
            try:
                yield
            except Exception as error:
                # The group is not destroyed: that would wait for who is gone.
                found = self.explain(error)
                if found is error:
                    raise
                raise found from error
        dist.destroy_process_group()

    def device(self, name: str) -> str:
        """Return the device of this process: one GPU each, or the processor."""
        if name == "cpu":
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

    def explain(self, error: Exception) -> Exception:
        """Return why a training ends here; where it is this process, tell the others."""
        return self._messages.explain(error)

    def reports(self, error: Exception) -> bool:
        """Whether the user hears from this process why the training ends."""
        if self.is_main:
            self._messages.claim_report()
            return True
        if not self._messages.connected:
            return self.local_rank == 0
        return self._messages.is_unreported(error)

    def once_per_host(self, get: Callable[[FetchProgress], T]) -> T:
        """Get what lands on a computer's disk: one of its processes goes first.

        Raises
        ------
        LostProcessError
            If there was no news of it for too long.
        """
        return self._messages.once_per_host(self.local_rank == 0, get)

    def from_main(self, value: T) -> T:
        """Return what the main process has given here."""
        import torch.distributed as dist

        self._messages.check_ended()
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Return what each process has given, by rank."""
        import torch.distributed as dist

        self._messages.check_ended()
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is set."""
        return self._sums([float(flag)])[0] > 0

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers of the same names over all processes."""
        sums = self._sums(list(values.values()))
        return {name: total / self.size for name, total in zip(values, sums, strict=True)}

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes; without gradient."""
        import torch.distributed as dist

        self._messages.check_ended()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def refusal(self, what: str, remedy: str) -> OneshotError:
        """Return the error that all processes raise at once, news in the main one."""
        kind = UsageError if self.is_main else LostProcessError
        return kind(what, remedy=remedy)

    def average_gradients(
        self, network: nn.Module, losses: Callable[P, Losses], *, find_unused: bool
    ) -> Callable[P, Losses]:
        """Let the gradients of losses be those of all processes, averaged."""
        import warnings

        from torch import nn

        class Step(nn.Module):
            # DistributedDataParallel follows what is called through `forward`; the losses
            # of a step call the network more than once.
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, *given: P.args, **named: P.kwargs) -> Losses:
                return losses(*given, **named)

        # Of 1 x 1 convolutions, whose strides say nothing; it is about speed alone.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(Step(), find_unused_parameters=find_unused)

    def _sums(self, values: Sequence[float]) -> list[float]:
        import torch
        import torch.distributed as dist

        self._messages.check_ended()
        totals = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(totals)
        return [float(total) for total in totals]


class MessageStore:
    """What the processes leave for one another to read.

    Collective calls cannot tell why one of the processes does not come. A small store
    beside them can: it is torch's, and ``torchrun`` keeps it while processes die. There is
    none until the processes have found one another.
    """

    def __init__(self, store: Any = None, name: str = "", patience_s: float = 0.0) -> None:
        self._store, self._name, self._patience_s = store, name, patience_s
        self.ended = False
        """Whether this process was told to end, as torchrun does if one is lost."""
        self._known: list[Exception] = []
        self._others_know = False

    @property
    def connected(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def check_ended(self) -> None:
        """Raise `LostProcessError` if this process was told to end."""
        if self.ended:
            raise LostProcessError(LOST[0], remedy=LOST[1])

    def explain(self, error: Exception) -> Exception:
        """Return why a training ends here: the error, or what ended another process.

        Where the error is this process's own, the others are told.
        """
        if self._store is None or any(error is one for one in self._known):
            return error
        if isinstance(error, LostProcessError) or _is_loss(error):
            found: Exception = self._reason_of_loss()
            found.__cause__ = error
        else:
            found = error
            what = str(error) if isinstance(error, OneshotError) else _in_words(error)
            self._others_know = self._set("why", f"{self._name}: {what}")
        self._known.append(found)
        return found

    def is_unreported(self, error: Exception) -> bool:
        """Whether nobody else tells the user of an error; not for the main process.

        The main process hears of this process's own, and goes first where another is lost.
        """
        if not isinstance(error, LostProcessError):
            return not self._others_know
        time.sleep(REASON_WAIT_S)
        return self.claim_report()

    def claim_report(self) -> bool:
        """Whether no other process has told the user why the training ends."""
        if self._store is None:
            return True
        try:
            return int(self._store.add("told", 1)) == 1
        except RuntimeError:
            return True  # Who kept the store is gone.

    def once_per_host(self, first: bool, get: Callable[[FetchProgress], T]) -> T:
        """Get something; all but the first process of a computer wait until it has it."""
        key = f"got on {platform.node()}"
        if first or self._store is None:
            notified = time.monotonic()

            def notify(done: int, total: int) -> None:
                nonlocal notified
                if time.monotonic() - notified > 1:
                    notified = time.monotonic()
                    self._set(f"{key} so far", str(done))

            found = get(notify)
            self._set(key, "all")
            return found
        news, since = None, time.monotonic()
        while self._get(key) is None:
            time.sleep(0.1)
            heard = self._get(f"{key} so far")
            if heard != news:
                news, since = heard, time.monotonic()
            if time.monotonic() - since > self._patience_s or self._get("why"):
                raise LostProcessError(LOST[0], remedy=LOST[1])
            self.check_ended()
        return get(lambda done, total: None)

    def _reason_of_loss(self) -> LostProcessError:
        until = time.monotonic() + REASON_WAIT_S
        while (why := self._get("why")) is None and time.monotonic() < until:
            time.sleep(0.1)
        if why is None:
            return LostProcessError(LOST[0], remedy=LOST[1])
        return LostProcessError(f"another process could not go on ({why})")

    def _set(self, key: str, text: str) -> bool:
        if self._store is None:
            return False
        try:
            self._store.set(key, text)
        except RuntimeError:
            return False  # Who kept the store is gone.
        return True

    def _get(self, key: str) -> str | None:
        try:
            there = self._store.check([key])
            return str(self._store.get(key).decode()) if there else None
        except RuntimeError:
            return None


def _is_loss(error: Exception) -> bool:
    """Whether an error comes from a collective call."""
    import torch.distributed as dist

    # What gloo throws has no class of its own.
    names = any(word in str(error).lower() for word in ("gloo", "nccl"))
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and names)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason'}"


@contextmanager
def _torchrun_ends(messages: MessageStore) -> Iterator[None]:
    """Note, instead of dying of it, that torchrun ends this process."""

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
