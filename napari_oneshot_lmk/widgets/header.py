"""Which picture the docks work on, how large it is, and its pixel spacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Points
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

from napari_oneshot_lmk.errors import GeometryError, ImageError
from napari_oneshot_lmk.widgets import points, words
from napari_oneshot_lmk.widgets.follow import Following
from napari_oneshot_lmk.widgets.layers import target_of
from napari_oneshot_lmk.widgets.parts import DIM, NOTE, WARN, Line

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers import Spacing
    from napari_oneshot_lmk.widgets.session import Session


class ImageHeader(QWidget):
    """Follows the viewer's image layers and tells the session which one is meant.

    Parameters
    ----------
    viewer : Viewer
        Whose layers to offer.
    session : Session
        Whose picture to set.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._images: list[Any] = []
        self._build()
        self._names = Following(self)
        following = Following(self)
        layers, dims = viewer.layers.events, viewer.dims.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            following.follow(event, self._on_layers)
        following.follow(viewer.layers.selection.events.active, self._on_active)
        for event in (dims.current_step, dims.ndisplay, dims.order):
            following.follow(event, self._on_dims)
        following.follow(session.events.target, self._show_target)
        following.follow(session.events.spacing, self._show_spacing)
        self._on_layers()
        self._show_target()

    def _build(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        self.chooser = QComboBox()
        self.chooser.setToolTip(words.IMAGE_TIP)
        # A long file name must not make the dock wide.
        self.chooser.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.chooser.activated.connect(self._on_chosen)
        self.size = Line("", DIM)
        self.only_this = QCheckBox(words.ONLY_THIS)
        self.only_this.setToolTip(words.ONLY_THIS_TIP)
        self.only_this.setChecked(True)
        self.spacing = QLineEdit()
        self.spacing.setToolTip(words.SPACING_TIP)
        self.spacing.setMaximumWidth(140)
        self.spacing.editingFinished.connect(self._on_spacing)
        self.spacing_note = QLabel()
        grid.addWidget(QLabel(words.IMAGE), 0, 0)
        grid.addWidget(self.chooser, 0, 1)
        grid.addWidget(self.size, 1, 1)
        grid.addWidget(self.only_this, 2, 1)
        grid.addWidget(QLabel(words.SPACING), 3, 0)
        row = QHBoxLayout()
        row.addWidget(self.spacing)
        row.addWidget(QLabel(words.SPACING_UNIT))
        row.addStretch()
        row.addWidget(self.spacing_note)
        grid.addLayout(row, 3, 1)

    # -- the viewer's layers -------------------------------------------------------

    def _on_layers(self, event: Any = None) -> None:
        self._names.end()
        self._images = [
            layer for layer in self._viewer.layers if isinstance(layer, Image)
        ]
        for layer in self._images:
            self._names.follow(layer.events.name, self._on_renamed)
        self._on_renamed()
        self.only_this.setVisible(len(self._images) > 1)
        current = self._session.target
        if current is not None and current.layer in self._images:
            return
        active = self._viewer.layers.selection.active
        if isinstance(active, Image):
            self._open(active)
        else:
            self._open(self._images[-1] if self._images else None)

    def _on_renamed(self, event: Any = None) -> None:
        self.chooser.clear()
        self.chooser.addItems([layer.name for layer in self._images])
        self.chooser.setEnabled(bool(self._images))
        self._select()

    def _on_active(self, event: Any) -> None:
        if isinstance(event.value, Image) and event.value in self._images:
            self._open(event.value)

    def _on_dims(self, event: Any = None) -> None:
        target = self._session.target
        layer = target.layer if target is not None else self._refused
        if layer is not None and layer in self._images:
            self._open(layer)

    def _on_chosen(self, index: int) -> None:
        layer = self._images[index]
        self._open(layer)
        if self.only_this.isChecked() and len(self._images) > 1:
            self._show_only(layer)

    def _show_only(self, layer: Any) -> None:
        for image in self._images:
            image.visible = image == layer
        target = self._session.target
        if target is None:
            return
        for other in self._viewer.layers:
            if isinstance(other, Points) and points.is_ours(other.metadata):
                about = other.metadata[points.METADATA].get("image")
                other.visible = about == target.image_name

    _refused: Any = None

    def _open(self, layer: Any) -> None:
        """Turn the session to a layer, or say why it cannot be worked on."""
        self._refused = None
        try:
            target = None if layer is None else target_of(layer, self._viewer)
        except ImageError as error:
            self._session.open(None)
            self._refused = layer
            self._show_target()
            self.size.say(f"{error}.", WARN)
            self._select()
            return
        self._session.open(target)
        self._show_target()

    # -- the session ---------------------------------------------------------------

    def _select(self) -> None:
        target = self._session.target
        layer = self._refused if target is None else target.layer
        index = self._images.index(layer) if layer in self._images else -1
        self.chooser.setCurrentIndex(index)

    def _show_target(self) -> None:
        target = self._session.target
        self._select()
        self.spacing.setEnabled(target is not None)
        if target is None:
            self.size.say("" if self._images else words.NO_IMAGE_OPEN, DIM)
        else:
            rows, columns = target.shape_yx
            parts = [words.SIZE.format(rows=rows, columns=columns)]
            if target.slices > 1:
                slice_text = words.SLICE.format(
                    number=target.slice_number, count=target.slices
                )
                parts.append(slice_text)
            self.size.say(" · ".join(parts), DIM)
        self._show_spacing(self._session.spacing)

    def _show_spacing(self, spacing: Spacing) -> None:
        self.spacing.setText(
            "" if spacing.mm_yx is None else spacing_text(spacing.mm_yx)
        )
        if self._session.target is None:
            self._note("")
        elif spacing.problem:
            self._note(words.SPACING_UNKNOWN, spacing.problem, WARN)
        elif spacing.mm_yx is None:
            self._note(words.SPACING_UNKNOWN, words.SPACING_UNKNOWN_TIP, WARN)
        elif spacing.assumed:
            self._note(words.SPACING_ASSUMED, words.SPACING_ASSUMED_TIP, NOTE)
        else:
            self._note("")

    def _on_spacing(self) -> None:
        text = self.spacing.text()
        shown = self._session.spacing.mm_yx
        if self._session.target is None or text == (
            "" if shown is None else spacing_text(shown)
        ):
            return
        try:
            self._session.set_spacing(parse_spacing(text))
        except GeometryError as error:
            self._note(words.SPACING_BAD, str(error), WARN)
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
        raise GeometryError(
            words.SPACING_BAD, remedy=words.SPACING_BAD_REMEDY
        ) from error
    if len(values) > 2:
        raise GeometryError(words.SPACING_BAD, remedy=words.SPACING_BAD_REMEDY)
    return values[0], values[-1]
