"""The keys on the viewer itself, for when another layer than the landmarks is selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_oneshot_lmk.widgets.shortcuts import SHORTCUTS

NAPARI_NEEDS = ("Control-Y",)
"""Second keys of an action that napari uses for something else: it turns to 3-D with this one.

The plane images of a project have no third dimension: there the key is the action's."""
STEPS = ("Left", "Right", "Up", "Down")
"""napari goes through the slices of a stack with these."""


class ViewerKeys:
    """Binds the actions of `SHORTCUTS` on a viewer while a dock of this plugin is open.

    A layer's own keys go first. When the last dock is closed, the viewer's keys are as before.
    """

    def __init__(self, viewer: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._docks = 0
        self._in_project = False
        self._replaced: dict[str, Any] = {}
        viewer.dims.events.ndim.connect(self._on_ndim)

    def follow_project(self, is_open: bool) -> None:
        """Take the keys that napari needs for images outside a project, or give them back."""
        self._in_project = is_open
        self._update()

    def serve(self, dock: Any) -> None:
        """Bind the keys as long as a dock exists."""
        self._docks += 1
        dock.destroyed.connect(self._on_closed)
        self._update()

    def _on_closed(self, _: object = None) -> None:
        self._docks -= 1
        self._update()

    def _on_ndim(self, event: Any = None) -> None:
        self._update()

    def _wanted(self) -> dict[str, str]:
        """Return key -> action."""
        if not self._docks:
            return {}
        flat = self._viewer.dims.ndim == 2
        left = () if self._in_project else NAPARI_NEEDS
        return {
            key: shortcut.action
            for shortcut in SHORTCUTS
            for key in shortcut.keys
            if key not in left and (flat or key.rpartition("-")[2] not in STEPS)
        }

    def _update(self) -> None:
        wanted = self._wanted()
        for key in [key for key in self._replaced if key not in wanted]:
            self._viewer.bind_key(key, self._replaced.pop(key), overwrite=True)
        for key, action in wanted.items():
            if key not in self._replaced:
                act = _without_viewer(self._actions[action])
                self._replaced[key] = self._viewer.bind_key(key, act, overwrite=True)


def _without_viewer(action: Callable[[], None]) -> Callable[[Any], None]:
    return lambda viewer: action()
