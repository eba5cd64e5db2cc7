"""The current landmark on the template and on this image, and what is similar to it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.review.patches import cut_patch, patch_frame, patch_sizes_yx
from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.layers.image_view import LUMA_RGB
from napari_oneshot_lmk.widgets.layers.style import MARK_LIGHT, css
from napari_oneshot_lmk.widgets.qt.parts import Button, MessageLabel, row_of
from napari_oneshot_lmk.widgets.review.similarity import MapState

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmark
    from napari_oneshot_lmk.widgets.review.similarity import SimilarityRun
    from napari_oneshot_lmk.widgets.session import Session

SIDE_PX = 96
"""Three in a row make the dock no wider: the canvas would move under the mouse."""
COLOURS = "viridis"
"""Of similar places: grows brighter all along, and is told apart with any colour vision."""
LEGEND_PX = (28, 8)
NOTHING = (0.5, 0.5, 0.5)
"""Where there is no image."""


class PatchView(QWidget):
    """Shows what the chosen landmark looks like on the template and here, and what is like it.

    All three have the same scale; the last two show the same part of the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.title = MessageLabel()
        self.template, self.here = QLabel(), QLabel()
        self.map = Button("", review_texts.MAP_TIP)
        self.map.clicked.connect(self._on_map)
        self._run: SimilarityRun | None = None
        self._frame: tuple[str, np.ndarray, np.ndarray] | None = None
        """Landmark, first pixel and sides of the part of this image that is shown."""
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.addWidget(self.title, 0, 0, 1, 4)
        for column, (picture, words) in enumerate(
            (
                (self.template, review_texts.ON_TEMPLATE),
                (self.here, review_texts.HERE),
                (self.map, review_texts.MAP),
            )
        ):
            picture.setFixedSize(SIDE_PX, SIDE_PX)
            grid.addWidget(picture, 1, column)
            grid.addWidget(QLabel(words), 2, column)
        for picture in (self.template, self.here):
            picture.setToolTip(review_texts.PATCH_TIP)
        self.map.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.map.setStyleSheet("QPushButton { padding: 0px; }")
        grid.addWidget(_legend(), 3, 2)
        grid.setColumnStretch(3, 1)
        self.setVisible(False)

    def follow(self, run: SimilarityRun) -> None:
        """Show the maps that are computed."""
        self._run = run
        run.changed.connect(self.show_map)

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
        at = point.position_yx
        self._frame = None if at is None else (name, *patch_frame(at, sizes[1]))
        self.show_map()
        self.setVisible(True)

    def _draw(self, picture: QLabel, pixels: Any, point: Landmark, size_yx: Any) -> None:
        if point.position_yx is None:
            absent = point.state is State.ABSENT
            picture.setPixmap(QPixmap())
            picture.setText(review_texts.PATCH_ABSENT if absent else review_texts.PATCH_OPEN)
            return
        picture.setPixmap(_pixmap(cut_patch(pixels, point.position_yx, size_yx)))

    # -- the map -------------------------------------------------------------------

    def show_map(self) -> None:
        """Show the map around the point, or why there is none."""
        run, frame = self._run, self._frame
        maps = None if run is None else run.maps
        if run is None or frame is None or (maps is not None and frame[0] not in maps.names):
            self._say(review_texts.MAP_NO_POINT, review_texts.MAP_TIP)
        elif maps is None:
            text = review_texts.MAP_STATE[run.state.name]
            self._say(text, f"{run.problem}\n{review_texts.MAP_TIP}".strip())
        else:
            name, first, sides = frame
            middle = tuple(first + (sides - 1) / 2)
            self.map.setText("")
            self.map.setIcon(_icon(maps.around(name, middle, tuple(sides), SIDE_PX)))
            self.map.setToolTip(review_texts.MAP_TIP)

    def _say(self, text: str, tip: str) -> None:
        self.map.setIcon(QIcon())
        self.map.setText(text)
        self.map.setToolTip(tip)

    def _on_map(self) -> None:
        if self._run is None or self._frame is None:
            return
        if self._run.state in (MapState.NOT_ASKED, MapState.FAILED):
            self._run.ask()
        elif self._run.state in (MapState.WAITING, MapState.RUNNING):
            self._run.stop()


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
    return _crossed(pixmap)


def _crossed(pixmap: QPixmap) -> QPixmap:
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


def _coloured(values: np.ndarray) -> QPixmap:
    """Draw (h, w) values from 0 to 1; NaN is grey."""
    rgb = np.asarray(ensure_colormap(COLOURS).map(np.nan_to_num(values).ravel()))[:, :3]
    rgb = rgb.reshape(*values.shape, 3)
    rgb[np.isnan(values)] = NOTHING
    rows, columns = values.shape
    data = np.ascontiguousarray(np.round(255 * rgb), dtype=np.uint8).tobytes()
    image = QImage(data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)


def _icon(values: np.ndarray) -> QIcon:
    return QIcon(_crossed(_coloured(values)))


def _legend() -> QWidget:
    columns, rows = LEGEND_PX
    bar = QLabel()
    bar.setPixmap(_coloured(np.tile(np.linspace(0, 1, columns), (rows, 1))))
    legend = QWidget()
    layout = row_of(review_texts.MAP_LOW, bar, review_texts.MAP_HIGH)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addStretch()
    legend.setLayout(layout)
    legend.setToolTip(review_texts.MAP_TIP)
    return legend
