"""Keyboard shortcuts: one table for the key bindings, tooltips and help.

They are bound to this plugin's points layers and docks, and to the viewer while a dock is open
(`viewer_keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut

from napari_oneshot_lmk.widgets import review_texts, texts


@dataclass(frozen=True)
class Shortcut:
    """An action with its keys."""

    action: str
    keys: tuple[str, ...]
    """Key combinations as napari writes them."""
    shown: str
    """The first of them as users know it; empty where another line of the help says it."""
    help: str
    on_canvas: bool = False
    """Whether it is for the canvas only: in a dock these keys move in tables and fields."""


SHORTCUTS = (
    Shortcut("next", ("N",), "N", texts.KEY_NEXT),
    Shortcut("previous", ("B",), "B", texts.KEY_PREVIOUS),
    Shortcut("skip", ("K",), "K", texts.KEY_SKIP),
    Shortcut("absent", ("X",), "X", texts.KEY_ABSENT),
    Shortcut("undo", ("Control-Z",), "Ctrl+Z", texts.KEY_UNDO),
    Shortcut("redo", ("Control-Shift-Z", "Control-Y"), "Ctrl+Shift+Z", texts.KEY_REDO),
    Shortcut("next_unsure", ("U",), "U", review_texts.KEY_NEXT_UNSURE),
    Shortcut("accept_point", ("Enter",), "Enter", review_texts.KEY_ACCEPT_POINT, True),
    Shortcut("accept_image", ("Shift-Enter",), "Shift+Enter", review_texts.KEY_ACCEPT_IMAGE, True),
    Shortcut("next_image", ("PageDown",), "Page down", review_texts.KEY_NEXT_IMAGE, True),
    Shortcut("previous_image", ("PageUp",), "Page up", review_texts.KEY_PREVIOUS_IMAGE, True),
    Shortcut("next_corrected", ("C",), "C", review_texts.KEY_NEXT_CORRECTED),
    Shortcut("reset_point", ("R",), "R", review_texts.KEY_RESET),
    Shortcut("up", ("Up",), "Arrows", review_texts.KEY_NUDGE, True),
    *(
        Shortcut(f"{action}{'_fine' * fine}", (f"{'Shift-' * fine}{key}",), "", "", True)
        for action, key in (("up", "Up"), ("down", "Down"), ("left", "Left"), ("right", "Right"))
        for fine in (False, True)
        if (action, fine) != ("up", False)
    ),
    Shortcut("contrast", ("G",), "G", review_texts.KEY_CONTRAST),
    Shortcut("invert", ("I",), "I", review_texts.KEY_INVERT),
    Shortcut("loupe", ("L",), "L", review_texts.KEY_LOUPE),
    Shortcut("help", ("Shift-?", "?"), "?", texts.KEY_HELP),
)

MOUSE = (
    (texts.MOUSE_CLICK, texts.MOUSE_CLICK_HELP),
    (texts.MOUSE_DRAG_POINT, texts.MOUSE_DRAG_POINT_HELP),
    (texts.MOUSE_DRAG, texts.MOUSE_DRAG_HELP),
    (texts.MOUSE_WHEEL, texts.MOUSE_WHEEL_HELP),
    (texts.KEY_DELETE, texts.KEY_DELETE_HELP),
)


def bind(layer: Any, actions: Mapping[str, Callable[[], None]]) -> None:
    """Bind the function of every action to its keys on a points layer."""

    def without_layer(action: Callable[[], None]) -> Callable[[Any], None]:
        return lambda layer: action()

    for shortcut in SHORTCUTS:
        for key in shortcut.keys:
            layer.bind_key(key, without_layer(actions[shortcut.action]), overwrite=True)


def bind_dock(widget: Any, actions: Mapping[str, Callable[[], None]]) -> None:
    """Let the same keys work while a dock has the focus; its text fields keep theirs."""
    for shortcut in SHORTCUTS:
        for key in () if shortcut.on_canvas else shortcut.keys:
            # napari writes "Control-Shift-Z", Qt "Ctrl+Shift+Z".
            sequence = QKeySequence(key.replace("-", "+").replace("Control", "Ctrl"))
            pressed = QShortcut(sequence, widget)
            pressed.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            pressed.activated.connect(actions[shortcut.action])


def hint(action: str) -> str:
    """Return the key of an action, for a button's tooltip."""
    return next(s.shown for s in SHORTCUTS if s.action == action)


def help_table() -> str:
    """Write the keys and the mouse as an HTML table."""
    rows = [*MOUSE, *((s.shown, s.help) for s in SHORTCUTS if s.shown)]
    cells = "".join(
        f"<tr><td style='padding:3px 14px 3px 0'><b>{key}</b></td><td>{text}</td></tr>"
        for key, text in rows
    )
    return f"<table>{cells}</table>"
