"""Which image the docks work on, how large it is, and its pixel spacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QWidget,
)

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed
from napari_oneshot_lmk.widgets.qt.parts import DIM, LINK, NOTE, WARN, MessageLabel
from napari_oneshot_lmk.widgets.workbench import workbench_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers.file_facts import Facts
    from napari_oneshot_lmk.widgets.layers.image_view import Spacing
    from napari_oneshot_lmk.widgets.session import Session


class ImageHeader(QWidget):
    """Shows which image is meant, lets the user choose another, and type its spacing.

    Parameters
    ----------
    viewer : Viewer
        Whose layers to offer.
    session : Session
        Whose image to set.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._session = session
        self._choice = workbench_of(viewer, session).choice
        self._facts = workbench_of(viewer, session).facts
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
        # A long file name must not make the dock wide.
        self.chooser.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.chooser.activated.connect(self._on_chosen)
        self.size = MessageLabel("", DIM)
        self.only_this = QCheckBox(texts.ONLY_THIS)
        self.only_this.setToolTip(texts.ONLY_THIS_TIP)
        self.only_this.setChecked(self._session.only_this)
        self.only_this.toggled.connect(self._on_only_this)
        self.spacing = QLineEdit()
        self.spacing.setToolTip(texts.SPACING_TIP)
        self.spacing.setMaximumWidth(140)
        self.spacing.editingFinished.connect(self._on_spacing)
        self.spacing_note = QLabel()
        grid.addWidget(QLabel(texts.IMAGE), 0, 0)
        grid.addWidget(self.chooser, 0, 1)
        grid.addWidget(self.size, 1, 1)
        grid.addWidget(self.only_this, 2, 1)
        self.of_file = MessageLabel("", NOTE)
        self.of_file.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.of_file.linkActivated.connect(self._on_use_spacing_of_file)
        grid.addWidget(self.of_file, 5, 0, 1, 2)
        self.blocking_reason = MessageLabel("", WARN)
        grid.addWidget(self.blocking_reason, 3, 0, 1, 2)
        grid.addWidget(QLabel(texts.SPACING), 4, 0)
        row = QHBoxLayout()
        row.addWidget(self.spacing)
        row.addWidget(QLabel(texts.SPACING_UNIT))
        row.addStretch()
        row.addWidget(self.spacing_note)
        grid.addLayout(row, 4, 1)

    # -- what the user chooses -----------------------------------------------------

    def _on_chosen(self, index: int) -> None:
        self._choice.choose(self._choice.images[index])

    def _on_only_this(self, checked: bool) -> None:
        self._session.only_this = checked

    # -- the session ---------------------------------------------------------------

    def _show_only_this(self, only_this: bool) -> None:
        self.only_this.setChecked(only_this)

    def _show_images(self) -> None:
        images = self._choice.images
        self.chooser.clear()
        self.chooser.addItems([layer.name for layer in images])
        self.chooser.setEnabled(bool(images))
        self.only_this.setVisible(len(images) > 1)
        self._show_target()

    def _select(self) -> None:
        images, target = self._choice.images, self._session.target
        layer = self._choice.refused if target is None else target.layer
        self.chooser.setCurrentIndex(images.index(layer) if layer in images else -1)

    def _show_target(self) -> None:
        target = self._session.target
        self._select()
        self.blocking_reason.say(self._session.blocking_reason, WARN)
        self.spacing.setEnabled(target is not None)
        if target is None and self._choice.refusal:
            self.size.say(self._choice.refusal, WARN)
        elif target is None:
            self.size.say("" if self._choice.images else texts.NO_IMAGE_OPEN, DIM)
        else:
            rows, columns = target.shape_yx
            parts = [texts.SIZE.format(rows=rows, columns=columns)]
            if target.slices > 1:
                slice_text = texts.SLICE.format(number=target.slice_number, count=target.slices)
                parts.append(slice_text)
            self.size.say(" · ".join(parts), DIM)
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
            self._note(*self._source_of(spacing))
        self._show_facts()

    # -- its file ------------------------------------------------------------------

    def _facts_here(self) -> Facts | None:
        """Return what the file of the image says, where it is about these pixels."""
        target = self._session.target
        facts = None if target is None else self._facts.of(target.path)
        if target is None or facts is None or target.slice_index:
            return None
        return facts if facts.shape_yx == target.shape_yx else None

    def _source_of(self, spacing: Spacing) -> tuple[str, str, str]:
        """Say which statement of the file a spacing is, if it is one."""
        facts = self._facts_here()
        if facts is None or facts.spacing_mm_yx is None or facts.source is None:
            return "", "", ""
        if not np.allclose(facts.spacing_mm_yx, spacing.mm_yx or 0.0, rtol=1e-4):
            return "", "", ""
        tip = texts.SPACING_FROM_TIP.format(source=facts.source.explained)
        return texts.SPACING_FROM.format(source=facts.source), tip, DIM

    def _show_facts(self) -> None:
        target, facts = self._session.target, self._facts_here()
        sentences = []
        if target is not None and facts is not None:
            image = target.image_name
            sentences = [texts.FILE_NOTE.format(image=image, note=n) for n in facts.notes]
            if facts.spacing_mm_yx is not None and facts.source is not None:
                mine = self._session.spacing.mm_yx
                if not np.allclose(facts.spacing_mm_yx, mine or 0.0, rtol=1e-4):
                    rows, columns = facts.spacing_mm_yx
                    text = texts.SPACING_IN_FILE.format(
                        rows=rows, columns=columns, source=facts.source.explained, link=LINK
                    )
                    sentences.append(text)
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
        text = self.spacing.text()
        shown = self._session.spacing.mm_yx
        if self._session.target is None:
            return
        if text == ("" if shown is None else spacing_text(shown)):
            # What stood here before was wrong; this is what holds.
            self._show_spacing(self._session.spacing)
            return
        try:
            self._session.set_spacing(parse_spacing(text))
        except GeometryError as error:
            self._note(texts.SPACING_BAD, str(error), WARN)
        else:
            self._show_spacing(self._session.spacing)

    def _note(self, text: str, tip: str = "", colour: str = "") -> None:
        self.spacing_note.setText(text)
        self.spacing_note.setToolTip(tip)
        self.spacing_note.setStyleSheet(f"color: {colour};" if colour else "")


def spacing_text(mm_yx: tuple[float, float]) -> str:
    """Write a spacing as the field takes it."""
    rows, columns = (f"{value:.4g}" for value in mm_yx)
    return rows if rows == columns else f"{rows} x {columns}"


def parse_spacing(text: str) -> tuple[float, float] | None:
    """Read "0.1" or "0.10 x 0.12" (rows x columns); None for an empty field.

    Raises
    ------
    GeometryError
        If it is neither.
    """
    cleaned = text.lower().replace("mm", " ").replace("×", "x").replace(",", ".")
    parts = [part.strip() for part in cleaned.split("x") if part.strip()]
    if not parts:
        return None
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise GeometryError(texts.SPACING_BAD, remedy=texts.SPACING_BAD_REMEDY) from error
    if len(values) > 2:
        raise GeometryError(texts.SPACING_BAD, remedy=texts.SPACING_BAD_REMEDY)
    return values[0], values[-1]
