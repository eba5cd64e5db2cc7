"""How the processes of a training find one another, and part."""

from __future__ import annotations

import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.messages import LostProcessError, Messages
from napari_oneshot_lmk.training.world import World

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
