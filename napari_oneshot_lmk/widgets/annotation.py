"""One image's annotation while somebody works on it: immutable, no Qt.

Every edit returns a new object, so undo is a list of old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmark import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.names import shipped_lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_oneshot_lmk.landmarks.names import NamedList


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
    def begin(cls, names: NamedList, image: str = "") -> Annotation:
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
        says about each landmark come, too.
        """
        title = ""
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

    def place(self, name: str, position_yx: tuple[float, float]) -> Annotation:
        """Put one landmark at a (row, column); the position is a person's word."""
        point = Landmark(
            name,
            position_yx,
            State.PLACED,
            description=self.landmarks[name].description,
        )
        return self._with(point, self.passed_over - {name})

    def place_current(self, position_yx: tuple[float, float]) -> Annotation:
        """Put the current landmark there and move on to the next open one."""
        placed = self.place(self.current, position_yx)
        return replace(placed, current=placed.next_open(self.current))

    def clear(self, names: Iterable[str]) -> Annotation:
        """Take landmarks off the image; the first of them becomes the current."""
        chosen = [name for name in names if name in self.landmarks]
        cleared = self
        for name in chosen:
            cleared = cleared._without_position(name, State.SKIPPED)
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
            skipped = self._without_position(self.current, State.SKIPPED)
        skipped = replace(skipped, passed_over=passed)
        return replace(skipped, current=skipped.next_open(self.current))

    def mark_absent(self) -> Annotation:
        """Say that the current landmark is not on this image, and move on."""
        if not self.current:
            return self
        absent = self._without_position(self.current, State.ABSENT)
        absent = replace(absent, passed_over=self.passed_over - {self.current})
        return replace(absent, current=absent.next_open(self.current))

    def go_to(self, name: str) -> Annotation:
        """Make a landmark the current one."""
        return replace(self, current=self.landmarks[name].name)

    def step(self, by: int) -> Annotation:
        """Make the landmark ``by`` rows further the current one, round the end."""
        names = self.landmarks.names
        if not names:
            return self
        if self.current in names:
            return replace(
                self, current=names[(names.index(self.current) + by) % len(names)]
            )
        return replace(self, current=names[0 if by > 0 else -1])

    def follow(self, names: NamedList) -> tuple[Annotation, tuple[str, ...]]:
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
        lost = tuple(
            p.name for p in self.landmarks.placed if p.name not in fresh.landmarks
        )
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

    # -- inside --------------------------------------------------------------------

    def _without_position(self, name: str, state: State) -> Annotation:
        point = Landmark(
            name, None, state, description=self.landmarks[name].description
        )
        return self._with(point, self.passed_over)

    def _with(self, point: Landmark, passed_over: frozenset[str]) -> Annotation:
        if point.name not in self.landmarks:
            raise LandmarkError(f"landmark {point.name!r} is not in the list")
        landmarks = self.landmarks.with_landmark(point)
        return replace(self, landmarks=landmarks, passed_over=passed_over)
