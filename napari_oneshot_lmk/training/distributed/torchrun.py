"""One of several processes that ``torchrun`` has started, and why others were lost.

This is ``torch.distributed`` itself and not ``ignite.distributed``: ignite makes no group
that uses gloo and NCCL at once, gives no access to the store, which the reasons of lost
processes need, and broadcasts no objects.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
"""How long after a process was lost its reason may still arrive."""


class LostProcessError(TrainingError):
    """The training ends because of another process."""


def _lost() -> LostProcessError:
    return LostProcessError(
        "another process of this training has ended, was killed or does not answer",
        remedy="give the same command again to go on from the newest checkpoint",
    )


def group_from_environment(environment: Mapping[str, str] | None = None) -> ProcessGroup:
    """Return the group that ``torchrun`` describes in variables; without them, `ALONE`.

    Raises `UsageError` if a variable is damaged.
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
    """One of several processes; ranks, also among those of this computer, are from 0.

    A failed collective call does not tell why a process did not take part. The processes
    therefore leave messages in a key-value store, which ``torchrun`` keeps while they die.
    """

    is_distributed = True

    def __init__(self, rank: int, size: int, local_rank: int = 0, local_size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self._store: Any = None
        self._patience_s = PATIENCE_S
        self._told_to_end = False
        self._explained: list[Exception] = []
        self._others_know = False

    @contextmanager
    def connected(self, device: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Connect the processes for a ``with`` block.

        ``torchrun`` ends the remaining processes when one has ended. Inside the block that is
        an error of the next collective call, which a log can report.
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
        self._store, self._patience_s = PrefixStore("messages", store), patience_s
        with self._surviving_sigterm():
            try:
                yield
            except Exception as error:
                # The group is not destroyed: that would wait for lost processes.
                found = self.explain(error)
                if found is error:
                    raise
                raise found from error
        dist.destroy_process_group()

    def device(self, name: str) -> str:
        """Return the device of this process: one GPU each, or the CPU."""
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
        """Return why the training ends: the error, or the reason that another process gave.

        Where the error is this process's own, the others are told.
        """
        if self._store is None or any(error is one for one in self._explained):
            return error
        found = error
        if isinstance(error, LostProcessError) or _is_loss(error):
            until = time.monotonic() + REASON_WAIT_S
            while (why := self._get("why")) is None and time.monotonic() < until:
                time.sleep(0.1)
            found = LostProcessError(f"another process could not go on ({why})") if why else _lost()
            found.__cause__ = error
        else:
            what = str(error)
            if not isinstance(error, OneshotError):
                what = f"{type(error).__name__}: {' '.join(what.split()) or 'no reason'}"
            name = f"process {self.rank} on {platform.node()}"
            self._others_know = self._set("why", f"{name}: {what}")
        self._explained.append(found)
        return found

    def reports(self, error: Exception) -> bool:
        """Whether this process tells the user why the training ends.

        The main process does, and learns of the own errors of others. If one process is lost,
        only the first to report does, the main one before others.
        """
        if self.is_main:
            self._claim_report()
            return True
        if self._store is None:
            return self.local_rank == 0
        if not isinstance(error, LostProcessError):
            return not self._others_know
        time.sleep(REASON_WAIT_S)
        return self._claim_report()

    def once_per_host(self, get: Callable[[FetchProgress], T]) -> T:
        """Get what is stored on a computer's disk: one of its processes goes first.

        Raises `LostProcessError` if that made no progress for too long.
        """
        key = f"got on {platform.node()}"
        if self.local_rank == 0 or self._store is None:
            notified = time.monotonic()

            def notify(done: int, total: int) -> None:
                nonlocal notified
                if time.monotonic() - notified > 1:
                    notified = time.monotonic()
                    self._set(f"{key} so far", str(done))

            found = get(notify)
            self._set(key, "all")
            return found
        so_far, since = None, time.monotonic()
        while self._get(key) is None:
            time.sleep(0.1)
            read = self._get(f"{key} so far")
            if read != so_far:
                so_far, since = read, time.monotonic()
            if time.monotonic() - since > self._patience_s or self._get("why"):
                raise _lost()
            self._check_told_to_end()
        return get(lambda done, total: None)

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        box: list[Any] = [value if self.is_main else None]
        self._distributed().broadcast_object_list(box, src=0)
        found: T = box[0]
        return found

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        values: list[Any] = [None] * self.size
        self._distributed().all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is set."""
        return self.means({"flag": float(flag)})["flag"] > 0

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers of the same names over all processes."""
        import torch

        means = self.mean(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, means.tolist(), strict=True))

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes; without gradient."""
        total = value.detach().clone()
        self._distributed().all_reduce(total)
        return total / self.size

    def refusal(self, what: str, remedy: str) -> OneshotError:
        """Return an error that all processes raise, to be reported by the main one."""
        kind = UsageError if self.is_main else LostProcessError
        return kind(what, remedy=remedy)

    def average_gradients(
        self, network: nn.Module, losses: Callable[P, Losses], *, find_unused: bool
    ) -> Callable[P, Losses]:
        """Return ``losses`` with gradients that are averaged over all processes."""
        import warnings

        from torch import nn

        class Step(nn.Module):
            # DistributedDataParallel tracks calls of `forward`; the losses of a step call the
            # network more than once.
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, *given: P.args, **named: P.kwargs) -> Losses:
                return losses(*given, **named)

        # Of 1 x 1 convolutions, whose strides do not matter; it concerns only speed.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(Step(), find_unused_parameters=find_unused)

    def _distributed(self) -> Any:
        """Return ``torch.distributed`` for a collective call, if this process may go on."""
        import torch.distributed as dist

        self._check_told_to_end()
        return dist

    def _check_told_to_end(self) -> None:
        if self._told_to_end:
            raise _lost()

    @contextmanager
    def _surviving_sigterm(self) -> Iterator[None]:
        """Note, instead of dying of it, that torchrun terminates this process."""

        def end(number: int, frame: FrameType | None) -> None:
            # An error raised here could interrupt whoever handles the last event.
            self._told_to_end = True
            # Only the first signal: a second one terminates the process.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _claim_report(self) -> bool:
        """Whether no other process has told the user why the training ends."""
        # Of the store: the process that kept it may be gone.
        with suppress(RuntimeError):
            if self._store is not None:
                return int(self._store.add("told", 1)) == 1
        return True

    def _set(self, key: str, text: str) -> bool:
        with suppress(RuntimeError):
            if self._store is not None:
                self._store.set(key, text)
                return True
        return False

    def _get(self, key: str) -> str | None:
        with suppress(RuntimeError):
            if self._store.check([key]):
                return str(self._store.get(key).decode())
        return None


def _is_loss(error: Exception) -> bool:
    """Whether an error comes from a collective call."""
    import torch.distributed as dist

    # Errors of gloo have no class of their own, and not all of its messages name it.
    words = ("gloo", "nccl", "timeout caused pair closure")
    named = any(word in str(error).lower() for word in words)
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and named)
