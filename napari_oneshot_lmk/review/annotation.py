"""The landmarks of one image while somebody works on them: immutable.

Detected, corrected and placed landmarks are one set, and this is the only place
that says which of two positions wins. Every edit returns a new object, so undo is
a list of old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.lists import shipped_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from napari_oneshot_lmk.landmarks.lists import LandmarkList


class DetectionMerge(StrEnum):
    """What becomes of the landmarks that an image has when a detection brings new ones."""

    KEEP_CORRECTED = "keep corrected"
    """Whatever a person has decided stays: placed, corrected, accepted, removed, absent."""
    REPLACE_DETECTED = "replace detected"
    """Of that, only what was placed without a detection stays."""


@dataclass(frozen=True)
class Annotation:
    """The landmarks of one image, which one is next, and which were skipped."""

    landmarks: Landmarks = field(default_factory=Landmarks)
    """All landmarks of the list, in its order, placed or not."""
    title: str = ""
    """Title of the list."""
    current: str = ""
    """The landmark that the next click places; empty when none is left."""
    passed_over: frozenset[str] = frozenset()
    """Those that the user skipped on purpose. In a file, as in `kept`, they are "skipped" like
    those that are still to be placed, but by a person."""

    @classmethod
    def begin(cls, names: LandmarkList, image: str = "") -> Annotation:
        """Start an empty annotation that follows a list of names."""
        points = tuple(
            Landmark(n.name, None, State.SKIPPED, description=n.description)
            for n in names.landmarks
        )
        return cls(Landmarks(points, image), names.title)._at_next_open()

    @classmethod
    def adopt(cls, landmarks: Landmarks) -> Annotation:
        """Go on with landmarks that a file or a layer already holds.

        Those of a shipped list get its title and descriptions. A position without a source
        is a detection where it has a score, and otherwise a person's.
        """
        title = ""
        passed_over = frozenset(p.name for p in landmarks if p.is_passed_over)
        landmarks = landmarks.with_points(_with_source(p) for p in landmarks)
        for names in shipped_lists():
            if names.names == landmarks.names:
                title = names.title
                landmarks = landmarks.with_points(
                    replace(p, description=p.description or n.description)
                    for p, n in zip(landmarks, names.landmarks, strict=True)
                )
        return cls(landmarks, title, passed_over=passed_over)._at_next_open()

    # -- edits ---------------------------------------------------------------------

    def place(self, name: str, position_yx: tuple[float, float], author: str = "") -> Annotation:
        """Put one landmark at a (row, column), as a person did.

        What a detector said of it (score, unsure, residual) is not true of the new
        position, and is dropped.
        """
        source = self._source_of_edit(name)
        return self._with(name, position_yx, State.PLACED, source, author)

    def place_current(self, position_yx: tuple[float, float], author: str = "") -> Annotation:
        """Put the current landmark there and move on to the next open one."""
        return self.place(self.current, position_yx, author)._at_next_open(self.current)

    def clear(self, names: Iterable[str], author: str = "") -> Annotation:
        """Take landmarks off the image; the first of them becomes the current.

        One that a detector had found counts as corrected: the next detection does
        not bring it back.
        """
        chosen = [name for name in names if name in self.landmarks]
        cleared = self
        for name in chosen:
            corrected = self._source_of_edit(name) is Source.CORRECTED
            by = (Source.CORRECTED, author) if corrected else (None, "")
            cleared = cleared._with(name, None, State.SKIPPED, *by)
        return replace(cleared, current=chosen[0] if chosen else self.current)

    def skip(self) -> Annotation:
        """Pass over the current landmark; a position that it has is kept."""
        if not self.current:
            return self
        state = self.landmarks[self.current].state
        skipped = self
        if state is State.ABSENT:
            skipped = self._with(self.current, None, State.SKIPPED)
        if state is not State.PLACED:
            skipped = replace(skipped, passed_over=self.passed_over | {self.current})
        return skipped._at_next_open(self.current)

    def mark_absent(self, author: str = "") -> Annotation:
        """Say that the current landmark is not on this image, and move on."""
        if not self.current:
            return self
        source = self._source_of_edit(self.current)
        absent = self._with(self.current, None, State.ABSENT, source, author)
        return absent._at_next_open(self.current)

    def take_detection(
        self, found: Landmarks, merge: DetectionMerge = DetectionMerge.KEEP_CORRECTED
    ) -> Annotation:
        """Take in all landmarks of a detection; what a person decided stays as ``merge`` says.

        The result follows the template's list, with the person's landmarks that are not in
        it at the end.
        """
        manual = {p.name: p for p in self.landmarks if self.is_manual(p.name)}
        if merge is DetectionMerge.REPLACE_DETECTED:
            manual = {name: p for name, p in manual.items() if not _is_by_detector(p)}
        points = []
        for new in found:
            old = manual.pop(new.name, None)
            if old is None:
                points.append(_as_detected(new))
            else:
                points.append(replace(old, description=old.description or new.description))
        points += manual.values()
        landmarks = Landmarks(tuple(points), self.landmarks.image, found.geometry, found.provenance)
        taken = Annotation.adopt(landmarks)
        title = self.title if self.landmarks.names == landmarks.names else ""
        passed_over = self.passed_over & set(landmarks.names)
        taken = replace(taken, title=taken.title or title, passed_over=passed_over)
        return taken._at_next_open()

    def reset(self, names: Iterable[str], found: Landmarks | None) -> Annotation:
        """Undo what a person did to landmarks.

        They are as the last detection found them, else open for the next detection.
        """
        reset = self
        for name in names:
            reset = reset._with(name, None, State.SKIPPED)
            if found is not None and name in found:
                landmarks = reset.landmarks.with_landmark(_as_detected(found[name]))
                reset = replace(reset, landmarks=landmarks)
        return reset

    def accept(self, names: Iterable[str], author: str = "") -> Annotation:
        """Say that detected landmarks are right as they are; all others stay.

        A detection does not move them any more, and one that is absent on the template
        counts as decided.
        """
        accepted = self
        for name in names:
            point = self.landmarks[name]
            if not self.is_manual(name) and point.state is not State.SKIPPED:
                point = replace(point, source=Source.ACCEPTED, unsure=False, author=author)
                landmarks = accepted.landmarks.with_landmark(point)
                accepted = replace(accepted, landmarks=landmarks)
        return accepted

    def go_to(self, name: str) -> Annotation:
        """Make a landmark the current one."""
        return replace(self, current=self.landmarks[name].name)

    def go_to_next_open(self) -> Annotation:
        """Make the first landmark that nobody has decided on the current one, or none."""
        return self._at_next_open()

    def step(self, by: int) -> Annotation:
        """Make the landmark ``by`` rows further the current one, cyclically."""
        names = self.landmarks.names
        if not names:
            return self
        if self.current in names:
            return replace(self, current=names[(names.index(self.current) + by) % len(names)])
        return replace(self, current=names[0 if by > 0 else -1])

    def follow(self, names: LandmarkList) -> tuple[Annotation, tuple[str, ...]]:
        """Change the list; points of the same name stay.

        Returns the new annotation, and the placed landmarks that the list does not have.
        """
        fresh = Annotation.begin(names, self.landmarks.image)
        points = tuple(
            replace(self.landmarks[p.name], description=p.description)
            if p.name in self.landmarks
            else p
            for p in fresh.landmarks
        )
        lost = tuple(p.name for p in self.landmarks.placed if p.name not in fresh.landmarks)
        followed = replace(
            fresh,
            landmarks=replace(self.landmarks, points=points),
            passed_over=self.passed_over & set(fresh.landmarks.names),
        )
        return followed._at_next_open(), lost

    # -- questions -----------------------------------------------------------------

    def is_open(self, name: str) -> bool:
        """Say whether nobody has decided on a landmark yet."""
        return self.landmarks[name].state is State.SKIPPED and name not in self.passed_over

    def next_open(self, after: str) -> str:
        """Name the next landmark to place after one, cyclically; "" if none."""
        names = self.landmarks.names
        start = names.index(after) + 1 if after in names else 0
        return next((n for n in names[start:] + names[:start] if self.is_open(n)), "")

    def next_of(self, chosen: Collection[str], after: str = "") -> str:
        """Name the next of some landmarks after one, cyclically; "" if there is none."""
        names = self.landmarks.names
        start = names.index(after) + 1 if after in names else 0
        return next((n for n in names[start:] + names[:start] if n in chosen), "")

    @property
    def kept(self) -> tuple[Landmark, ...]:
        """The landmarks as a file keeps them, so that `adopt` gets what was skipped, too."""
        return tuple(
            replace(p, source=Source.PLACED)
            if p.name in self.passed_over and p.state is State.SKIPPED and p.source is None
            else p
            for p in self.landmarks
        )

    @property
    def done(self) -> int:
        """How many landmarks are placed or known to be absent."""
        return sum(p.state is not State.SKIPPED for p in self.landmarks)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be lost: no list, or nothing decided."""
        return all(p.state is State.SKIPPED and p.source is None for p in self.landmarks)

    @property
    def has_manual(self) -> bool:
        """Whether a person has decided on any landmark."""
        return any(self.is_manual(name) for name in self.landmarks.names)

    @property
    def is_result(self) -> bool:
        """Whether a detection took part in it."""
        return any(_is_by_detector(p) for p in self.landmarks)

    @property
    def by_person(self) -> dict[str, tuple[float, float] | None]:
        """Where a person has put landmarks, by name; None for those not on the image."""
        return {p.name: p.position_yx for p in self.landmarks if p.is_position_of_person}

    def is_manual(self, name: str) -> bool:
        """Say whether a person has decided on a landmark, so that no detection changes it."""
        point = self.landmarks[name]
        if point.source is not None:
            return point.is_manual
        if point.state is State.PLACED:
            return point.score is None
        # A detection passes on what its template says is absent.
        return point.state is State.ABSENT and not self.is_result

    # -- inside --------------------------------------------------------------------

    def _at_next_open(self, after: str = "") -> Annotation:
        return replace(self, current=self.next_open(after))

    def _source_of_edit(self, name: str) -> Source:
        """Return the source of a landmark that a person changes now."""
        return Source.CORRECTED if _is_by_detector(self.landmarks[name]) else Source.PLACED

    def _with(
        self,
        name: str,
        position_yx: tuple[float, float] | None,
        state: State,
        source: Source | None = None,
        author: str = "",
    ) -> Annotation:
        """Change all of a landmark but its description; it is passed over no more."""
        description = self.landmarks[name].description
        point = Landmark(
            name, position_yx, state, description=description, source=source, author=author
        )
        landmarks = self.landmarks.with_landmark(point)
        return replace(self, landmarks=landmarks, passed_over=self.passed_over - {name})


