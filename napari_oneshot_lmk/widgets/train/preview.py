"""A points layer with what the model of this moment sees; a preview, no result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, target_of, transform_of
from napari_oneshot_lmk.widgets.layers.marks import canvas_limits, size_before_zoom
from napari_oneshot_lmk.widgets.layers.points import METADATA, PREVIEW, label_table, to_metadata
from napari_oneshot_lmk.widgets.layers.style import landmark_colours
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train import training_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_oneshot_lmk.training.events import Previewed
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.train.run import TrainingRun


class PreviewLayers:
    """One layer per image, renewed in place."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layers: dict[Key, Any] = {}

    def layer(self, key: Key) -> Any | None:
        """Return the layer of an image, while it is in the viewer."""
        layer = self._layers.get(key)
        return layer if layer is not None and layer in self._viewer.layers else None

    def show(self, target: ImageView, points_yx: Mapping[str, tuple[float, float]]) -> None:
        """Show points of an image, (row, column) in its pixels by landmark.

        What the user has selected stays selected.
        """
        data = target.to_layer(list(points_yx.values()))
        layer = self.layer(target.key)
        names = list(points_yx)
        if layer is not None and list(layer.features["label"]) == names:
            # Locked against the mouse, not against us; new data unlock it.
            layer.data = data
            layer.editable = False
            return
        self.remove(target.key)
        selection = self._viewer.layers.selection
        selected, active = set(selection), selection.active
        # Nobody is told: the docks would turn to the image of the selected layer.
        with selection.events.active.blocker():
            self._layers[target.key] = self._add(target, data, points_yx)
            self._viewer.layers.selection = selected
            self._viewer.layers.selection.active = active

    def _add(
        self,
        target: ImageView,
        data: NDArray[np.float64],
        points_yx: Mapping[str, tuple[float, float]],
    ) -> Any:
        names = list(points_yx)
        colours = landmark_colours(names)
        px = 1.5 * preferences().point_size_px
        # Without names: the first letters that a window draws hold it up, and taking
        # away the only layer with text can end a process on a software renderer.
        layer = self._viewer.add_points(
            data,
            name=training_texts.PREVIEW_LAYER.format(image=target.image_name),
            ndim=target.layer.ndim,
            features=label_table(names, names),
            face_color="transparent",
            border_color=np.array([colours[name] for name in names]),
            border_width=0.12,
            symbol="ring",
            size=size_before_zoom(target.shape_yx),
            canvas_size_limits=canvas_limits(px),
            metadata={METADATA: to_metadata(_landmarks(target, points_yx))},
            visible=target.layer.visible,
            **transform_of(target.layer),
        )
        layer.editable = False
        return layer

    def remove(self, key: Key) -> None:
        """Take the layer of an image away."""
        layer = self.layer(key)
        self._layers.pop(key, None)
        if layer is not None:
            self._viewer.layers.remove(layer)

    def remove_all(self) -> None:
        """Take all of them away."""
        for key in list(self._layers):
            self.remove(key)


def _landmarks(target: ImageView, points_yx: Mapping[str, tuple[float, float]]) -> Landmarks:
    points = tuple(Landmark(name, at_yx) for name, at_yx in points_yx.items())
    return Landmarks(points, target.image_name, Geometry(target.shape_yx), Provenance(PREVIEW))


class TrainingPreview(QObject):
    """Shows after each epoch where the model sees the landmarks of the open image.

    Nothing is shown while the checkbox ``wanted`` is not checked.
    """

    def __init__(self, viewer: Any, session: Session, run: TrainingRun, wanted: QCheckBox) -> None:
        # It ends with the checkbox, and so do its connections.
        super().__init__(wanted)
        self._viewer, self._session = viewer, session
        self._run, self._wanted = run, wanted
        self.layers = PreviewLayers(viewer)
        self.files: Mapping[str, Path] = {}
        """Images that are trained on, by name."""
        run.previewed.connect(self._on_previewed)
        wanted.toggled.connect(self._on_toggled)

    def ask(self, _: Any = None) -> None:
        """Tell the training which image is open."""
        target = self._session.target
        path = None
        if target is not None and self._wanted.isChecked():
            path = self._path_of(target)
        self._run.ask_preview([] if path is None else [path])

    def clear(self) -> None:
        """Take all that is shown away."""
        self.layers.remove_all()

    def _on_toggled(self, wanted: bool) -> None:
        if not wanted:
            self.clear()
        self.ask()

    def _on_previewed(self, seen: Previewed) -> None:
        if not self._wanted.isChecked():
            return
        for layer in list(self._viewer.layers):
            if isinstance(layer, Image):
                try:
                    target = target_of(layer, self._viewer)
                except ImageError:
                    continue
                if self._path_of(target) == Path(seen.image):
                    self.layers.show(target, seen.points_yx)

    def _path_of(self, target: ImageView) -> Path | None:
        """File of an image: its own, else the one with its name that is trained on."""
        if target.path is not None:
            return target.path.absolute()
        return self.files.get(target.image_name)
