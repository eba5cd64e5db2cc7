"""The state that all docks of one viewer share: evented, without Qt.

A dock changes the session and listens to it; docks never talk to each other. The
landmarks of every open image live here and nowhere else: tables, points layers,
autosave and files are made from them, and a change anywhere becomes an edit here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal, SignalGroupDescriptor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.image_names import stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.annotation import Annotation, History
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers.image_identity import (
    AnnotatedImage,
    RemovedImages,
    is_made_from,
)
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, Spacing, Spacings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_oneshot_lmk.landmarks.lists import LandmarkList
    from napari_oneshot_lmk.widgets.train.models import KnownModel


EDIT, DETECT = "edit", "detect"
"""What a person, or a detection, does to landmarks."""


@dataclass(eq=False)
class Session:
    """The images, landmarks, template and model that the docks of one viewer work on.

    Every field is evented: ``session.events.template.connect(...)``. The landmarks of an
    image that is removed are kept in ``removed``, and come back with the image.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
    edited = Signal(object)
    """The landmarks of an image have changed; carries the image's key."""
    corrected = Signal(object)
    """A person has moved landmarks of an image, or taken them off, and has not just
    undone or redone that; carries the image's key."""
    detected = Signal(object)
    """What a detection has found on an image was taken in; carries the image's key."""

    target: ImageView | None = None
    """The image that the docks work on."""
    blocking_reason: str = ""
    """Why the canvas does not show that image as it is worked on, so that no click is
    taken; empty where it does."""
    only_this: bool = True
    """Whether the other images are hidden."""
    spacing: Spacing = field(default_factory=Spacing)
    """Pixel spacing of the image, the layer's own or the user's."""
    annotation: Annotation = field(default_factory=Annotation)
    """Landmarks of the image so far, detected, corrected and placed."""
    template: Template | None = None
    """The annotated image that detection starts from."""
    further: tuple[Template, ...] = ()
    """Corrected images that detection takes as further templates."""
    offsets: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What they show that found points are moved by; see `Detector.with_offsets`."""
    template_key: Any = None
    """Key of the image that the template was made from in this session."""
    found: dict[Any, Landmarks] = field(default_factory=dict)
    """What the last detection found on each image, by the image's key; `reset` goes back to
    it. ``annotation`` has what a person made of it."""
    model: KnownModel | None = None
    """The trained model that detects; None for instant detection."""
    busy: str = ""
    """Description of what is running; empty when nothing is."""

    def __post_init__(self) -> None:
        self._images: dict[Key, AnnotatedImage] = {}
        self._spacings = Spacings()
        self._template_points: Landmarks | None = None
        self.removed = RemovedImages()
        self.of_project: set[Key] = set()
        """Images whose landmarks a project keeps."""
        self.workbench: Any = None
        self.action = EDIT
        """What is being done to landmarks while ``edited`` is emitted, in a word."""

    # -- the image -----------------------------------------------------------------

    def open(self, target: ImageView | None) -> None:
        """Turn to an image, or to none; its landmarks come along."""
        if target == self.target:
            return
        events = self.events
        with ExitStack() as together:
            # All three change before anybody hears of one; the image is told first.
            for signal in (events.spacing, events.annotation, events.target):
                together.enter_context(signal.paused())
            self.target = target
            if target is not None:
                self.take_back(target)
            self.annotation = self.annotation_of(target)
            self.spacing = Spacing() if target is None else self.spacing_for(target)

    def _chosen(self, target: ImageView | None = None) -> ImageView:
        """Return an image that is given, else the session's.

        A `UsageError` says if there is none.
        """
        target = target or self.target
        if target is None:
            raise UsageError(texts.NO_IMAGE)
        return target

    def _image(self, target: ImageView | None = None) -> AnnotatedImage:
        target = self._chosen(target)
        return self._images.setdefault(target.key, AnnotatedImage(target))

    def spacing_for(self, target: ImageView) -> Spacing:
        """Spacing that the user gave for a layer, else the layer's own."""
        return self._spacings.of(target.layer)

    def set_spacing(
        self,
        mm_yx: tuple[float, float] | float | None,
        others: Iterable[Any] = (),
        target: ImageView | None = None,
    ) -> None:
        """Give the session's image, or ``target``, and other layers a spacing; None their own.

        A `GeometryError` says if it is zero, negative or absurd.
        """
        for layer in (self._chosen(target).layer, *others):
            self._spacings.give(layer, mm_yx)
        self.spacing = self.spacing_for(self.target) if self.target else Spacing()

    def forget(self, layer: Any) -> None:
        """Put the landmarks of an image layer that was removed into ``removed``."""
        gone = layer.unique_id
        for key in [key for key in self._images if key[0] == gone]:
            image = self._images.pop(key)
            # Where points and image were removed together, the points are kept.
            history = image.before_clearing or image.history
            if not history.value.is_empty:
                landmarks = self._landmarks(image.target, history.value)
                found = self.found.get(key)
                self.removed.put(image.target, history, landmarks, found, image.in_file)
        self._spacings.forget(layer)
        self.found = {k: v for k, v in self.found.items() if k[0] != gone}
        if self.target is not None and self.target.key[0] == gone:
            self.open(None)

    def take_back(self, target: ImageView) -> None:
        """Give an image that was removed and opened again its landmarks."""
        if target.key in self._images or not len(self.removed):
            return
        kept = self.removed.take(target)
        if kept is None:
            return
        image = AnnotatedImage(target, kept.history, kept.in_file, came_back=True)
        self._images[target.key] = image
        if kept.found is not None:
            self.found = {**self.found, target.key: kept.found}
        self._spacings.give_that_of(target.layer, kept.landmarks.geometry)

    def lend(self, image: AnnotatedImage, found: Landmarks | None) -> None:
        """Take in an image of a project, which keeps its landmarks, until `give_back`."""
        self._images[image.target.key] = image
        self.of_project.add(image.target.key)
        if found is not None:
            self.found = {**self.found, image.target.key: found}

    def give_back(self, target: ImageView) -> History[Annotation]:
        """Forget an image of a project, and return its landmarks with all that can be undone."""
        self.of_project.discard(target.key)
        self._spacings.forget(target.layer)
        self.found = {key: found for key, found in self.found.items() if key != target.key}
        return self._images.pop(target.key).history

    # -- the landmarks -------------------------------------------------------------

    @property
    def history(self) -> History[Annotation]:
        """Past and future of the image's landmarks."""
        return History(self.annotation) if self.target is None else self._image().history

    def target_of(self, key: Key) -> ImageView | None:
        """Return the image of a key, where it is open and has had landmarks."""
        image = self._images.get(key)
        return None if image is None else image.target

    def annotation_of(self, target: ImageView | None) -> Annotation:
        """Return the landmarks of an image as they stand."""
        image = None if target is None else self._images.get(target.key)
        return Annotation() if image is None else image.annotation

    def begin(
        self, annotation: Annotation, target: ImageView | None = None, in_file: bool = False
    ) -> None:
        """Start from landmarks that were made before.

        Where the image had none, undo does not go back behind them; otherwise it is an
        edit like any other. ``in_file``: a file holds them as they are.
        """
        image = self._image(target)
        if in_file:
            image.in_file = self._landmarks(image.target, annotation)
        if image.annotation.is_empty:
            image.history = History(annotation)
        else:
            image.history.record(annotation)
        self._publish(image)

    def edit(self, annotation: Annotation, target: ImageView | None = None) -> None:
        """Change the landmarks of an image; the step can be undone."""
        image = self._image(target)
        before = image.annotation
        image.history.record(annotation)
        self._publish(image)
        if annotation.is_result and annotation.by_person != before.by_person:
            self.corrected.emit(image.target.key)

    def point_at(self, annotation: Annotation) -> None:
        """Change only which landmark is current: nothing to undo, nothing to save."""
        self._image().history.replace(annotation)
        self._publish(self._image())

    @contextmanager
    def doing(self, action: str) -> Iterator[None]:
        """Call what is done to landmarks by a word of its own in a project's history."""
        before, self.action = self.action, action
        try:
            yield
        finally:
            self.action = before

    def undo(self) -> None:
        """Undo the last edit of the image."""
        with self.doing("undo"):
            self._image().history.undo()
            self._publish(self._image())

    def redo(self) -> None:
        """Redo the last undone edit of the image."""
        with self.doing("redo"):
            self._image().history.redo()
            self._publish(self._image())

    def take_detection(self, target: ImageView, found: Landmarks) -> None:
        """Take in what was detected; what a person did on the image stays."""
        with self.doing(DETECT):
            self.edit(self.annotation_of(target).take_detection(found), target)
        self.found = {**self.found, target.key: found}
        self.detected.emit(target.key)

    def settle(self, target: ImageView, found: Landmarks) -> None:
        """Take in the landmarks that were found given a correction; the step can be undone."""
        annotation = self.annotation_of(target)
        settled = replace(annotation.take_detection(found), current=annotation.current)
        with self.doing("settle"):
            self.edit(settled, target)

    def take_off(self, target: ImageView) -> None:
        """Take all landmarks off an image, list and all; the step can be undone."""
        image = self._image(target)
        image.before_clearing = copy(image.history)
        self.edit(Annotation(), target)

    def note_taken_off(self) -> None:
        """Let images that are removed from now on lose landmarks that were taken off before."""
        for image in self._images.values():
            image.before_clearing = None

    def reset(self, names: Iterable[str]) -> None:
        """Undo what a person did to landmarks of the image."""
        found = self.found.get(self._chosen().key)
        with self.doing("reset"):
            self.edit(self.annotation.reset(names, found))

    def _publish(self, image: AnnotatedImage) -> None:
        if self.target == image.target:
            self.annotation = image.annotation
        self.edited.emit(image.target.key)

    def choose_list(self, names: LandmarkList) -> tuple[str, ...]:
        """Follow a list of names; returns placed landmarks that it drops."""
        followed, lost = self.annotation.follow(names)
        self.edit(followed)
        return lost

    def landmarks(self, author: str = "", target: ImageView | None = None) -> Landmarks:
        """Return an image's landmarks with its name, geometry and provenance.

        ``author`` is that of a person's landmarks without one; the image is the session's
        where none is given.
        """
        target = self._chosen(target)
        return self._landmarks(target, self.annotation_of(target), author)

    def _landmarks(self, target: ImageView, annotation: Annotation, author: str = "") -> Landmarks:
        made, manual = annotation.landmarks, Provenance("manual", author=author)
        geometry = Geometry(target.shape_yx, self.spacing_for(target).mm_yx)
        provenance = made.provenance if made.provenance.method else manual
        return Landmarks(made.points, target.image_name, geometry, provenance)

    # -- what is saved -------------------------------------------------------------

    @property
    def with_landmarks(self) -> list[ImageView]:
        """The open images on which something is placed, detected or decided."""
        return [im.target for im in self._images.values() if not im.annotation.is_empty]

    def results(self, author: str = "") -> dict[Key, Landmarks]:
        """Landmarks of all open images that a detection took part in."""
        return {
            target.key: self.landmarks(author, target)
            for target in self.with_landmarks
            if self.annotation_of(target).is_result or target.key in self.found
        }

    def note_saved(self, target: ImageView, landmarks: Landmarks) -> None:
        """Remember that a file holds these landmarks of an image."""
        self._image(target).in_file = landmarks

    def note_results_saved(self) -> None:
        """Remember that a file holds all results, of removed images too."""
        for key, landmarks in self.results().items():
            self._images[key].in_file = landmarks
        self.removed.note_saved()

    def came_back(self, target: ImageView) -> bool:
        """Say whether an image was removed and has brought its landmarks back."""
        return target.key in self._images and self._images[target.key].came_back

    def is_saved(self, target: ImageView) -> bool:
        """Say whether a file holds the landmarks of an image as they are now."""
        return target.key in self._images and self._images[target.key].is_saved

    def unsaved(self, author: str = "") -> list[Landmarks]:
        """Landmarks that are in no file as they are now, one set per image."""
        here = [self.landmarks(author, t) for t in self.with_landmarks if not self.is_saved(t)]
        return here + [kept.landmarks for kept in self.removed.unsaved()]

    # -- the template --------------------------------------------------------------

    @property
    def why_no_template(self) -> str:
        """What keeps the landmarks from becoming a template; empty if nothing."""
        if self.target is None:
            return texts.NO_IMAGE
        return "" if self.annotation.landmarks.placed else texts.NOTHING_PLACED

    @property
    def template_is_current(self) -> bool:
        """Whether the template is this image's landmarks as they stand."""
        return (
            self.target is not None
            and self.template is not None
            and self.template_key == self.target.key
            and self._template_points == self.landmarks()
        )

    def is_template(self, target: ImageView) -> bool:
        """Say whether the template was made from an image, now or earlier."""
        if self.template_key is not None or self.template is None:
            return bool(self.template_key == target.key)
        return is_made_from(self.template, target)

    def make_template(self) -> Template:
        """Build a template from the image and its landmarks.

        An `OneshotError` says if nothing is placed, a point is outside, or the image has no
        content.
        """
        target = self._chosen()
        image = target.read_pixels(self.spacing.mm_yx).gray_image()
        return Template.create(image, self.landmarks(), stem(target.image_name))

    def use_as_template(self) -> Template:
        """Make the landmarks the template that detection starts from."""
        template = self.make_template()
        self._template_points = self.landmarks()
        self.template_key = self._chosen().key
        self.template, self.further, self.offsets = template, (), {}
        return template

    def load_template(self, template: Template) -> None:
        """Take a template from disk."""
        self.template_key = self._template_points = None
        self.template, self.further, self.offsets = template, (), {}
