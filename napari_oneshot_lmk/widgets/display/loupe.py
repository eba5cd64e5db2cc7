"""The image around the mouse, magnified pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, QTimer
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QWidget

from napari_oneshot_lmk.review.patches import cut_patch
from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.session import Session

ZOOMS = (4, 8)
"""Pixels of the screen per pixel of the image."""
SIDE_PX = 200
EVERY_MS = 15
"""However fast the mouse moves, it is drawn no more often."""


class LoupeView(QWidget):
    """Shows the session's image around the mouse with a crosshair, in the colours of its layer.

    A movement of the mouse only notes where it is: the drawing follows when there is time.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._zoom = ZOOMS[0]
        self._picture: QPixmap | None = None
        self.setFixedHeight(SIDE_PX)
        self.setMinimumWidth(SIDE_PX)
        self.setToolTip(review_texts.LOUPE_TIP)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(EVERY_MS)
        self._soon.timeout.connect(self.draw)
        # Unlike the mouse callbacks of a viewer, it also follows while a point is dragged.
        moved = viewer.cursor.events.position
        connect_until_destroyed(self, self._on_moved, moved, session.events.target)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Return a square."""
        return QSize(SIDE_PX, SIDE_PX)

    def show_zoom(self, zoom: int) -> None:
        """Magnify by this from now on."""
        self._zoom = zoom
        self.draw()

    def _on_moved(self, event: Any = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def draw(self) -> None:
        """Draw the image around the mouse as it is now."""
        target = self._session.target
        self._picture = None
        if target is not None and target.layer in self._viewer.layers:
            layer = target.layer
            world = np.asarray(self._viewer.cursor.position)[-layer.ndim :]
            if len(world) == layer.ndim:
                y, x = target.from_layer(layer.world_to_data(world))[0]
                self._picture = self._magnified(layer, target.read_pixels(None).pixels, (y, x))
        self.update()

    def _magnified(self, layer: Any, pixels: Any, at_yx: tuple[float, float]) -> QPixmap:
        half_px = self.width() / 2 / self._zoom, self.height() / 2 / self._zoom
        middle = np.round(at_yx)
        size_yx = 2 * np.ceil(half_px[::-1]) + 2
        patch = cut_patch(pixels, at_yx, size_yx)
        rows, columns = patch.shape[:2]
        rgb = patch[..., :3] if layer.rgb else layer.colormap.map(_scaled(layer, patch).ravel())
        rgb = np.asarray(rgb, dtype=float)
        if not layer.rgb:
            rgb = 255 * rgb[:, :3].reshape(rows, columns, 3)
        elif patch.dtype.kind == "f":
            rgb = 255 * rgb
        data = np.ascontiguousarray(np.clip(rgb, 0, 255), dtype=np.uint8).tobytes()
        image = QImage(data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        picture = QPixmap(self.width(), self.height())
        painter = QPainter(picture)
        # Of the patch, the middle pixel's centre lies at half its sides.
        off_yx = np.subtract(at_yx, middle)
        left = self.width() / 2 - (columns / 2 + off_yx[1]) * self._zoom
        top = self.height() / 2 - (rows / 2 + off_yx[0]) * self._zoom
        painter.drawImage(QRectF(left, top, columns * self._zoom, rows * self._zoom), image)
        _draw_crosshair(painter, self.width() / 2, self.height() / 2)
        painter.end()
        return picture

    def paintEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Show what was drawn last."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#000000"))
        if self._picture is not None:
            painter.drawPixmap(0, 0, self._picture)
        painter.end()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Draw for the new size."""
        super().resizeEvent(event)
        self._on_moved()


def _scaled(layer: Any, values: np.ndarray) -> np.ndarray:
    """Bring grey levels to 0..1 as the layer shows them."""
    low, high = layer.contrast_limits
    unit = np.nan_to_num(np.clip((values.astype(float) - low) / max(high - low, 1e-12), 0, 1))
    return np.asarray(unit**layer.gamma)


def _draw_crosshair(painter: QPainter, x: float, y: float) -> None:
    for colour, width in ((QColor("#000000"), 3), (QColor("#ffffff"), 1)):
        painter.setPen(QPen(colour, width))
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start, end = QPointF(x + 6 * dx, y + 6 * dy), QPointF(x + 30 * dx, y + 30 * dy)
            painter.drawLine(start, end)
