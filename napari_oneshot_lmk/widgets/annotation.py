"""The landmarks of one image while somebody works on them: immutable, no Qt.

Detected, corrected and placed landmarks are one set, and this is the only place
that says which of two positions wins. Every edit returns a new object, so undo is
a list of old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.lists import shipped_lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_oneshot_lmk.landmarks.lists import LandmarkList


@dataclass(frozen=True)
class Annotation:
    """The landmarks of one image, which one is next, and which were passed over.

    Parameters
    ----------
    landmarks : Landmarks
        All landmarks of the list, in its order, placed or not.
    title : str
        Title of the list.
    current : str
        The landmark that the next click places; empty when none is left.
    passed_over : frozenset of str
        Those that the user skipped on purpose. In a file they are "skipped"
        like those nobody has come to yet; here the table tells them apart.
    """

    landmarks: Landmarks = field(default_factory=Landmarks)
    title: str = ""
    current: str = ""
    passed_over: frozenset[str] = frozenset()

    @classmethod
    def begin(cls, names: LandmarkList, image: str = "") -> Annotation:
        """Start an empty annotation that follows a list of names."""
        points = tuple(
            Landmark(n.name, None, State.SKIPPED, description=n.description)
            for n in names.landmarks
        )
        first = points[0].name if points else ""
        return cls(Landmarks(points, image), names.title, first)

    @classmethod
    def adopt(cls, landmarks: Landmarks) -> Annotation:
        """Go on with landmarks that a file or a layer already holds.

        Where they are those of a list that comes along, its title and what it
        says about each landmark come, too. A position without a source is a
        detection where it has a score, and otherwise a person's.
        """
        title = ""
        landmarks = landmarks.with_points(_with_source(p) for p in landmarks)
        for names in shipped_lists():
            if names.names == landmarks.names:
                title = names.title
                landmarks = landmarks.with_points(
                    replace(p, description=p.description or n.description)
                    for p, n in zip(landmarks, names.landmarks, strict=True)
                )
        whole = cls(landmarks, title)
        return replace(whole, current=whole.next_open(""))

    # -- edits ---------------------------------------------------------------------

    def place(self, name: str, position_yx: tuple[float, float], author: str = "") -> Annotation:
        """Put one landmark at a (row, column); the position is a person's word.

        What a detector said of it (score, unsure, residual) is no longer true of
        the new position and goes.
        """
        point = Landmark(
            name,
            position_yx,
            State.PLACED,
            description=self.landmarks[name].description,
            source=self._source_of_edit(name),
            author=author,
        )
        return self._with(point, self.passed_over - {name})

    def place_current(self, position_yx: tuple[float, float], author: str = "") -> Annotation:
        """Put the current landmark there and move on to the next open one."""
        placed = self.place(self.current, position_yx, author)
        return replace(placed, current=placed.next_open(self.current))

    def clear(self, names: Iterable[str], author: str = "") -> Annotation:
        """Take landmarks off the image; the first of them becomes the current.

        One that a detector had found counts as corrected: the next detection does
        not bring it back.
        """
        chosen = [name for name in names if name in self.landmarks]
        cleared = self
        for name in chosen:
            source = self._source_of_edit(name)
            kept = source is Source.CORRECTED
            cleared = cleared._without_position(
                name, State.SKIPPED, source if kept else None, author if kept else ""
            )
        passed = self.passed_over - set(chosen)
        current = chosen[0] if chosen else self.current
        return replace(cleared, passed_over=passed, current=current)

    def skip(self) -> Annotation:
        """Pass over the current landmark; a position that it has is kept."""
        if not self.current:
            return self
        passed = self.passed_over
        if self.landmarks[self.current].state is not State.PLACED:
            passed = passed | {self.current}
        skipped = self
        if self.landmarks[self.current].state is State.ABSENT:
            skipped = self._without_position(self.current, State.SKIPPED, None)
        skipped = replace(skipped, passed_over=passed)
        return replace(skipped, current=skipped.next_open(self.current))

    def mark_absent(self, author: str = "") -> Annotation:
        """Say that the current landmark is not on this image, and move on."""
        if not self.current:
            return self
        absent = self._without_position(
            self.current, State.ABSENT, self._source_of_edit(self.current), author
        )
        absent = replace(absent, passed_over=self.passed_over - {self.current})
        return replace(absent, current=absent.next_open(self.current))

    def take_detection(self, found: Landmarks) -> Annotation:
        """Take in what a detector found; what a person said of a landmark stays.

        Parameters
        ----------
        found : Landmarks
            All landmarks of the template's list.

        Returns
        -------
        Annotation
            On the template's list, followed by landmarks of a person that it does
            not have.
        """
        points = []
        for new in found:
            if new.name in self.landmarks and self.is_manual(new.name):
                old = self.landmarks[new.name]
                points.append(replace(old, description=old.description or new.description))
            else:
                points.append(_as_detected(new))
        points += [p for p in self.landmarks if p.name not in found and self.is_manual(p.name)]
        landmarks = Landmarks(tuple(points), self.landmarks.image, found.geometry, found.provenance)
        title = self.title if self.landmarks.names == landmarks.names else ""
        taken = replace(
            Annotation.adopt(landmarks), passed_over=self.passed_over & set(landmarks.names)
        )
        return replace(taken, title=taken.title or title, current=taken.next_open(""))

    def reset(self, names: Iterable[str], found: Landmarks | None) -> Annotation:
        """Take back what a person did to landmarks.

        Parameters
        ----------
        names : iterable of str
            Which.
        found : Landmarks, optional
            What the last detection found; without it they are open again, and the
            next detection finds them.
        """
        reset = self
        for name in names:
            if found is not None and name in found:
                point = _as_detected(found[name])
            else:
                description = self.landmarks[name].description
                point = Landmark(name, None, State.SKIPPED, description=description)
            reset = reset._with(point, reset.passed_over - {name})
        return reset

    def go_to(self, name: str) -> Annotation:
        """Make a landmark the current one."""
        return replace(self, current=self.landmarks[name].name)

    def step(self, by: int) -> Annotation:
        """Make the landmark ``by`` rows further the current one, round the end."""
        names = self.landmarks.names
        if not names:
            return self
        if self.current in names:
            return replace(self, current=names[(names.index(self.current) + by) % len(names)])
        return replace(self, current=names[0 if by > 0 else -1])

    def follow(self, names: LandmarkList) -> tuple[Annotation, tuple[str, ...]]:
        """Change the list; points of the same name stay.

        Returns
        -------
        Annotation
            On the new list.
        tuple of str
            Placed landmarks that the new list does not have.
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
        return replace(followed, current=followed.next_open("")), lost

    # -- questions -----------------------------------------------------------------

    def is_open(self, name: str) -> bool:
        """Say whether nobody has decided on a landmark yet."""
        undecided = self.landmarks[name].state is State.SKIPPED
        return undecided and name not in self.passed_over

    def next_open(self, after: str) -> str:
        """Name the next landmark to place after one, round the end; "" if none."""
        names = self.landmarks.names
        start = names.index(after) + 1 if after in names else 0
        return next((n for n in names[start:] + names[:start] if self.is_open(n)), "")

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
        return any(p.source in (Source.DETECTED, Source.CORRECTED) for p in self.landmarks)

    def is_manual(self, name: str) -> bool:
        """Say whether a person has decided on a landmark, so that no detection may."""
        point = self.landmarks[name]
        if point.source is not None:
            return point.source.is_manual
        if point.state is State.PLACED:
            return point.score is None
        # A detection passes on what its template says is absent.
        return point.state is State.ABSENT and not self.is_result

    # -- inside --------------------------------------------------------------------

    def _source_of_edit(self, name: str) -> Source:
        """Say what a landmark becomes when a person changes it now."""
        before = self.landmarks[name].source
        detected = before in (Source.DETECTED, Source.CORRECTED)
        return Source.CORRECTED if detected else Source.PLACED

    def _without_position(
        self, name: str, state: State, source: Source | None, author: str = ""
    ) -> Annotation:
        description = self.landmarks[name].description
        point = Landmark(name, None, state, description=description, source=source, author=author)
        return self._with(point, self.passed_over)

    def _with(self, point: Landmark, passed_over: frozenset[str]) -> Annotation:
        if point.name not in self.landmarks:
            raise LandmarkError(f"landmark {point.name!r} is not in the list")
        landmarks = self.landmarks.with_landmark(point)
        return replace(self, landmarks=landmarks, passed_over=passed_over)


