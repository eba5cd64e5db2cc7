"""The state that all docks of one viewer share: evented, without Qt.

A dock changes the session and listens to it; docks never talk to each other.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from psygnal import SignalGroupDescriptor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry, checked_spacing
from napari_oneshot_lmk.landmarks.landmark import Landmarks, Provenance
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets import words
from napari_oneshot_lmk.widgets.annotation import Annotation
from napari_oneshot_lmk.widgets.history import History
from napari_oneshot_lmk.widgets.layers import ImageTarget, Key, Spacing, spacing_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.landmarks.names import NamedList
    from napari_oneshot_lmk.widgets.models import KnownModel


@dataclass(eq=False)
class Session:
    """What is being worked on.

    Every field is evented: ``session.events.template.connect(...)``.

    Parameters
    ----------
    target : ImageTarget, optional
        The picture that the docks work on.
    spacing : Spacing
        Its pixel spacing, the layer's own or the user's.
    annotation : Annotation
        Its landmarks so far.
    template : Template, optional
        The annotated image that detection starts from.
    template_key : Hashable, optional
        Key of the picture that the template was made from in this session.
    found : dict
        Detected landmarks by the key of their picture.
    model : KnownModel, optional
        The trained model that detects; None for instant detection.
    busy : str
        What is running, in words; empty when nothing is.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    target: ImageTarget | None = None
    spacing: Spacing = field(default_factory=Spacing)
    annotation: Annotation = field(default_factory=Annotation)
    template: Template | None = None
    template_key: Any = None
    found: dict[Any, Landmarks] = field(default_factory=dict)
    model: KnownModel | None = None
    busy: str = ""

    def __post_init__(self) -> None:
        """Start with nothing open."""
        self._histories: dict[Key, History[Annotation]] = {}
        self._spacings: dict[Hashable, Spacing] = {}
        self._template_points: Landmarks | None = None
        self.workbench: Any = None

    # -- the picture ---------------------------------------------------------------

    def open(self, target: ImageTarget | None) -> None:
        """Turn to a picture, or to none; its annotation comes along."""
        if target == self.target:
            return
        history = None if target is None else self._histories.get(target.key)
        with ExitStack() as together:
            # All three change before anybody hears of one; the picture is told first.
            for signal in (
                self.events.spacing,
                self.events.annotation,
                self.events.target,
            ):
                together.enter_context(signal.paused())
            self.target = target
            self.annotation = Annotation() if history is None else history.value
            self.spacing = Spacing() if target is None else self.spacing_for(target)

    def spacing_for(self, target: ImageTarget) -> Spacing:
        """Spacing that the user gave for a layer, else the layer's own."""
        return self._spacings.get(target.layer.unique_id) or spacing_of(target.layer)

    def set_spacing(self, mm_yx: tuple[float, float] | float | None) -> None:
        """Give the picture's layer a spacing; None goes back to its own.

        Raises
        ------
        GeometryError
            If it is zero, negative or absurd.
        """
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        layer_id = self.target.layer.unique_id
        if mm_yx is None:
            self._spacings.pop(layer_id, None)
        else:
            self._spacings[layer_id] = Spacing(checked_spacing(mm_yx))
        self.spacing = self.spacing_for(self.target)

    def forget(self, layer: Any) -> None:
        """Drop what belongs to a layer that was removed; the template stays."""
        gone = layer.unique_id
        self._histories = {k: h for k, h in self._histories.items() if k[0] != gone}
        self._spacings.pop(gone, None)
        self.found = {k: v for k, v in self.found.items() if k[0] != gone}
        if self.target is not None and self.target.key[0] == gone:
            self.open(None)

    # -- the annotation ------------------------------------------------------------

    @property
    def history(self) -> History[Annotation]:
        """Past and future of the picture's annotation."""
        if self.target is None:
            return History(self.annotation)
        return self._histories.setdefault(self.target.key, History(Annotation()))

    def edit(self, annotation: Annotation) -> None:
        """Change the landmarks; the step can be undone."""
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        self.history.record(annotation)
        self.annotation = annotation

    def point_at(self, annotation: Annotation) -> None:
        """Move only the highlight: nothing to undo, nothing to save."""
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        self.history.replace(annotation)
        self.annotation = annotation

    def undo(self) -> None:
        """Take the last edit back."""
        self.annotation = self.history.undo()

    def redo(self) -> None:
        """Do the last undone edit again."""
        self.annotation = self.history.redo()

    def choose_list(self, names: NamedList) -> tuple[str, ...]:
        """Follow a list of names; returns placed landmarks that it drops."""
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        followed, lost = self.annotation.follow(names)
        self.edit(followed)
        return lost

    def landmarks(self, author: str = "") -> Landmarks:
        """Return the picture's landmarks with its name, geometry and provenance."""
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        made = self.annotation.landmarks
        provenance = made.provenance
        if not provenance.method:
            provenance = Provenance(method="manual", author=author)
        return Landmarks(
            made.points,
            self.target.image_name,
            Geometry(self.target.shape_yx, self.spacing.mm_yx),
            provenance,
        )

    # -- the template --------------------------------------------------------------

    @property
    def why_no_template(self) -> str:
        """What keeps the annotation from becoming a template; empty if nothing."""
        if self.target is None:
            return words.NO_IMAGE
        if not self.annotation.landmarks.placed:
            return words.NOTHING_PLACED
        return ""

    @property
    def template_is_current(self) -> bool:
        """Whether the template is this picture's annotation as it stands."""
        return (
            self.target is not None
            and self.template is not None
            and self.template_key == self.target.key
            and self._template_points == self.landmarks()
        )

    def make_template(self) -> Template:
        """Build a template from the picture and its annotation.

        Raises
        ------
        OneshotError
            If nothing is placed, a point is outside, or the image has no content.
        """
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        image = self.target.picture(self.spacing.mm_yx).radiograph()
        stem = self.target.image_name.rsplit(".", 1)[0]
        return Template.create(image, self.landmarks(), stem)

    def use_as_template(self) -> Template:
        """Make the annotation the template that detection starts from."""
        template = self.make_template()
        if self.target is None:
            raise UsageError(words.NO_IMAGE)
        self._template_points = self.landmarks()
        self.template_key = self.target.key
        self.template = template
        return template

    def load_template(self, template: Template) -> None:
        """Take a template from disk."""
        self.template_key = None
        self._template_points = None
        self.template = template

    def keep_found(self, target: ImageTarget, landmarks: Landmarks) -> None:
        """Remember what was detected on a picture."""
        self.found = {**self.found, target.key: landmarks}


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
