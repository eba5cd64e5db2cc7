"""The curves of a training for TensorBoard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.training.events import EpochEnded, Event

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes one folder of curves a model: losses, shift and agreement by epoch.

    Parameters
    ----------
    folder : Path
        Where TensorBoard is to look (``tensorboard --logdir``).
    """

    def __init__(self, folder: Path) -> None:
        # It takes seconds to import: now, not when somebody waits for a stop.
        from torch.utils.tensorboard import SummaryWriter

        self._new_writer = SummaryWriter
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def take(self, event: Event) -> None:
        """Draw what is to be drawn of an event."""
        if not isinstance(event, EpochEnded):
            return
        writer = self._writer(event)
        for stage, loss in event.losses.items():
            writer.add_scalar(f"loss/{stage}", loss, event.epoch)
        writer.add_scalar(f"shift of pseudo-labels/{event.unit}", event.shift, event.epoch)
        if event.agreement is not None:
            writer.add_scalar(f"agreement/{event.unit}", event.agreement, event.epoch)
        writer.flush()

    def close(self) -> None:
        """Let go of the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, event: EpochEnded) -> SummaryWriter:
        if event.model not in self._writers:
            name = re.sub(r"[^\w.\- ]+", "_", event.model).strip(" .")
            # What an earlier process has drawn from this epoch on is drawn again.
            self._writers[event.model] = self._new_writer(
                str(self._folder / name) if name else str(self._folder), purge_step=event.epoch
            )
        return self._writers[event.model]
