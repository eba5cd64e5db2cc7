"""Which images a training is asked about, and where its answers are shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.widgets.layers import target_of
from napari_oneshot_lmk.widgets.preview_layer import PreviewLayers

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.events import Previewed
    from napari_oneshot_lmk.widgets.layers import ImageTarget
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.training_run import TrainingRun


class Previewing(QObject):
    """Shows after each epoch where the model sees the landmarks of the open image.

    Parameters
    ----------
    viewer : Viewer
        Whose images are meant.
    session : Session
        Says which one is open.
    run : TrainingRun
        The training.
    wanted : QCheckBox
        Whether to show anything.
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

    def _path_of(self, target: ImageTarget) -> Path | None:
        """File of a picture: its own, else the one with its name that is trained on."""
        if target.path is not None:
            return target.path.absolute()
        return self.files.get(target.image_name)
