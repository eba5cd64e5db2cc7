"""What a viewer has once, however many docks are open: landmark layers, autosave.

It lives as long as the viewer, so that closing a dock loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Points
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.widgets import shortcuts, texts
from napari_oneshot_lmk.widgets.autosave import Autosave, Offer
from napari_oneshot_lmk.widgets.display.display import Display
from napari_oneshot_lmk.widgets.image_choice import ImageChoice
from napari_oneshot_lmk.widgets.layers import points
from napari_oneshot_lmk.widgets.layers.file_facts import FileFacts
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, spacing_of
from napari_oneshot_lmk.widgets.layers.labels import LabelDeclutter
from napari_oneshot_lmk.widgets.layers.landmark_layer import LandmarkLayer
from napari_oneshot_lmk.widgets.layers.landmark_layers import LandmarkLayers, is_same
from napari_oneshot_lmk.widgets.layers.napari_versions import KeptVisuals
from napari_oneshot_lmk.widgets.layers.open_layers import (
    can_be_taken,
    is_about,
    is_result,
    landmarks_of_file,
    landmarks_on,
)
from napari_oneshot_lmk.widgets.review_actions import ReviewActions
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.viewer_keys import ViewerKeys


class Workbench:
    """The tools of one viewer.

    ``told`` carries a sentence for the user, ``help_wanted`` asks to show the keys,
    ``paused`` says that what keeps clicks from placing landmarks has changed.
    """

    told = Signal(str)
    help_wanted = Signal()
    paused = Signal()
    project_changed = Signal(object)
    """Another project is reviewed, or none; carries its `ProjectImages` or None."""
    project_edited = Signal()
    """Landmarks of images of the project have changed, of those that are not shown, too."""

    def __init__(self, viewer: Any, session: Session) -> None:
        self._viewer = viewer
        self.session = session
        self.autosave = Autosave(session)
        self.actions: dict[str, Callable[[], None]] = {
            "next": lambda: self.step(1),
            "previous": lambda: self.step(-1),
            "skip": lambda: self._edit(session.annotation.skip()),
            "absent": lambda: self._edit(session.annotation.mark_absent(preferences().author)),
            "undo": self.undo,
            "redo": self.redo,
            "help": self.help_wanted.emit,
        }
        self.detectors: Any = None
        """What makes detectors, once a dock has needed one."""
        self.measuring: Any = None
        """The `ChosenSet`, once a dock has needed one."""
        self.unreadable: dict[Key, str] = {}
        """Why saved work on an image could not be taken over when something was detected on it."""
        self._project: Any = None
        self.review = ReviewActions(viewer, self)
        self.display = Display(viewer, session, self.told.emit)
        self.actions |= self.review.by_name() | self.display.by_name()
        self.keys = ViewerKeys(viewer, self.actions)
        self.layers = LandmarkLayers(
            viewer, session, self.told.emit, lambda layer: shortcuts.bind(layer, self.actions)
        )
        self.choice = ImageChoice(viewer, session, self.layers)
        self.facts = FileFacts()
        self.labels = LabelDeclutter(viewer)
        self.visuals = KeptVisuals(viewer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        selection = viewer.layers.selection.events
        for event in (selection.active, selection.changed, session.events.blocking_reason):
            event.connect(self._on_paused)
        self.layers.changed.connect(self._on_paused)
        for layer in list(viewer.layers):
            self._take_results(layer)

    @property
    def project(self) -> Any:
        """The `ProjectImages` of the project that is open in the window; None where none is."""
        return self._project

    @project.setter
    def project(self, images: Any) -> None:
        self._project = images
        self.keys.follow_project(images is not None)
        self.project_changed.emit(images)

    def release_locks(self) -> None:
        """Let other programs write what this window works on; its next edit takes it again."""
        self.autosave.locks.release_all()
        if self.project is not None:
            self.project.project.close()

    def file_of(self, target: ImageView) -> Path | None:
        """Return the file of an image: its layer's, or the one that a project knows."""
        images = self.review.images
        if target.path is None and target.key in self.session.of_project:
            return None if images.current is None else images.path(images.current)
        path: Path | None = target.path
        return path

    @property
    def placing(self) -> LandmarkLayer | None:
        """The layer to click in for the session's image, if there is one."""
        return self.layers.layer_of(self.session.target)

    @property
    def is_placing(self) -> bool:
        """Whether clicks on the canvas place landmarks now."""
        return self.placing is not None and not self.why_paused

    @property
    def why_paused(self) -> str:
        """What keeps clicks on the canvas from placing landmarks; "" if nothing."""
        if self.session.blocking_reason:
            return self.session.blocking_reason
        shown = self.placing
        if shown is None:
            return ""
        if not shown.active:
            selected = self._viewer.layers.selection
            if len(selected) > 1 and shown.layer in selected:
                return texts.PAUSED_SEVERAL
            return texts.PAUSED_OTHER if selected else texts.PAUSED_NONE
        if not shown.layer.visible:
            return texts.PAUSED_HIDDEN
        return "" if str(shown.layer.mode) == "add" else texts.PAUSED_MODE

    def place(self) -> None:
        """Let clicks on the canvas place landmarks."""
        if self.session.target is not None and len(self.session.annotation.landmarks):
            self.layers.show(self.session.target).resume()

    def adopt(self, layer: Any) -> None:
        """Go on with the landmarks of a points layer.

        A `LandmarkError` says if it has no points, or a name twice.
        """
        target = self.session.target
        if target is None:
            return
        landmarks = landmarks_on(target, layer)
        if not is_about(layer, target):
            # Another image's millimetres are not this one's.
            landmarks = landmarks.with_geometry(None)
        shown = self.layers.layer_of(target)
        if shown is None or not is_same(shown.layer, layer):
            self.go_on(landmarks, layer)

    def go_on(self, landmarks: Landmarks, layer: Any = None) -> None:
        """Go on with landmarks that were made before, on the session's image.

        Parameters
        ----------
        landmarks : Landmarks
            What there is.
        layer : Points, optional
            A layer that shows them, or an earlier state. It shows this image's
            landmarks from now on if it says that it is about this image; a layer of
            nobody is hidden, and one of another image is left as it is.
        """
        target = self.session.target
        if target is None:
            return
        usable = layer is not None and self.layers.layer_of(target) is None
        usable = usable and can_be_taken(layer, target)
        free = layer is not None and not usable and self.layers.target_of(layer) is None
        if free and (is_about(layer, target) or not points.is_ours(layer.metadata)):
            layer.visible = False
        said = self._take_spacing(landmarks.geometry)
        self._begin(target, landmarks, layer if usable else None)
        self.place()
        if not self.session.annotation.current:
            self.layers.show(target).activate()
        if said:
            self.told.emit(said)

    def _begin(
        self, target: ImageView, landmarks: Landmarks, layer: Any, in_file: bool = False
    ) -> LandmarkLayer:
        """Start from landmarks, and show them in a layer that is there, if any."""
        with self.layers.adding:
            self.session.begin(Annotation.adopt(landmarks), target, in_file)
        return self.layers.show(target, layer)

    def _take_spacing(self, geometry: Geometry | None) -> str:
        """Take the spacing that landmarks were made with; returns what to tell."""
        mine, theirs = self.session.spacing.mm_yx, geometry.spacing_mm_yx if geometry else None
        if theirs is None or _about_equal(mine, theirs):
            return ""
        self.session.set_spacing(theirs)
        if mine is None:
            return ""
        return spacing_taken(theirs, mine)

    def take_detection(self, target: ImageView, found: Landmarks) -> None:
        """Show what was detected on an image; what a person did there stays.

        That is also what was saved in an earlier session, unless the user has declined it. Of
        an image that was closed meanwhile nothing is shown. One of the project that was turned
        from keeps it.
        """
        if not target.is_shown_in(self._viewer):
            if self.project is not None:
                self.project.take_late_detection(target, found)
            return
        self.unreadable.pop(target.key, None)
        try:
            earlier = self.autosave.offer(target)
        except OneshotError as error:
            earlier = None
            self.unreadable[target.key] = str(error)
        self.session.take_detection(target, found)
        if earlier is not None and earlier.decided:
            self._take_over(target, earlier, found)
        shown = self.layers.show(target)
        if self.session.target == target:
            shown.activate()

    def _take_over(self, target: ImageView, earlier: Offer, found: Landmarks) -> None:
        """Let what a person had decided on an image go before what was detected.

        It is a step of its own: undo leaves what was detected.
        """
        self.autosave.take(target, earlier)
        own = spacing_of(target.layer)
        geometry, typed = earlier.landmarks.geometry, self.session.spacing_for(target) != own
        theirs = None if geometry is None or typed else geometry.spacing_mm_yx
        if theirs is not None and not _about_equal(own.mm_yx, theirs):
            self.session.set_spacing(theirs, target=target)
        self.session.begin(Annotation.adopt(earlier.landmarks).take_detection(found), target)

    def _take_results(self, layer: Any, image: Any = None) -> None:
        """Work on results that a file has brought, where their image has none.

        Of an image, those that were opened before it; landmarks that other images had
        from such a layer, and lost again, do not come back with it.
        """
        if isinstance(layer, Image):
            for other in list(self._viewer.layers):
                if isinstance(other, Points):
                    self._take_results(other, layer)
            return
        ours = isinstance(layer, Points) and self.layers.target_of(layer) is None
        # What an image has left behind comes back with it, history and all.
        if not ours or self.layers.is_left(layer) or not is_result(layer):
            return
        target = self._image_of(layer)
        if target is None or (image is not None and target.layer != image):
            return
        # What it had when it was removed has been worked on since it was found.
        self.session.take_back(target)
        self.layers.show_missing(target)
        if not self.session.annotation_of(target).is_empty:
            self.told.emit(texts.OPENED_BESIDE.format(image=target.image_name))
            return
        try:
            landmarks = landmarks_of_file(target, layer)
        except OneshotError as error:
            self.told.emit(f"{error}.")
            return
        taken = layer if can_be_taken(layer, target) else None
        shown = self._begin(target, landmarks, taken, in_file=True)
        if not is_same(shown.layer, layer):
            # The image's own layer has them now.
            layer.visible = False
            QTimer.singleShot(0, lambda: self._turn_from(layer, target))
        if self.session.target == target:
            said = self._take_spacing(landmarks.geometry)
            shown.activate()
            if said:
                self.told.emit(said)

    def _turn_from(self, layer: Any, target: ImageView) -> None:
        """Turn to an image whose results came in a layer that napari selects."""
        layers = self._viewer.layers
        if layers.selection.active == layer and target.layer in layers:
            layers.selection.active = target.layer
            shown = self.layers.layer_of(target)
            if shown is not None and self.session.target == target:
                shown.activate()

    def _image_of(self, layer: Any) -> ImageView | None:
        """Return the open image that a points layer is about, if it is one only."""
        flat = [ImageView(image) for image in self.choice.images if image.ndim == 2]
        fitting = [target for target in flat if is_about(layer, target)]
        return fitting[0] if len(fitting) == 1 else None

    def pick(self, name: str, drag: bool = False) -> None:
        """Make a landmark the one that the next click places, or that can be dragged."""
        self.session.point_at(self.session.annotation.go_to(name))
        shown = self.placing
        if shown is not None:
            (shown.activate if drag else shown.resume)()
            shown.highlight(name)

    def look_for(self, name: str) -> None:
        """Select the point of a landmark, to look at it or to drag it."""
        placed = self.session.annotation.landmarks[name].position_yx is not None
        if not placed:
            self.place()
        self.pick(name, drag=placed)

    def step(self, by: int) -> None:
        """Go ``by`` landmarks further in the list."""
        if self.session.target is not None:
            self.session.point_at(self.session.annotation.step(by))

    def undo(self) -> None:
        """Take the last edit of the session's image back."""
        if self.session.target is not None:
            self.session.undo()

    def redo(self) -> None:
        """Do the last undone edit of the session's image again."""
        if self.session.target is not None:
            self.session.redo()

    def reset(self, names: Iterable[str]) -> None:
        """Take back what a person did to landmarks of the session's image."""
        if self.session.target is not None:
            self.session.reset(names)

    def _edit(self, annotation: Annotation) -> None:
        if self.session.target is not None and annotation != self.session.annotation:
            self.session.edit(annotation)

    def _on_inserted(self, event: Any) -> None:
        if not self.layers.adding:
            self._take_results(event.value)

    def _on_paused(self, event: Any = None) -> None:
        self.paused.emit()


def spacing_taken(theirs: tuple[float, float], own: tuple[float, float]) -> str:
    """Say that an image has the spacing that landmarks were made with, and not its own."""
    return texts.SPACING_TAKEN.format(
        rows=theirs[0], columns=theirs[1], own_rows=own[0], own_columns=own[1]
    )


def _about_equal(one: tuple[float, float] | None, other: tuple[float, float]) -> bool:
    return one is not None and np.allclose(one, other, rtol=1e-3)


def workbench_of(viewer: Any, session: Session) -> Workbench:
    """Return the workbench of a session, made on first use."""
    bench: Workbench | None = session.workbench
    if bench is None:
        bench = session.workbench = Workbench(viewer, session)
    return bench
