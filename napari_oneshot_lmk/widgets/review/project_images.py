"""The images of a project: one at a time on the canvas, every edit kept in the project."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.review.annotation import Annotation, History
from napari_oneshot_lmk.review.project_files import ImageWork
from napari_oneshot_lmk.widgets import shortcuts
from napari_oneshot_lmk.widgets.layers.image_identity import AnnotatedImage
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Spacing
from napari_oneshot_lmk.widgets.layers.napari_versions import show_whole
from napari_oneshot_lmk.widgets.layers.shared_layer import (
    DecodedImage,
    fill_layer,
    mark_layer,
    new_layer,
)
from napari_oneshot_lmk.widgets.review.project_pixels import ProjectPixels
from napari_oneshot_lmk.widgets.review.read_ahead import ReadAhead
from napari_oneshot_lmk.widgets.session import DETECT, EDIT
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.workbench import Workbench

AHEAD = 3
"""Images that are decoded ahead."""


class ProjectImages:
    """Shows one image of a project and keeps what is done on it.

    One image layer and one points layer show all images in turn; see `ImageView.content`.
    ``told`` carries what went wrong, in a sentence.

    Parameters
    ----------
    viewer : Viewer
    bench : Workbench
    project : Project
        Opened for writing; `close` closes it.
    """

    told = Signal(str)

    def __init__(self, viewer: Any, bench: Workbench, project: Project) -> None:
        self.project = project
        self._viewer = viewer
        self._bench = bench
        self._shown: tuple[str, ImageView] | None = None
        self._histories: dict[str, History[Annotation]] = {}
        self._ahead = ReadAhead(project.read)
        self._spacing: tuple[float, float] | None = None
        """Of the image that is shown, as the project knows it."""
        self._names: dict[str, str] = {}
        self._landmarks: dict[str, Landmarks] = {}
        self._found: dict[str, Landmarks | None] = {}
        self._not_written = False
        """Whether the last edit of the image that is shown could not be written."""
        self.read()
        self._session.edited.connect(self._on_edited)
        self._session.detected.connect(self._on_detected)
        self._session.events.spacing.connect(self._on_spacing)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def _session(self) -> Session:
        return self._bench.session

    def read(self) -> None:
        """Read what the project holds, but the images."""
        problems: list[OneshotError] = []
        images = self.project.images
        self._names = {image.id: image.name for image in images}
        for image, work in self.project.works(tell=problems.append):
            if self._shown is None or image.id != self._shown[0]:
                self._landmarks[image.id] = work.landmarks or Landmarks(image=image.name)
                self._found[image.id] = work.detected
        for error in problems:
            # An image whose file is damaged is not overwritten by an edit.
            self._names = {i: name for i, name in self._names.items() if i in self._landmarks}
            self.told.emit(f"{error}.")

    # -- the list ------------------------------------------------------------------

    @property
    def keys(self) -> Sequence[str]:
        """Ids of all images, in the project's order."""
        return list(self._names)

    @property
    def is_blank(self) -> bool:
        """Whether none of them is on the canvas, chosen or not."""
        return self._shown is None

    @property
    def current(self) -> str | None:
        """The one on the canvas, if it is one of them."""
        shown = self._shown
        return shown[0] if shown is not None and self._session.target == shown[1] else None

    def landmarks(self, key: Hashable) -> Landmarks:
        """Return the landmarks of one as they stand."""
        if self._shown is not None and key == self._shown[0]:
            # Whoever hears of an edit before this object does sees it, too.
            return self._session.landmarks(preferences().author, self._shown[1])
        return self._landmarks[str(key)]

    def name(self, key: Hashable) -> str:
        """Return the name that the user knows it by."""
        return self._names[str(key)]

    def path(self, key: str) -> Path | None:
        """Return the file of one, None where it is missing."""
        return self.project.image(key).path

    def pixels(self, key: str) -> ProjectPixels:
        """Return what another thread needs to read one."""
        return ProjectPixels(self.project, key, self._names[key])

    def expect(self, keys: Sequence[Hashable]) -> None:
        """Read ahead what is likely to be shown next."""
        shown = None if self._shown is None else self._shown[0]
        self._ahead.expect([str(key) for key in keys][:AHEAD], shown)

    # -- the canvas ----------------------------------------------------------------

    def turn_to(self, key: Hashable) -> None:
        """Show one on the canvas in place of the one before, or say why it cannot be shown."""
        key = str(key)
        if self._shown is not None and self._shown[0] == key:
            self._bench.choice.choose(self._shown[1].layer)
            self._give_keys()
            return
        if not self._try_again():
            return
        try:
            self.project.check_place(key)
            decoded = self._ahead.get(key)
        except OneshotError as error:
            self.told.emit(f"{error}.")
            return
        before, self._shown = self._shown, None
        if before is None:
            self._show(key, decoded)
        else:
            self._change(before, key, decoded)
        self._give_keys()

    def _give_keys(self) -> None:
        """Select the landmarks: the keys of the review are theirs, not those of the image."""
        shown = self._bench.placing
        if shown is not None:
            shown.activate()

    def _show(self, key: str, decoded: DecodedImage) -> None:
        """Add the layer that shows all images in turn."""
        layer = new_layer(decoded, self._names[key], self._content(key))
        # An image layer's own keys go before the viewer's: napari turns a plane by X, in 3-D.
        shortcuts.bind(layer, self._bench.actions)
        target = ImageView(layer)
        self._lend(key, target, decoded)
        self._viewer.add_layer(layer)
        self._choose(target, decoded)
        show_whole(self._viewer, target)

    def _change(self, before: tuple[str, ImageView], key: str, decoded: DecodedImage) -> None:
        """Show another image in the layers of the one before."""
        image, old = before
        choice, layers = self._bench.choice, self._bench.layers
        with choice.changing:
            self._histories[image] = self._session.give_back(old)
            target = mark_layer(old.layer, self._content(key))
            self._lend(key, target, decoded)
            with layers.turned(old, target):
                fill_layer(target.layer, decoded, self._names[key])
        self._choose(target, decoded)
        # The name that can be chosen is another one.
        choice.changed.emit()
        show_whole(self._viewer, target)

    def _content(self, key: str) -> str:
        # Another project may have an image of the same id.
        return f"{self.project.folder}#{key}"

    def _lend(self, key: str, target: ImageView, decoded: DecodedImage) -> None:
        landmarks = self._landmarks[key]
        history = self._histories.pop(key, None) or History(Annotation.adopt(landmarks))
        _respace(history, decoded.image.geometry.spacing_mm_yx)
        self._shown = key, target
        # Known before the session tells of it: it is not what a user has typed.
        self._spacing = decoded.image.geometry.spacing_mm_yx
        self._session.lend(AnnotatedImage(target, history, landmarks), self._found[key])

    def _choose(self, target: ImageView, decoded: DecodedImage) -> None:
        self._bench.choice.choose(target.layer)
        self._take_spacing(decoded.image.geometry.spacing_mm_yx)
        self._spacing = self._session.spacing.mm_yx

    def _take_spacing(self, mm_yx: tuple[float, float] | None) -> None:
        """Give the shown image a spacing, whatever other image the docks work on."""
        if self._shown is None:
            return
        target = self._shown[1]
        if mm_yx is not None and self._session.spacing_for(target).mm_yx != mm_yx:
            self._session.set_spacing(mm_yx, target=target)
        self._spacing = self._session.spacing_for(target).mm_yx

    def _on_spacing(self, spacing: Spacing) -> None:
        """Keep a spacing that the user has typed or measured for the image that is shown."""
        if self.current is None or self._shown is None:
            return
        known, given = self._spacing, spacing.mm_yx
        if known == given or (known and given and np.allclose(known, given, rtol=1e-6)):
            return
        self._spacing = spacing.mm_yx
        # It was read with the spacing of before.
        self._ahead.forget(self._shown[0])
        image, target = self._shown
        try:
            self.project.set_spacing(spacing.mm_yx, [image])
        except OneshotError as error:
            self.told.emit(f"{error}.")
            return
        _respace(self._session.history, spacing.mm_yx)
        landmarks = self._session.landmarks(preferences().author, target)
        self._landmarks[image] = landmarks
        self._session.note_saved(target, landmarks)
        self._session.point_at(self._session.history.value)

    def _take_off(self, key: str, target: ImageView) -> None:
        """Remove an image from the canvas; its history stays here, its landmarks are kept."""
        shown = self._bench.layers.layer_of(target)
        self._histories[key] = self._session.give_back(target)
        for layer in (None if shown is None else shown.layer, target.layer):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        """Let go of an image that the user has removed from the layer list."""
        if self._shown is not None and event.value.unique_id == self._shown[1].layer.unique_id:
            # The project has its landmarks: they are not kept as those of other images are.
            self._session.removed.take(self._shown[1])
            self._session.of_project.discard(self._shown[1].key)
            self._shown, self._not_written = None, False

    # -- what is kept --------------------------------------------------------------

    def _on_edited(self, key: Any) -> None:
        # A detection is kept together with what it has found.
        if self._shown is not None and key == self._shown[1].key and self._session.action != DETECT:
            self._keep(*self._shown)

    def _on_detected(self, key: Any) -> None:
        if self._shown is None or key != self._shown[1].key:
            return
        image, target = self._shown
        self._found[image] = self._session.found[key]
        self._record(image, target, DETECT, detected=self._found[image])

    def _keep(self, image: str, target: ImageView) -> None:
        landmarks = self._session.landmarks(preferences().author, target)
        if landmarks != self._landmarks[image]:
            self._record(image, target, self._session.action)
        elif not self._not_written:
            self._session.note_saved(target, landmarks)  # `forget_learnt` has written them

    def _record(self, image: str, target: ImageView, action: str, **values: Any) -> None:
        author = preferences().author
        landmarks = self._session.landmarks(author, target)
        self._not_written = not self._write(image, landmarks, action, author, **values)
        if not self._not_written:
            self._session.note_saved(target, landmarks)

    def _try_again(self) -> bool:
        """Write an edit that could not be written; say whether all is in the project."""
        if self._shown is not None and self._not_written:
            self._record(*self._shown, EDIT, detected=self._found[self._shown[0]])
        return not self._not_written

    def take_detection(self, image: str, found: Landmarks) -> None:
        """Take in what was detected on an image, shown or not; what a person decided stays."""
        if self._shown is not None and image == self._shown[0]:
            self._bench.take_detection(self._shown[1], found)
            return
        self._histories.pop(image, None)
        annotation = Annotation.adopt(self._landmarks[image]).take_detection(found)
        landmarks = Landmarks(
            annotation.landmarks.points, self._names[image], found.geometry, found.provenance
        )
        if self._write(image, landmarks, DETECT, "", detected=found):
            self._found[image] = found

    def take_late_detection(self, target: ImageView, found: Landmarks) -> None:
        """Take in what was detected on an image that was on the canvas and is no more."""
        for image in self._names:
            if target.content == self._content(image):
                self.take_detection(image, found)

    def forget_learnt(self) -> int:
        """Take back what the project has learnt, and what was detected with it.

        Returns the number of images on which points have gone back.
        """
        from napari_oneshot_lmk.review.learn import forget

        changed = forget(self.project, lambda error: self.told.emit(f"{error}."))
        for image in changed:
            self._histories.pop(image, None)
        self.read()
        if self._shown is not None and self._shown[0] in changed:
            image, target = self._shown
            work = self.project.work(image)
            self._found[image] = work.detected
            kept = {key: found for key, found in self._session.found.items() if key != target.key}
            found = {} if work.detected is None else {target.key: work.detected}
            self._session.found = kept | found
            self._landmarks[image] = work.landmarks or Landmarks(image=self._names[image])
            before = Annotation() if work.landmarks is None else Annotation.adopt(work.landmarks)
            self._session.edit(before, target)
        self._bench.project_edited.emit()
        return len(changed)

    def _write(
        self, image: str, landmarks: Landmarks, action: str, reader: str, **values: Any
    ) -> bool:
        try:
            self.project.record(image, landmarks, action=action, reader=reader, **values)
        except OneshotError as error:
            self.told.emit(f"{error}.")
            return False
        self._landmarks[image] = landmarks
        self._bench.project_edited.emit()
        return True

    def set_spacing(self, mm_yx: tuple[float, float]) -> None:
        """Give all images of the project whose files state none a spacing."""
        # Images that were read ahead have the spacing of before.
        self._ahead.clear()
        self.project.set_spacing(mm_yx)
        # What was said for one image only does not stand against what is said for all.
        self.project.set_spacing(None, [i.id for i in self.project.images if i.spacing_mm_yx])
        self.read()
        if self._shown is not None:
            self._take_spacing(self.project.read(self._shown[0]).geometry.spacing_mm_yx)

    def remove(self, key: str) -> Path | None:
        """Take one out of the project, decided on or not, and off the canvas.

        Returns the file that keeps its landmarks; see `Project.remove`, also for errors.
        """
        kept = self.project.remove(key, force=True)
        if self._shown is not None and self._shown[0] == key:
            self._take_off(*self._shown)
            self._shown, self._not_written = None, False
        self._ahead.forget(key)
        for held in (self._names, self._landmarks, self._found, self._histories):
            held.pop(key, None)
        self._bench.project_edited.emit()
        return kept

    def close(self) -> bool:
        """Take the image off the canvas and let other programs write the project.

        Returns False, and does nothing, where the last edit cannot be written.
        """
        if not self._try_again():
            return False
        if self._shown is not None:
            self._take_off(*self._shown)
            self._shown = None
        self._session.edited.disconnect(self._on_edited)
        self._session.detected.disconnect(self._on_detected)
        self._session.events.spacing.disconnect(self._on_spacing)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._ahead.close()
        self.project.close()
        return True


def _respace(history: History[Annotation], mm_yx: tuple[float, float] | None) -> None:
    """Let the shape residuals of all that can be undone follow another spacing."""

    def respaced(annotation: Annotation) -> Annotation:
        landmarks = ImageWork(annotation.landmarks).with_spacing(mm_yx).landmarks
        return replace(annotation, landmarks=landmarks or annotation.landmarks)

    history.change_all(respaced)
