"""Thumbnails of the images in a list, drawn one after the other in another thread."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QIcon

from napari_oneshot_lmk.review.thumbnails import shrink
from napari_oneshot_lmk.widgets.qt.parts import icon_of
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun, explained

if TYPE_CHECKING:
    import numpy as np

    from napari_oneshot_lmk.widgets.detect.run import Pixels

SIDE_PX = 64
"""Twice the size on the screen, for screens with small pixels."""


class ThumbnailRun(WorkerRun):
    """Draws thumbnails of images, one at a time.

    Each image is work of its own, so that what a person waits for comes in between. Images
    that are not in the list any more when their turn comes are left out.
    """

    made = Signal(object, QIcon, str)
    """An image's key, its thumbnail, and why there is none or ""."""
    _drawn = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._wanted: list[tuple[Hashable, Pixels]] = []
        self._going: Hashable | None = None
        self._drawn.connect(self._on_drawn)

    def want(self, images: Sequence[tuple[Hashable, Pixels]]) -> None:
        """Draw these images, the first one first, instead of those that wait."""
        self._wanted = [each for each in images if each[0] != self._going]
        self._start()

    def forget(self) -> None:
        """Draw nothing: the images are not reviewed any more."""
        self._wanted, self._going = [], None
        self.cancel()

    def _start(self) -> None:
        if self._wanted and not self.running:
            self._going, pixels = self._wanted.pop(0)
            self._work(lambda: self._draw(pixels))

    def _draw(self, pixels: Pixels) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        yield self._drawn, shrink(pixels.gray_image().pixels, SIDE_PX)
        return "", False

    def _on_drawn(self, grey: np.ndarray) -> None:
        if self._going is not None:
            self.made.emit(self._going, icon_of(grey), "")

    def _on_ended(self, end: Done | Failure) -> None:
        if isinstance(end, Failure) and self._going is not None:
            self.made.emit(self._going, QIcon(), explained(end)[0])
        self._going = None
        self._start()

    def _on_cancelled(self) -> None:
        if self._worker is not None:
            self._worker = self._going = None
            self._start()
