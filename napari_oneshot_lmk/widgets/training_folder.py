"""Deleting a training's folder, once its process has let go of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.widgets import words_train as words

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.training_child import Child
    from napari_oneshot_lmk.widgets.training_order import TrainingOrder

PATIENCE_S = 10.0
PAUSE_S = 0.05


def delete_order(order: TrainingOrder, alive: Callable[[], bool]) -> Iterator[None]:
    """Delete a training; a generator for a worker's thread.

    Parameters
    ----------
    order : TrainingOrder
        Whose folder to delete.
    alive : callable
        Whether its process, which was killed, still lives.

    Raises
    ------
    OutputError
        If something cannot be deleted.
    """
    # A window that opens meanwhile must not take it up again.
    order.mark_seen()
    until = time.monotonic() + PATIENCE_S
    while alive() and time.monotonic() < until:
        time.sleep(PAUSE_S)
        yield
    while order.folder.exists():
        try:
            shutil.rmtree(order.folder)
        except OSError as error:
            # Windows lets go of a killed process's files a moment later.
            if time.monotonic() >= until:
                raise OutputError(
                    words.CANNOT_DELETE.format(reason=error.strerror or error),
                    file=order.folder,
                    remedy=words.CANNOT_DELETE_REMEDY,
                ) from error
            time.sleep(PAUSE_S)
            yield


def delete_now(order: TrainingOrder, child: Child) -> None:
    """Delete a training whose process was killed; waits for it a moment.

    What cannot be deleted then is marked, so that no window takes it up again.
    """
    with suppress(OutputError):
        for _ in delete_order(order, lambda: child.alive):
            pass
