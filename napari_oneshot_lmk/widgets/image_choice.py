"""The image in the docks, the one on the canvas, and the layer that takes clicks: one.

However the user chooses an image (in a dock, in the layer list, with its eye, with
keys), the three follow. Where they cannot, the session's ``blocking_reason`` says why, and
no click is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Points
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, target_of
from napari_oneshot_lmk.widgets.layers.landmark_layers import LandmarkLayers
from napari_oneshot_lmk.widgets.layers.napari_versions import camera_of, grid_of
from napari_oneshot_lmk.widgets.qt.connections import Flag
from napari_oneshot_lmk.widgets.session import Session

OPAQUE_FROM = 0.9
"""Opacity from which an image hides what lies below it."""
SEE_THROUGH = ("additive", "minimum", "multiplicative")
"""Ways of blending that never hide what lies below."""


class ImageChoice:
    """Follows the viewer and the session of one window.

    ``changed`` says that the images that can be chosen, or what is wrong with the
    chosen one, have changed. ``shown`` knows which points layer shows which image's landmarks.
    """

    changed = Signal()

    def __init__(self, viewer: Any, session: Session, shown: LandmarkLayers) -> None:
        self._viewer = viewer
        self._session = session
        self._shown = shown
        self._presenting = Flag()
        self.changing = Flag()
        """Set while a layer is made to show another image: nothing that it does is followed."""
        self._followed: list[Any] = []
        self._put_out_of_sight: list[Any] = []
        self.refused: Any = None
        self.refusal = ""
        layers, dims = viewer.layers.events, viewer.dims.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        for event in (dims.current_step, dims.ndisplay, dims.order):
            event.connect(self._on_dims)
        grid_of(viewer).events.enabled.connect(self._on_shown)
        session.events.target.connect(self._on_target)
        session.events.only_this.connect(self._on_only_this)
        self._on_layers()

    @property
    def images(self) -> list[Any]:
        """The image layers, in the order of the layer list."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def choose(self, layer: Any) -> None:
        """Turn to the image that a layer shows, or say why it cannot be worked on."""
        before = self.refused, self.refusal
        self.refused, self.refusal = None, ""
        try:
            target = None if layer is None else target_of(layer, self._viewer)
        except ImageError as error:
            self.refused, self.refusal = layer, f"{error}."
            target = None
        if target is not None and target == self._session.target:
            if not target.layer.visible:
                self._present(target)
        else:
            self._session.open(target)
        if before != (self.refused, self.refusal):
            self.changed.emit()

    def _on_layers(self, event: Any = None) -> None:
        images = self.images
        for layer in images:
            if layer not in self._followed:
                for name in ("visible", "opacity", "blending", "name"):
                    getattr(layer.events, name).connect(self._on_shown)
        self._followed = images
        self._put_out_of_sight = [la for la in self._put_out_of_sight if la in self._viewer.layers]
        target = self._session.target
        gone = target is None or target.layer not in images
        if gone and self.refused not in images:
            active = self._viewer.layers.selection.active
            shown = [layer for layer in images if layer.visible]
            self.choose(active if active in images else (shown or images or [None])[-1])
        self._update_blocking_reason()
        self.changed.emit()

    def _on_active(self, event: Any) -> None:
        layer = event.value
        if self._presenting or self.changing or layer is None:
            return
        if isinstance(layer, Image):
            # An image that is opened hidden is not chosen by that.
            new = layer not in self._followed
            if layer.visible or not new or self._session.target is None:
                self.choose(layer)
        else:
            target = self._shown.target_of(layer)
            if target is not None and target.layer in self._viewer.layers:
                self.choose(target.layer)

    def _on_dims(self, event: Any = None) -> None:
        if self.changing:
            return
        target = self._session.target
        layer = target.layer if target is not None else self.refused
        if layer is not None and layer in self._viewer.layers:
            self.choose(layer)

    def _on_shown(self, event: Any = None) -> None:
        if self._presenting or self.changing:
            return
        layer, kind = getattr(event, "source", None), getattr(event, "type", "")
        if kind == "name":
            self.changed.emit()
            return
        target = self._session.target
        opened = kind == "visible" and isinstance(layer, Image) and layer.visible
        if opened and self._session.only_this and layer in self._viewer.layers:
            if target is None or target.layer != layer:
                self.choose(layer)
            else:
                self._present(target)
        self._update_blocking_reason()

    def _on_only_this(self, only_this: bool) -> None:
        if only_this and self._session.target is not None:
            self._present(self._session.target)

    def _on_target(self, target: ImageView | None) -> None:
        if target is not None and target.layer in self._viewer.layers:
            self._present(target)
        else:
            self._update_blocking_reason()

    def _present(self, target: ImageView) -> None:
        """Show the image, and let the mouse work on its landmarks."""
        with self._presenting:
            if self._session.only_this:
                self._show_only(target)
            elif not target.layer.visible:
                target.layer.visible = True
            self._shown.show_missing(target)
            self._select(target)
        QTimer.singleShot(0, self._give_mouse)
        self._update_blocking_reason()

    def _show_only(self, target: ImageView) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Image):
                _set_visible(layer, layer == target.layer)
            elif isinstance(layer, Points) and points.is_ours(layer.metadata):
                self._show_if_about(layer, target)

    def _show_if_about(self, layer: Any, target: ImageView) -> None:
        owner = self._shown.target_of(layer)
        if owner is not None:
            _set_visible(layer, owner.layer == target.layer)
        elif layer.metadata[points.METADATA].get("image") != target.image_name:
            if layer.visible:
                self._put_out_of_sight.append(layer)
                layer.visible = False
        elif layer in self._put_out_of_sight:
            # What the user has hidden stays hidden.
            self._put_out_of_sight.remove(layer)
            layer.visible = True

    def _select(self, target: ImageView) -> None:
        shown = self._shown.layer_of(target)
        active = self._viewer.layers.selection.active
        if shown is not None:
            # napari leaves a layer that was hidden in a mode that only pans.
            if active != shown.layer or str(shown.layer.mode) == "pan_zoom":
                shown.activate()
        elif active is None or active == target.layer:
            return
        elif isinstance(active, Image) or self._shown.target_of(active) is not None:
            self._viewer.layers.selection.active = target.layer

    def _give_mouse(self) -> None:
        """Let drags on the canvas do what the selected layer wants.

        Landmarks are selected while napari is busy with the image that the user has
        selected; it goes on with that, and a drag of a point would pan the image.
        """
        active = self._viewer.layers.selection.active
        if active is not None:
            camera_of(self._viewer).mouse_pan = active.mouse_pan

    def _update_blocking_reason(self) -> None:
        target = self._session.target
        self._session.blocking_reason = "" if target is None else self._why_blocked(target)

    def _why_blocked(self, target: ImageView) -> str:
        layers = list(self._viewer.layers)
        if target.layer not in layers:
            return ""
        if not target.layer.visible:
            return texts.IMAGE_HIDDEN.format(image=target.layer.name)
        if grid_of(self._viewer).enabled:
            return ""
        for above in layers[layers.index(target.layer) + 1 :]:
            if isinstance(above, Image) and _hides(above, target.layer):
                return texts.IMAGE_COVERED.format(image=target.layer.name, other=above.name)
        return ""


def _set_visible(layer: Any, visible: bool) -> None:
    if layer.visible != visible:
        layer.visible = visible


def _hides(above: Any, below: Any) -> bool:
    """Say whether a layer lies over another so that it cannot be seen."""
    if not above.visible or above.opacity < OPAQUE_FROM:
        return False
    if str(getattr(above.blending, "value", above.blending)) in SEE_THROUGH:
        return False
    one, other = (np.asarray(la.extent.world)[:, -2:] for la in (above, below))
    return bool(np.all(one[0] < other[1]) and np.all(other[0] < one[1]))
