"""Which image the docks work on, how large it is, and its pixel spacing."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QWidget

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.file_facts import Facts
from napari_oneshot_lmk.widgets.layers.image_view import Spacing
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    LINK,
    NOTE,
    WARN,
    Button,
    MessageLabel,
    narrow,
    row_of,
)
from napari_oneshot_lmk.widgets.ruler import RulerRow
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.workbench import workbench_of


class ImageHeader(QWidget):
    """Shows which image is meant, lets the user choose another, and type its spacing."""

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._session = session
        self._viewer = viewer
        bench = workbench_of(viewer, session)
        self._bench = bench
        self._choice, self._facts = bench.choice, bench.facts
        self._build()
        events = session.events
        connect_until_destroyed(self, self._show_images, self._choice.changed)
        connect_until_destroyed(self, self._show_target, events.target, events.blocking_reason)
        connect_until_destroyed(self, self._show_only_this, events.only_this)
        connect_until_destroyed(self, self._show_spacing, events.spacing)
        self._facts.ready.connect(self._on_facts)
        self._show_images()

    def _build(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        self.chooser = QComboBox()
        self.chooser.setToolTip(texts.IMAGE_TIP)
        narrow(self.chooser)
        self.chooser.activated.connect(lambda row: self._choice.choose(self._choice.images[row]))
        self.size = MessageLabel("", DIM)
        self.only_this = QCheckBox(texts.ONLY_THIS)
        self.only_this.setToolTip(texts.ONLY_THIS_TIP)
        self.only_this.setChecked(self._session.only_this)
        self.only_this.toggled.connect(self._on_only_this)
        self.blocking_reason = MessageLabel("", WARN)
        self.spacing = QLineEdit()
        self.spacing.setToolTip(texts.SPACING_TIP)
        self.spacing.setMaximumWidth(140)
        self.spacing.editingFinished.connect(self._on_spacing)
        self.spacing_note = QLabel()
        self.measure = Button(texts.RULER, texts.RULER_TIP)
        self.measure.clicked.connect(self._on_measure)
        self.ruler = RulerRow(self._viewer, self._session)
        self.ruler.ended.connect(self._on_ruler_ended)
        spacing = row_of(self.spacing, texts.SPACING_UNIT)
        spacing.addStretch()
        spacing.addWidget(self.spacing_note)
        self.of_file = MessageLabel("", NOTE)
        self.of_file.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.of_file.linkActivated.connect(self._on_use_spacing_of_file)
        grid.addWidget(QLabel(texts.IMAGE), 0, 0)
        grid.addWidget(self.chooser, 0, 1)
        # Beside the size, where there is room: the row of the spacing has its notes.
        self.corner = row_of(self.size, self.measure, stretched=self.size)
        grid.addLayout(self.corner, 1, 1)
        grid.addWidget(self.only_this, 2, 1)
        grid.addWidget(self.blocking_reason, 3, 0, 1, 2)
        grid.addWidget(QLabel(texts.SPACING), 4, 0)
        grid.addLayout(spacing, 4, 1)
        grid.addWidget(self.of_file, 5, 0, 1, 2)
        grid.addWidget(self.ruler, 6, 0, 1, 2)

    def _on_only_this(self, checked: bool) -> None:
        self._session.only_this = checked

    def _show_only_this(self, only_this: bool) -> None:
        self.only_this.setChecked(only_this)

    def _show_images(self) -> None:
        images = self._choice.images
        self.chooser.clear()
        self.chooser.addItems([layer.name for layer in images])
        self.chooser.setEnabled(bool(images))
        self.only_this.setVisible(len(images) > 1)
        self._show_target()

    def _show_target(self) -> None:
        images, target = self._choice.images, self._session.target
        layer = self._choice.refused if target is None else target.layer
        self.chooser.setCurrentIndex(images.index(layer) if layer in images else -1)
        self.blocking_reason.say(self._session.blocking_reason, WARN)
        self.spacing.setEnabled(target is not None)
        self.measure.set_reason("" if target is not None else texts.NO_IMAGE)
        if target is None and self._choice.refusal:
            self.size.say(self._choice.refusal, WARN)
        elif target is None:
            self.size.say("" if images else texts.NO_IMAGE_OPEN, DIM)
        else:
            rows, columns = target.shape_yx
            size = texts.SIZE.format(rows=rows, columns=columns)
            if target.slices > 1:
                text = texts.SLICE.format(number=target.slice_number, count=target.slices)
                size = f"{size} · {text}"
            self.size.say(size, DIM)
        self._show_spacing(self._session.spacing)

    def _show_spacing(self, spacing: Spacing) -> None:
        self.spacing.setText("" if spacing.mm_yx is None else spacing_text(spacing.mm_yx))
        if self._session.target is None:
            self._note("")
        elif spacing.problem:
            self._note(texts.SPACING_UNKNOWN, spacing.problem, WARN)
        elif spacing.mm_yx is None:
            self._note(texts.SPACING_UNKNOWN, texts.SPACING_UNKNOWN_TIP, WARN)
        elif spacing.assumed:
            self._note(texts.SPACING_ASSUMED, texts.SPACING_ASSUMED_TIP, NOTE)
        else:
            facts = self._facts_here()
            if facts is not None and facts.source is not None and _is_stated(spacing, facts):
                tip = texts.SPACING_FROM_TIP.format(source=facts.source.explained)
                self._note(str(facts.source), tip, DIM)
            else:
                self._note("")
        self._show_facts()

    def _facts_here(self) -> Facts | None:
        """Return what the file of the image says, where it is about these pixels."""
        target = self._session.target
        facts = None if target is None else self._facts.of(target.path)
        if target is None or facts is None or target.slice_index:
            return None
        return facts if facts.shape_yx == target.shape_yx else None

    def _show_facts(self) -> None:
        target, facts = self._session.target, self._facts_here()
        sentences = []
        if target is not None and facts is not None:
            image = target.image_name
            sentences = [texts.FILE_NOTE.format(image=image, note=n) for n in facts.notes]
            stated, source = facts.spacing_mm_yx, facts.source
            if stated and source is not None and not _is_stated(self._session.spacing, facts):
                said = {"rows": stated[0], "columns": stated[1], "source": source.explained}
                sentences.append(texts.SPACING_IN_FILE.format(**said, link=LINK))
        self.of_file.say("<br>".join(sentences), NOTE)

    def _on_facts(self, path: object) -> None:
        target = self._session.target
        if target is not None and target.path == path:
            self._show_spacing(self._session.spacing)

    def _on_use_spacing_of_file(self, link: str) -> None:
        facts = self._facts_here()
        if facts is not None:
            self._session.set_spacing(facts.spacing_mm_yx)

    def _on_spacing(self) -> None:
        text, shown = self.spacing.text(), self._session.spacing.mm_yx
        if self._session.target is None:
            return
        try:
            # The spacing as it is, typed again, only removes the note of an error.
            if text != ("" if shown is None else spacing_text(shown)):
                self._session.set_spacing(parse_spacing(text))
        except GeometryError as error:
            self._note(texts.SPACING_BAD, str(error), WARN)
        else:
            self._show_spacing(self._session.spacing)

    def _on_measure(self) -> None:
        self.ruler.begin()

    def _on_ruler_ended(self) -> None:
        if self._bench.placing is not None:
            self._bench.placing.activate()

    def _note(self, text: str, tip: str = "", colour: str = "") -> None:
        self.spacing_note.setText(text)
        self.spacing_note.setToolTip(tip)
        self.spacing_note.setStyleSheet(f"color: {colour};" if colour else "")


def _is_stated(spacing: Spacing, facts: Facts) -> bool:
    """Say whether a spacing is the one that a file states."""
    stated = facts.spacing_mm_yx
    return stated is not None and np.allclose(stated, spacing.mm_yx or 0.0, rtol=1e-4)


def spacing_text(mm_yx: tuple[float, float]) -> str:
    """Write a spacing as the field takes it."""
    rows, columns = (f"{value:.4g}" for value in mm_yx)
    return rows if rows == columns else f"{rows} x {columns}"


def parse_spacing(text: str) -> tuple[float, float] | None:
    """Read "0.1" or "0.10 x 0.12" (rows x columns); None for an empty field.

    A `GeometryError` says if it is neither.
    """
    cleaned = text.lower().replace("mm", " ").replace("×", "x").replace(",", ".")
    parts = [part.strip() for part in cleaned.split("x") if part.strip()]
    if not parts:
        return None
    try:
        rows, columns = map(float, parts * 2 if len(parts) == 1 else parts)
    except ValueError as error:  # no numbers, or more than two
        raise GeometryError(texts.SPACING_BAD, remedy=texts.SPACING_BAD_REMEDY) from error
    return rows, columns
