"""What the processes of a training leave for one another to read.

Calls that all make together cannot tell why one of them does not come. A small
store beside them can: it is torch's, and ``torchrun`` keeps it while processes die.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any, TypeVar

from napari_oneshot_lmk.errors import OneshotError, TrainingError

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