def _is_by_detector(point: Landmark) -> bool:
    return point.source is not None and point.source.follows_detection


def _as_detected(point: Landmark) -> Landmark:
    placed = point.state is State.PLACED
    return replace(point, source=Source.DETECTED if placed else None, author="")


def _with_source(point: Landmark) -> Landmark:
    if point.is_passed_over:
        return replace(point, source=None)
    if point.source is not None or point.state is not State.PLACED:
        return point
    return replace(point, source=Source.PLACED if point.score is None else Source.DETECTED)


T = TypeVar("T")

DEPTH = 500
"""Steps that can be undone: a long day's work on one image."""


class History(Generic[T]):
    """An immutable value with the values to undo and to redo.

    An edit goes from one value to another, and its inverse from that to the first: `undo` does
    the inverse, whatever the edit was.
    """

    def __init__(self, value: T) -> None:
        self.value = value
        self._past: list[T] = []
        self._future: list[T] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to redo."""
        return bool(self._future)

    def record(self, value: T) -> None:
        """Go to a new value. Undone steps are kept: to undo goes back through them, too."""
        undone = self._future[::-1]
        visited = [self.value, *undone, *undone[-2::-1], self.value] if undone else [self.value]
        self._past = [*self._past, *visited][-DEPTH:]
        self._future = []
        self.value = value

    def replace(self, value: T) -> None:
        """Change the value without a step to undo, as when only a cursor moves."""
        self.value = value

    def change_all(self, change: Callable[[T], T]) -> None:
        """Change the value and all to undo and to redo, as when a unit of them changes."""
        self.value = change(self.value)
        for values in (self._past, self._future):
            values[:] = [change(value) for value in values]

    def undo(self) -> None:
        """Go back one step, if there is one."""
        self._move(self._past, self._future)

    def redo(self) -> None:
        """Do the last undone step again, if there is one."""
        self._move(self._future, self._past)

    def _move(self, source: list[T], target: list[T]) -> None:
        if source:
            target.append(self.value)
            self.value = source.pop()
