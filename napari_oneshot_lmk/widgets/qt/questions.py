"""Questions with an answer for each button, and the window that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

Choice = tuple[str, QMessageBox.ButtonRole, str]


def ask_one_of(
    window: QWidget,
    title: str,
    text: str,
    choices: Sequence[Choice],
    otherwise: str,
    *,
    dangerous: bool = False,
) -> str:
    """Ask in a dialog with a button for each answer.

    ``choices`` are each button's text, its role, and the answer that it gives;
    ``otherwise`` is the answer of Escape and of the dialog's own cross, and of Enter where
    another answer would be ``dangerous``.
    """
    box = QMessageBox(window)
    box.setWindowTitle(title)
    box.setText(text)
    buttons = {box.addButton(label, role): answer for label, role, answer in choices}
    if dangerous:
        box.setIcon(QMessageBox.Icon.Warning)
        box.setDefaultButton(next(b for b, answer in buttons.items() if answer == otherwise))
    box.exec()
    return buttons.get(box.clickedButton(), otherwise)


def main_window_of(widget: QWidget) -> QMainWindow | None:
    """Return the main window above a widget; a floating dock is below it, too."""
    above: Any = widget
    while above is not None and not isinstance(above, QMainWindow):
        above = above.parentWidget()
    return above