def _as_detected(point: Landmark) -> Landmark:
    placed = point.state is State.PLACED
    return replace(point, source=Source.DETECTED if placed else None, author="")


def _with_source(point: Landmark) -> Landmark:
    if point.source is not None or point.state is not State.PLACED:
        return point
    source = Source.PLACED if point.score is None else Source.DETECTED
    return replace(point, source=source)


T = TypeVar("T")

DEPTH = 500
"""Steps that can be taken back: a long day's work on one image."""


class History(Generic[T]):
    """A value with its past and its future.

    Parameters
    ----------
    value : T
        Immutable; where the history starts.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._past: list[T] = []
        self._future: list[T] = []

    @property
    def value(self) -> T:
        """The value now."""
        return self._value

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is anything to do again."""
        return bool(self._future)

    def record(self, value: T) -> None:
        """Go to a new value; what had been undone is forgotten."""
        self._past = [*self._past[-DEPTH + 1 :], self._value]
        self._future = []
        self._value = value

    def replace(self, value: T) -> None:
        """Change the value without a step to undo, as when only a cursor moves."""
        self._value = value

    def undo(self) -> T:
        """Take the last step back."""
        if self._past:
            self._future.append(self._value)
            self._value = self._past.pop()
        return self._value

    def redo(self) -> T:
        """Do the last undone step again."""
        if self._future:
            self._past.append(self._value)
            self._value = self._future.pop()
        return self._value
