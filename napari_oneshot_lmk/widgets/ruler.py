"""The pixel spacing from the ruler on a radiograph: lines, each with its length."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QVBoxLayout, QWidget

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.measure.ruler import RulerLine, spacing_from_lines
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, spacing_of, transform_of
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import DIM, WARN, Button, MessageLabel, row_of
from napari_oneshot_lmk.widgets.session import Session

LINE_COLOUR = "#ffd84d"


class RulerRow(QWidget):
    """Measures lines that the user draws on the session's image.

    It adds a layer to draw in, and removes it at the end. ``ended`` is emitted then.
    """

    ended = Signal()

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._layer: Any = None
        self._target: ImageView | None = None
        self._taken = ""
        self._lengths_mm: dict[bytes, float] = {}
        """Each drawn line, by its coordinates, with the length that was typed for it."""
        self.say = MessageLabel(texts.RULER_DRAW, DIM)
        self.length = QLineEdit()
        self.length.setMaximumWidth(70)
        self.length.setToolTip(texts.RULER_LENGTH_TIP)
        self.length.returnPressed.connect(self._on_length)
        self.use = Button(texts.RULER_USE, texts.RULER_USE_TIP)
        self.use.clicked.connect(lambda *_: self._on_use())
        self.cancel = Button(texts.CANCEL)
        self.cancel.clicked.connect(lambda *_: self.end())
        self.for_all = QCheckBox()
        self.for_all.setToolTip(texts.RULER_ALL_TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.say)
        row = row_of(texts.RULER_LENGTH, self.length, texts.MM, self.use, self.cancel)
        row.addStretch()
        layout.addLayout(row)
        layout.addWidget(self.for_all)
        self.hide()
        connect_until_destroyed(self, self._on_target, session.events.target)
        connect_until_destroyed(self, self._on_removed, viewer.layers.events.removed)

    @property
    def measuring(self) -> bool:
        """Whether lines are being drawn."""
        return self._layer is not None

    def begin(self) -> None:
        """Let the user draw lines on the session's image."""
        target = self._session.target
        if target is None or self.measuring:
            return
        self._target, self._lengths_mm, self._taken = target, {}, ""
        self._layer = self._viewer.add_shapes(
            name=texts.RULER_LAYER,
            ndim=target.layer.ndim,
            edge_color=LINE_COLOUR,
            edge_width=max(1.0, max(target.shape_yx) / 400),
            **transform_of(target.layer),
        )
        self._layer.mode = "add_line"
        self._layer.events.data.connect(self._on_data)
        others = len(self._without_spacing())
        self.for_all.setText(texts.RULER_ALL.format(images=texts.counted(others, "other image")))
        self.for_all.setChecked(others > 0)
        self.for_all.setVisible(others > 0)
        self.length.clear()
        self.setVisible(True)
        self._show()

    def end(self) -> None:
        """Remove the lines, and go back to the landmarks."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.events.data.disconnect(self._on_data)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.setVisible(False)
        self.ended.emit()

    @property
    def lines(self) -> list[RulerLine]:
        """The lines that have a length, in pixels of the image."""
        lengths = self._lengths_mm
        # Of a stack the leading coordinates say the slice.
        return [
            RulerLine(_pair(line[0, -2:]), _pair(line[-1, -2:]), lengths[line.tobytes()])
            for line in self._drawn()
            if line.tobytes() in lengths
        ]

    def _drawn(self) -> list[Any]:
        shapes = [] if self._layer is None else self._layer.data
        return [np.ascontiguousarray(line, dtype=float) for line in shapes]

    def _without_spacing(self) -> list[Any]:
        """Return the other image layers whose spacing nobody knows."""
        here = None if self._target is None else self._target.layer
        layers = (la for la in self._viewer.layers if isinstance(la, Image) and la is not here)
        known = self._session.spacing_for
        return [
            la for la in layers if spacing_of(la).mm_yx is None and not known(ImageView(la)).mm_yx
        ]

    def _on_data(self, event: Any = None) -> None:
        if len(self._drawn()) > len(self.lines):
            self.length.setFocus()
        self._show()

    def _on_length(self) -> bool:
        """Take the length that was typed; say whether it is one."""
        drawn = self._drawn()
        if not drawn:
            return False
        try:
            mm = float(self.length.text().strip().removesuffix("mm").replace(",", "."))
        except ValueError:
            self.say.say(texts.RULER_NO_NUMBER, WARN)
            return False
        opened = [line.tobytes() for line in drawn if line.tobytes() not in self._lengths_mm]
        # Lines without a length all get it; where none is left, the last one is corrected.
        self._lengths_mm |= dict.fromkeys(opened or [drawn[-1].tobytes()], mm)
        self._taken = self.length.text()
        self._show()
        return True

    def _on_use(self) -> None:
        incomplete = len(self.lines) < len(self._drawn())
        if (incomplete or self.length.text() != self._taken) and not self._on_length():
            return
        try:
            mm = spacing_from_lines(self.lines).mm
            others = self._without_spacing() if self.for_all.isChecked() else []
            self._session.set_spacing(mm, others)
        except GeometryError as error:
            self.say.say(f"{error}.", WARN)
        else:
            self.end()

    def _show(self) -> None:
        lines, drawn = self.lines, len(self._layer.data)
        self.use.set_reason("" if drawn else texts.RULER_WHY_NO_LINE)
        if drawn > len(lines):
            self.say.say(texts.RULER_TYPE, DIM)
            return
        if not lines:
            self.say.say(texts.RULER_DRAW, DIM)
            return
        try:
            found = spacing_from_lines(lines)
        except GeometryError as error:
            self.say.say(f"{error}.", WARN)
            return
        self.say.say(
            texts.RULER_FOUND.format(
                lines=texts.counted(len(lines), "line"),
                mm=found.mm,
                percent=100 * found.largest_deviation,
            )
        )

    def _on_target(self, target: ImageView | None) -> None:
        if self.measuring and target != self._target:
            self.end()

    def _on_removed(self, event: Any) -> None:
        if self.measuring and event.value.unique_id == self._layer.unique_id:
            self.end()


def _pair(yx: Any) -> tuple[float, float]:
    return float(yx[0]), float(yx[1])
