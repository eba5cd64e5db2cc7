"""The pixel spacing from the ruler on a radiograph: lines, each with its length."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtGui import QDoubleValidator
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
        self._lengths_mm: list[float] = []
        self.say = MessageLabel(texts.RULER_DRAW, DIM)
        self.length = QLineEdit()
        self.length.setValidator(QDoubleValidator(0.0, 10_000.0, 4))
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
        self._target, self._lengths_mm = target, []
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
        drawn = [] if self._layer is None else self._layer.data
        # Of a stack the leading coordinates say the slice.
        ends = [np.asarray(line, dtype=float)[:, -2:] for line in drawn]
        return [
            RulerLine(_pair(line[0]), _pair(line[-1]), mm)
            for line, mm in zip(ends, self._lengths_mm, strict=False)
        ]

    def _without_spacing(self) -> list[Any]:
        """Return the other image layers whose spacing nobody knows."""
        here = None if self._target is None else self._target.layer
        layers = (la for la in self._viewer.layers if isinstance(la, Image) and la is not here)
        known = self._session.spacing_for
        return [
            la for la in layers if spacing_of(la).mm_yx is None and not known(ImageView(la)).mm_yx
        ]

    def _on_data(self, event: Any = None) -> None:
        count = len(self._layer.data)
        del self._lengths_mm[count:]
        if count > len(self._lengths_mm):
            self.length.setFocus()
        self._show()

    def _on_length(self) -> None:
        text = self.length.text().replace(",", ".")
        drawn = 0 if self._layer is None else len(self._layer.data)
        if text and len(self._lengths_mm) < drawn:
            # Lines that were drawn before a length was typed all have it.
            self._lengths_mm += [float(text)] * (drawn - len(self._lengths_mm))
            self._show()

    def _on_use(self) -> None:
        self._on_length()
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
