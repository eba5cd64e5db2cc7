"""Points layers with what the model sees during a training; a preview, no result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance
from napari_oneshot_lmk.training.events import Previewed
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, shown_images, transform_of
from napari_oneshot_lmk.widgets.layers.marks import canvas_limits, size_before_zoom
from napari_oneshot_lmk.widgets.layers.napari_versions import keeping_selection
from napari_oneshot_lmk.widgets.layers.points import METADATA, PREVIEW, label_table, to_metadata
from napari_oneshot_lmk.widgets.layers.style import landmark_colours
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.run import TrainingRun


class TrainingPreview(QObject):
    """Shows after each epoch where the model sees the landmarks of open images.

    Each image has a layer of its own. Nothing is shown while the checkbox ``wanted`` is not
    checked.
    """

    def __init__(self, viewer: Any, session: Session, run: TrainingRun, wanted: QCheckBox) -> None:
        # It ends with the checkbox, and so do its connections.
        super().__init__(wanted)
        self._viewer, self._session = viewer, session
        self._run, self._wanted = run, wanted
        self._layers: dict[Key, Any] = {}
        self.files: Mapping[str, Path] = {}
        """Images that are trained on, by name."""
        run.previewed.connect(self._on_previewed)
        wanted.toggled.connect(self._on_toggled)

    def ask(self, _: Any = None) -> None:
        """Tell the training which image is open."""
        target = self._session.target if self._wanted.isChecked() else None
        path = None if target is None else self._path_of(target)
        self._run.ask_preview([] if path is None else [path])

    def clear(self) -> None:
        """Remove all that is shown."""
        for key in list(self._layers):
            self._remove(key)

    def _on_toggled(self, wanted: bool) -> None:
        if not wanted:
            self.clear()
        self.ask()

    def _on_previewed(self, seen: Previewed) -> None:
        for target in shown_images(self._viewer) if self._wanted.isChecked() else ():
            if self._path_of(target) == Path(seen.image):
                self._show(target, seen.points_yx)

    def _path_of(self, target: ImageView) -> Path | None:
        """File of an image: its own, else the one with its name that is trained on."""
        if target.path is not None:
            return target.path.absolute()
        return self.files.get(target.image_name)

    def _show(self, target: ImageView, points_yx: Mapping[str, tuple[float, float]]) -> None:
        """Show points of an image; what the user has selected stays selected."""
        layer: Any = self._layers.get(target.key)
        there = layer is not None and layer in self._viewer.layers
        if there and list(layer.features["label"]) == list(points_yx):
            layer.data = target.to_layer(list(points_yx.values()))
        else:
            self._remove(target.key)
            with keeping_selection(self._viewer):
                layer = self._layers[target.key] = self._add(target, points_yx)
        # Locked against the mouse, not against us; new data unlock it.
        layer.editable = False

    def _add(self, target: ImageView, points_yx: Mapping[str, tuple[float, float]]) -> Any:
        names = list(points_yx)
        colours = landmark_colours(names)
        points = tuple(Landmark(name, at_yx) for name, at_yx in points_yx.items())
        geometry, provenance = Geometry(target.shape_yx), Provenance(PREVIEW)
        landmarks = Landmarks(points, target.image_name, geometry, provenance)
        # Without names: the first letters that a window draws hold it up, and removing
        # the only layer with text can end a process on a software renderer.
        return self._viewer.add_points(
            target.to_layer(list(points_yx.values())),
            name=training_texts.PREVIEW_LAYER.format(image=target.image_name),
            ndim=target.layer.ndim,
            features=label_table(names, names),
            face_color="transparent",
            border_color=np.array([colours[name] for name in names]),
            border_width=0.12,
            symbol="ring",
            size=size_before_zoom(target.shape_yx),
            canvas_size_limits=canvas_limits(1.5 * preferences().point_size_px),
            metadata={METADATA: to_metadata(landmarks)},
            visible=target.layer.visible,
            **transform_of(target.layer),
        )

    def _remove(self, key: Key) -> None:
        layer = self._layers.pop(key, None)
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
