"""Which points layer shows the landmarks of which image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.image_identity import identity_of
from napari_oneshot_lmk.widgets.layers.landmark_layer import LandmarkLayer
from napari_oneshot_lmk.widgets.layers.napari_versions import keeping_selection
from napari_oneshot_lmk.widgets.layers.open_layers import lies_on
from napari_oneshot_lmk.widgets.qt.connections import Flag

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key
    from napari_oneshot_lmk.widgets.session import Session


class LandmarkLayers:
    """The landmark layers of one viewer, one for each image that has landmarks.

    ``changed`` is emitted when a layer has another mode, is shown or is hidden; ``tell``
    shows the user one sentence, ``bind`` binds the keys of a layer.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        session: Session,
        tell: Callable[[str], None],
        bind: Callable[[Any], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._tell = tell
        self._bind = bind
        self._layers: dict[Key, LandmarkLayer] = {}
        self._left: dict[str, Any] = {}
        self.adding = Flag()
        """No layer is added for edits made while this is set."""
        viewer.layers.events.removed.connect(self._on_removed)
        session.edited.connect(self._on_edited)

    def layer_of(self, target: ImageView | None) -> LandmarkLayer | None:
        """Return the layer that shows an image's landmarks, while there is one."""
        shown = None if target is None else self._layers.get(target.key)
        return shown if shown is not None and shown.alive else None

    def target_of(self, layer: Any) -> ImageView | None:
        """Return the image whose landmarks a layer shows; None for other layers."""
        showing = (la for la in self._layers.values() if is_same(la.layer, layer))
        return next((shown.target for shown in showing), None)

    def is_left(self, layer: Any) -> bool:
        """Say whether a layer was left in the viewer when its image was removed."""
        return any(is_same(layer, other) for other in self._left.values())

    def show(self, target: ImageView, layer: Any = None) -> LandmarkLayer:
        """Show the landmarks of an image, in an existing layer or in a new one."""
        shown = self.layer_of(target)
        if shown is not None:
            return shown
        layer = self._left_by(target) if layer is None else layer
        here = self._session.target
        with self.adding, keeping_selection(self._viewer):
            shown = LandmarkLayer(self._viewer, self._session, target, self._tell, layer)
            shown.layer.visible = here is None or here.layer == target.layer
            # Whoever selects the layer can drag its points at once.
            shown.layer.mode = "select"
        for event in (shown.layer.events.mode, shown.layer.events.visible):
            event.connect(self._on_changed)
        self._bind(shown.layer)
        self._layers[target.key] = shown
        return shown

    @contextmanager
    def turned(self, before: ImageView, after: ImageView) -> Iterator[None]:
        """Let the landmark layer of an image show those of another that the same layer shows.

        In the block the image layer is changed. Nothing happens where there is no landmark layer.
        """
        shown = self.layer_of(before)
        with ExitStack() as turning:
            if shown is not None:
                self._layers[after.key] = self._layers.pop(before.key)
                turning.enter_context(shown.turned(after))
            yield

    def show_missing(self, target: ImageView) -> None:
        """Show the landmarks of an image that are placed and have no layer."""
        placed = self._session.annotation_of(target).landmarks.placed
        if placed and self.layer_of(target) is None:
            shown = self.show(target)
            if self._session.target == target:
                shown.activate()

    def _left_by(self, target: ImageView) -> Any:
        """Return the layer that was left when an image was removed."""
        if not self._left:
            return None
        layer = self._left.pop(identity_of(target), None)
        kept = layer is not None and layer in self._viewer.layers
        return layer if kept and lies_on(layer, target) else None

    def _on_edited(self, key: Key) -> None:
        """Show landmarks that have no layer, for example after an undo."""
        target = self._session.target_of(key)
        if not self.adding and target is not None:
            self.show_missing(target)

    def _on_removed(self, event: Any) -> None:
        for key, shown in list(self._layers.items()):
            if is_same(shown.layer, event.value):
                self._let_go(key)
                if shown.target.layer in self._viewer.layers:
                    self._take_off(shown.target)
            elif is_same(shown.target.layer, event.value):
                # The session keeps its landmarks; the layer is hidden, not removed:
                # napari may be about to remove it.
                self._let_go(key)
                self._left[identity_of(shown.target)] = shown.layer
                shown.layer.visible = False
        self.changed.emit()

    def _let_go(self, key: Key) -> None:
        shown = self._layers.pop(key)
        shown.release()
        for event in (shown.layer.events.mode, shown.layer.events.visible):
            event.disconnect(self._on_changed)

    def _take_off(self, target: ImageView) -> None:
        """Remove the landmarks of an image whose landmark layer was removed."""
        if self._session.annotation_of(target).is_empty:
            return
        if target.key in self._session.of_project:
            # What is removed while the layers change is added when they have.
            QTimer.singleShot(0, lambda: self._bring_back(target))
            return
        self._session.take_off(target)
        self._tell(texts.TAKEN_OFF.format(image=target.image_name))
        # An image that is removed in the same action keeps its landmarks.
        QTimer.singleShot(0, self._session.note_taken_off)

    def _bring_back(self, target: ImageView) -> None:
        """Show the landmarks of a project's image again: they are kept without their layer."""
        placed = self._session.annotation_of(target).landmarks.placed
        if placed and self._session.target == target and self.layer_of(target) is None:
            self.show_missing(target)
            self._tell(texts.LAYER_BACK.format(image=target.image_name))

    def _on_changed(self, event: Any = None) -> None:
        self.changed.emit()


def is_same(one: Any, other: Any) -> bool:
    """Say whether two layers are one; napari hands out proxies of them."""
    return bool(one.unique_id == getattr(other, "unique_id", None))
