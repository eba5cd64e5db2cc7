"""The current landmark on the template and on this image, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.review.patches import cut_patch, patch_sizes_yx
from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.layers.image_view import LUMA_RGB
from napari_oneshot_lmk.widgets.layers.style import MARK_LIGHT, css
from napari_oneshot_lmk.widgets.qt.parts import DIM, MessageLabel

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmark
    from napari_oneshot_lmk.widgets.session import Session

SIDE_PX = 132


class PatchView(QWidget):
    """Shows what the chosen landmark looks like on the template, and here."""

    def __init__(self) -> None:
        super().__init__()
        self.title = MessageLabel()
        self.template, self.here = QLabel(), QLabel()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.title, 0, 0, 1, 3)
        for column, (picture, words) in enumerate(
            ((self.template, review_texts.ON_TEMPLATE), (self.here, review_texts.HERE))
        ):
            picture.setFixedSize(SIDE_PX, SIDE_PX)
            picture.setToolTip(review_texts.PATCH_TIP)
            below = QLabel(words)
            below.setStyleSheet(f"color: {DIM};")
            grid.addWidget(picture, 1, column)
            grid.addWidget(below, 2, column)
        grid.setColumnStretch(2, 1)
        self.setVisible(False)

    def show_landmark(self, session: Session, reasons: str = "") -> None:
        """Show the session's current landmark, where it has a point here."""
        template, target, annotation = session.template, session.target, session.annotation
        name = annotation.current
        point = annotation.landmarks[name] if name else None
        known = template is not None and name in template.landmarks
        if target is None or template is None or point is None or not known:
            self.setVisible(False)
            return
        geometry = template.image.geometry
        view = target.read_pixels(session.spacing.mm_yx)
        sizes = patch_sizes_yx(geometry, view.geometry)
        described = f" · {reasons}" if reasons else ""
        self.title.say(f"<b>{name}</b>{described}")
        self.title.setToolTip(point.description)
        self._draw(self.template, template.image.pixels, template.landmarks[name], sizes[0])
        self._draw(self.here, view.pixels, point, sizes[1])
        self.setVisible(True)

    def _draw(self, picture: QLabel, pixels: Any, point: Landmark, size_yx: Any) -> None:
        if point.position_yx is None:
            absent = point.state is State.ABSENT
            picture.setPixmap(QPixmap())
            picture.setText(review_texts.PATCH_ABSENT if absent else review_texts.PATCH_OPEN)
            return
        picture.setPixmap(_pixmap(cut_patch(pixels, point.position_yx, size_yx)))


def _pixmap(patch: np.ndarray) -> QPixmap:
    """Draw a patch with a cross at its middle, stretched from its 1st to 99th percentile."""
    grey = patch[..., :3].astype(float) @ LUMA_RGB if patch.ndim == 3 else patch.astype(float)
    low, high = np.nanpercentile(grey, (1, 99))
    grey = np.nan_to_num(np.clip((grey - low) / max(high - low, 1e-6), 0, 1))
    rows, columns = grey.shape
    data = np.ascontiguousarray(255 * grey, dtype=np.uint8).tobytes()
    image = QImage(data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    pixmap = QPixmap.fromImage(image).scaled(
        SIDE_PX,
        SIDE_PX,
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    painter = QPainter(pixmap)
    middle, gap, end = SIDE_PX // 2, 5, 13
    for colour, width in ((QColor("#000000"), 4), (QColor(css(MARK_LIGHT)), 2)):
        painter.setPen(QPen(colour, width))
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            painter.drawLine(
                QPoint(middle + gap * dx, middle + gap * dy),
                QPoint(middle + end * dx, middle + end * dy),
            )
    painter.end()
    return pixmap
