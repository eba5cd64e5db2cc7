"""The table of landmarks under the keyboard."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QVBoxLayout, QWidget

from napari_oneshot_lmk.widgets.qt.parts import (
    DIM,
    LINK,
    NOTE,
    WARN,
    LandmarkRow,
    LandmarkTable,
)

NAMES = [f"landmark {number}" for number in range(40)]
ROWS = [LandmarkRow(name, ("",), "#ffffff") for name in NAMES]


@pytest.fixture
def table(qtbot: Any) -> Iterator[LandmarkTable]:
    """With a control before and after it, as in a dock."""
    window = QWidget()
    layout = QVBoxLayout(window)
    table = LandmarkTable(("#", "Landmark", ""))
    for part in (QLineEdit(), table, QLineEdit()):
        layout.addWidget(part)
    qtbot.addWidget(window)
    window.resize(300, 300)
    with qtbot.waitExposed(window):
        window.show()
    window.activateWindow()
    table.show_rows(ROWS, NAMES[3])
    table.setFocus()
    qtbot.waitUntil(table.hasFocus, timeout=5000)
    yield table
    # Until here this function holds the window: qtbot alone does not.
    window.close()


@pytest.fixture
def picked(table: LandmarkTable) -> list[str]:
    names: list[str] = []

    def follow(name: str) -> None:
        # As the docks do: what is picked is highlighted again.
        names.append(name)
        table.show_rows(ROWS, name)

    table.picked.connect(follow)
    return names


def press(table: LandmarkTable, *keys: Any) -> None:
    for key in keys:
        QTest.keyClick(table, key)


def test_arrows_and_enter_move_and_pick(table, picked):
    press(table, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up)
    assert picked == [NAMES[4], NAMES[5], NAMES[4]]
    assert table.currentRow() == 4
    assert {index.row() for index in table.selectedIndexes()} == {4}
    # Sideways stays.
    press(table, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Return, Qt.Key.Key_Enter)
    assert picked[3:] == [NAMES[4]] * 2


def test_pages_and_ends_move_and_pick(table, picked):
    press(table, Qt.Key.Key_PageDown)
    paged = NAMES.index(picked[0])
    assert 4 < paged < len(NAMES) - 1
    press(table, Qt.Key.Key_PageUp, Qt.Key.Key_End, Qt.Key.Key_Home)
    assert NAMES.index(picked[1]) < paged
    assert picked[2:] == [NAMES[-1], NAMES[0]]
    # At the end there is nowhere to go.
    press(table, Qt.Key.Key_Up)
    assert len(picked) == 4


def test_tab_leaves_the_table_both_ways(table, picked):
    before, _, after = (table.parentWidget().layout().itemAt(i).widget() for i in (0, 1, 2))
    QTest.keyClick(table, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is after
    QTest.keyClick(after, Qt.Key.Key_Tab, Qt.KeyboardModifier.ShiftModifier)
    assert QApplication.focusWidget() is table
    QTest.keyClick(table, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
    assert QApplication.focusWidget() is before
    assert picked == []


def test_what_is_shown_picks_nothing(table, picked):
    table.show_rows(ROWS, NAMES[20])
    table.show_rows(ROWS[:10], NAMES[2])
    table.show_rows([], "")
    press(table, Qt.Key.Key_Down, Qt.Key.Key_Return)
    assert picked == []


def luminance(rgb: Any) -> float:
    """Relative luminance of 8-bit sRGB, as WCAG 2 defines it."""
    part = np.asarray(rgb[:3], dtype=float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("colour", [WARN, NOTE, DIM, LINK])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_coloured_texts_can_be_read_in_both_themes(colour, theme):
    background = get_theme(theme).background.as_rgb_tuple(alpha=False)
    dark, light = sorted((luminance(QColor(colour).getRgb()), luminance(background)))
    assert (light + 0.05) / (dark + 0.05) > 3


def test_columns_fit_a_font_that_the_table_gets_later(table: LandmarkTable) -> None:
    table.window().setStyleSheet("QWidget { font-size: 30px }")
    assert table.columnWidth(2) >= table.sizeHintForColumn(2)
    table.show_rows(())
    assert table.columnWidth(2) >= table.horizontalHeader().sectionSizeHint(2)
