"""The state that all docks of one viewer share: evented, without Qt.

A dock changes the session and listens to it; docks never talk to each other. The
landmarks of every open image live here and nowhere else: tables, points layers,
autosave and files are made from them, and a change anywhere becomes an edit here.
"""

from __future__ import annotations

from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from psygnal import Signal, SignalGroupDescriptor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.image_names import stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.annotation import Annotation, History
from napari_oneshot_lmk.widgets.layers.image_identity import RemovedImages, is_made_from
from napari_oneshot_lmk.widgets.layers.image_view import ImageView, Key, Spacing, Spacings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_oneshot_lmk.landmarks.lists import LandmarkList
    from napari_oneshot_lmk.widgets.train.models import KnownModel


@dataclass(eq=False)
class Session:
    """What is being worked on.

    Every field is evented: ``session.events.template.connect(...)``. ``edited``
    carries the key of an image whose landmarks have changed. What belongs to an image
    that is removed is kept in ``removed``: it comes back with the image.

    Parameters
    ----------
    target : ImageView, optional
        The image that the docks work on.
    blocking_reason : str
        Why the canvas does not show that image as it is worked on, so that no
        click is taken; empty where it does.
    only_this : bool
        Whether the other images are hidden.
    spacing : Spacing
        Pixel spacing of the image, the layer's own or the user's.
    annotation : Annotation
        Landmarks of the image so far, detected, corrected and placed.
    template : Template, optional
        The annotated image that detection starts from.
    template_key : Hashable, optional
        Key of the image that the template was made from in this session.
    found : dict
        What the last detection found on each image, by the image's key; what
        "reset" goes back to. ``annotation`` has what a person made of it.
    model : KnownModel, optional
        The trained model that detects; None for instant detection.
    busy : str
        What is running, in words; empty when nothing is.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
    edited = Signal(object)

    target: ImageView | None = None
    blocking_reason: str = ""
    only_this: bool = True
    spacing: Spacing = field(default_factory=Spacing)
    annotation: Annotation = field(default_factory=Annotation)
    template: Template | None = None
    template_key: Any = None
    found: dict[Any, Landmarks] = field(default_factory=dict)
    model: KnownModel | None = None
    busy: str = ""

    def __post_init__(self) -> None:
        """Start with nothing open."""
        self._targets: dict[Key, ImageView] = {}
        self._histories: dict[Key, History[Annotation]] = {}
        self._spacings = Spacings()
        self._in_file: dict[Key, Landmarks] = {}
        self._came_back: set[Key] = set()
        self._template_points: Landmarks | None = None
        self._taken_off: dict[Key, History[Annotation]] = {}
        self.removed = RemovedImages()
        self.workbench: Any = None

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

    def spacing_for(self, target: ImageView) -> Spacing:
        """Spacing that the user gave for a layer, else the layer's own."""
        return self._spacings.of(target.layer)

    def set_spacing(self, mm_yx: tuple[float, float] | float | None) -> None:
        """Give the image's layer a spacing; None goes back to its own.

        Raises
        ------
        GeometryError
            If it is zero, negative or absurd.
        """
        if self.target is None:
            raise UsageError(texts.NO_IMAGE)
        self._spacings.give(self.target.layer, mm_yx)
        self.spacing = self.spacing_for(self.target)

    def forget(self, layer: Any) -> None:
        """Put aside the landmarks of an image layer that was removed."""
        gone = layer.unique_id
        for key in [key for key in self._histories if key[0] == gone]:
            self._put_aside(key)
        self._spacings.forget(layer)
        self.found = {k: v for k, v in self.found.items() if k[0] != gone}
        if self.target is not None and self.target.key[0] == gone:
            self.open(None)

    def _put_aside(self, key: Key) -> None:
        target, history = self._targets.pop(key), self._histories.pop(key)
        # Where points and image were removed in one go, the points were not meant.
        history = self._taken_off.pop(key, history)
        in_file = self._in_file.pop(key, None)
        if history.value.is_empty:
            return
        landmarks = self._landmarks(target, history.value, "")
        self.removed.put(target, history, landmarks, self.found.get(key), in_file)

    def take_back(self, target: ImageView) -> None:
        """Give an image that was removed and opened again its landmarks."""
        if target.key in self._histories or not len(self.removed):
            return
        kept = self.removed.take(target)
        if kept is None:
            return
        self._targets[target.key] = target
        self._histories[target.key] = kept.history
        self._came_back.add(target.key)
        if kept.found is not None:
            self.found = {**self.found, target.key: kept.found}
        if kept.in_file is not None:
            self._in_file[target.key] = kept.in_file
        self._spacings.give_that_of(target.layer, kept.landmarks.geometry)

    # -- the landmarks -------------------------------------------------------------

    @property
    def history(self) -> History[Annotation]:
        """Past and future of the image's landmarks."""
        return History(self.annotation) if self.target is None else self._history()

    def _history(self, target: ImageView | None = None) -> History[Annotation]:
        target = self._known(target)
        return self._histories.setdefault(target.key, History(Annotation()))

    def _known(self, target: ImageView | None) -> ImageView:
        """Return the image that is meant, and remember that it has a history."""
        target = target or self.target
        if target is None:
            raise UsageError(texts.NO_IMAGE)
        return self._targets.setdefault(target.key, target)

    def target_of(self, key: Key) -> ImageView | None:
        """Return the image of a key, where it is open and has had landmarks."""
        return self._targets.get(key)

    def annotation_of(self, target: ImageView | None) -> Annotation:
        """Return the landmarks of an image as they stand."""
        history = None if target is None else self._histories.get(target.key)
        return Annotation() if history is None else history.value

    def begin(
        self, annotation: Annotation, target: ImageView | None = None, in_file: bool = False
    ) -> None:
        """Start from landmarks that were made before.

        Where the image had none, nothing lies before them that could be gone back
        to; otherwise it is a step like any other. ``in_file``: a file holds them so.
        """
        target = self._known(target)
        if in_file:
            self.note_saved(target, self._landmarks(target, annotation, ""))
        if self.annotation_of(target).is_empty:
            self._histories[target.key] = History(annotation)
            self._publish(target)
        else:
            self.edit(annotation, target)

    def edit(self, annotation: Annotation, target: ImageView | None = None) -> None:
        """Change the landmarks of an image; the step can be undone."""
        target = self._known(target)
        self._history(target).record(annotation)
        self._publish(target)

    def point_at(self, annotation: Annotation) -> None:
        """Move only the highlight: nothing to undo, nothing to save."""
        self._history().replace(annotation)
        self._publish(self._known(None))

    def undo(self) -> None:
        """Take the last edit of the image back."""
        self._history().undo()
        self._publish(self._known(None))

    def redo(self) -> None:
        """Do the last undone edit again."""
        self._history().redo()
        self._publish(self._known(None))

    def take_detection(self, target: ImageView, found: Landmarks) -> None:
        """Take in what was detected; what a person did on the image stays."""
        self.edit(self.annotation_of(target).take_detection(found), target)
        self.found = {**self.found, target.key: found}

    def take_off(self, target: ImageView) -> None:
        """Take all landmarks off an image, list and all; the step can be undone."""
        self._taken_off[target.key] = copy(self._history(target))
        self.edit(Annotation(), target)

    def note_taken_off(self) -> None:
        """Remember that images that are removed from now on were not meant, too."""
        self._taken_off.clear()

    def reset(self, names: Iterable[str]) -> None:
        """Take back what a person did to landmarks of the image."""
        found = self.found.get(self._known(None).key)
        self.edit(self.annotation.reset(names, found))

    def _publish(self, target: ImageView) -> None:
        if self.target == target:
            self.annotation = self._histories[target.key].value
        self.edited.emit(target.key)

    def choose_list(self, names: LandmarkList) -> tuple[str, ...]:
        """Follow a list of names; returns placed landmarks that it drops."""
        followed, lost = self.annotation.follow(names)
        self.edit(followed)
        return lost

    def landmarks(self, author: str = "", target: ImageView | None = None) -> Landmarks:
        """Return an image's landmarks with its name, geometry and provenance.

        ``author`` stands in landmarks of a person that nobody has signed; the image
        is the one that the docks work on where none is given.
        """
        target = target or self.target
        if target is None:
            raise UsageError(texts.NO_IMAGE)
        return self._landmarks(target, self.annotation_of(target), author)

    def _landmarks(self, target: ImageView, annotation: Annotation, author: str) -> Landmarks:
        made, manual = annotation.landmarks, Provenance("manual", author=author)
        geometry = Geometry(target.shape_yx, self.spacing_for(target).mm_yx)
        provenance = made.provenance if made.provenance.method else manual
        return Landmarks(made.points, target.image_name, geometry, provenance)

    # -- what is saved -------------------------------------------------------------

    def results(self, author: str = "") -> dict[Key, Landmarks]:
        """Landmarks of all open images that a detection took part in."""
        results = {}
        for key, target in self._targets.items():
            value = self.annotation_of(target)
            if value.is_result or (key in self.found and not value.is_empty):
                results[key] = self.landmarks(author, target)
        return results

    def note_saved(self, target: ImageView, landmarks: Landmarks) -> None:
        """Remember that a file holds these landmarks of an image."""
        self._in_file[target.key] = landmarks

    def note_results_saved(self) -> None:
        """Remember that a file holds all results, of removed images too."""
        self._in_file.update(self.results())
        self.removed.note_saved()

    def came_back(self, target: ImageView) -> bool:
        """Say whether an image was removed and has brought its landmarks back."""
        return target.key in self._came_back

    def is_saved(self, target: ImageView) -> bool:
        """Say whether a file holds the landmarks of an image as they are now."""
        kept = self._in_file.get(target.key)
        points = self.annotation_of(target).landmarks.points
        return kept is not None and kept.points == points

    def unsaved(self, author: str = "") -> list[Landmarks]:
        """Landmarks that stand in no file as they are now, one set an image."""
        open_ones = [
            self.landmarks(author, target)
            for target in self._targets.values()
            if not self.annotation_of(target).is_empty and not self.is_saved(target)
        ]
        return open_ones + self.removed.unsaved()

    # -- the template --------------------------------------------------------------

    @property
    def why_no_template(self) -> str:
        """What keeps the landmarks from becoming a template; empty if nothing."""
        if self.target is None:
            return texts.NO_IMAGE
        if not self.annotation.landmarks.placed:
            return texts.NOTHING_PLACED
        return ""

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

        Raises
        ------
        OneshotError
            If nothing is placed, a point is outside, or the image has no content.
        """
        if self.target is None:
            raise UsageError(texts.NO_IMAGE)
        image = self.target.read_pixels(self.spacing.mm_yx).gray_image()
        return Template.create(image, self.landmarks(), stem(self.target.image_name))

    def use_as_template(self) -> Template:
        """Make the landmarks the template that detection starts from."""
        template = self.make_template()
        self._template_points = self.landmarks()
        self.template_key = None if self.target is None else self.target.key
        self.template = template
        return template

    def load_template(self, template: Template) -> None:
        """Take a template from disk."""
        self.template_key = None
        self._template_points = None
        self.template = template


_SESSIONS: WeakValueDictionary[int, Session] = WeakValueDictionary()


def session_of(viewer: Any) -> Session:
    """Return the one session of a viewer, made on first use.

    napari hands every dock its own proxy of the viewer; all of them hash alike.
    """
    key = hash(viewer)
    session = _SESSIONS.get(key)
    if session is None:
        session = _SESSIONS[key] = Session()

        # The viewer holds this function, and this function the session: the
        # template survives closed docks, and goes with the viewer.
        def forget(event: Any, session: Session = session) -> None:
            if hasattr(event.value, "unique_id"):
                session.forget(event.value)

        viewer.layers.events.removed.connect(forget)
    return session
