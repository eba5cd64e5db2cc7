"""Docks that scroll where the screen is too low for their content."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

LEAST_HEIGHT = 140
"""Pixels of a dock that has to make room for others: some rows, and the scroll bar."""


class Content(QWidget):
    """The widget that scrolls, at the least height that its wrapped lines need.

    Qt takes the preferred height, and a table that could be lower would make everything
    scroll.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = QVBoxLayout(self)

    def heightForWidth(self, width: int) -> int:  # noqa: N802  Qt's name
        """Return the least height at a width."""
        return int(self.inner.minimumHeightForWidth(width))


class Scrolling(QScrollArea):
    """A vertical scroll area as wide as its content, which fills it where there is room.

    The wheel scrolls, and changes no combo box or number without the focus: another image
    would be chosen in passing.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """As wide as the content needs, and as low as can still be used."""
        return QSize(self._wide(self.widget().minimumSizeHint()), LEAST_HEIGHT)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """All of the content."""
        hint = self.widget().sizeHint()
        return QSize(self._wide(hint), hint.height())

    def _wide(self, hint: QSize) -> int:
        return int(hint.width() + self.verticalScrollBar().sizeHint().width())

    def event(self, event: Any) -> bool:
        """Tell the dock when the content needs another size."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Filter the wheel events of all controls."""
        super().showEvent(event)
        for kind in (QComboBox, QAbstractSpinBox):
            for control in self.widget().findChildren(kind):
                # By default the wheel gives a number the focus.
                control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                control.removeEventFilter(self)
                control.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802  Qt's name
        """Scroll by the wheel over a control that has no focus."""
        control = isinstance(watched, QComboBox | QAbstractSpinBox) and not watched.hasFocus()
        if control and event.type() == QEvent.Type.Wheel:
            self.wheelEvent(event)
            return True
        return bool(super().eventFilter(watched, event))


def scrolling_layout(dock: QWidget) -> QVBoxLayout:
    """Return the layout of a new scrolling content in a dock without a layout."""
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(0, 0, 0, 0)
    content = Content()
    outer.addWidget(Scrolling(content))
    return content.inner
