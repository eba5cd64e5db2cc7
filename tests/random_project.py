"""What a project under review must hold, in plain Python: the oracle of its random test.

It knows nothing of the package. The landmarks of an image are a dictionary from names to
`Point`; what a person or a detection does is a method that says what must be true afterwards.
"""

from dataclasses import dataclass, field, replace
from typing import Any

Yx = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A landmark on an image."""

    state: str = "skipped"
    yx: Yx | None = None
    source: str | None = None
    unsure: bool = False

    @property
    def by_person(self) -> bool:
        """Whether a person has the last word on it."""
        return self.source in ("placed", "corrected", "accepted")

    @property
    def by_detector(self) -> bool:
        """Whether a detection took part in it."""
        return self.source in ("detected", "corrected", "accepted")


@dataclass(frozen=True)
class Moment:
    """The landmarks of an image at one time, which is next, and which were passed over."""

    points: dict[str, Point] = field(default_factory=dict)
    current: str = ""
    passed: frozenset[str] = frozenset()

    def is_open(self, name: str) -> bool:
        return self.points[name].state == "skipped" and name not in self.passed

    def after(self, name: str) -> list[str]:
        """All names in their order, those behind one first."""
        names = list(self.points)
        start = names.index(name) + 1 if name in names else 0
        return names[start:] + names[:start]

    def at_next_open(self, after: str = "") -> "Moment":
        opened = (name for name in self.after(after) if self.is_open(name))
        return replace(self, current=next(opened, ""))

    def with_point(self, name: str, point: Point) -> "Moment":
        points = {**self.points, name: point}
        return replace(self, points=points, passed=self.passed - {name})


class Study:
    """The images of a project by name, and all that can be undone on them."""

    def __init__(self, names: list[str]) -> None:
        self.now = {name: Moment() for name in names}
        self.past: dict[str, list[Moment]] = {name: [] for name in names}
        self.future: dict[str, list[Moment]] = {name: [] for name in names}
        self.found: dict[str, dict[str, Point]] = {}
        self.spacing: Yx | None = None
        self.own_spacing: dict[str, Yx] = {}
        self.shown: str | None = None
        self.all = tuple(names)
        self.learnt: tuple[str, dict[str, tuple[Moment, dict[str, Point] | None]]] | None = None
        """How detection is helped, and the images that it has detected anew, as before that."""
        self.measured: dict[str, tuple[str, str]] = {}
        """Distances by name, with their ends."""

    @property
    def names(self) -> list[str]:
        """The images that belong to the project now."""
        return sorted(self.now)

    def mm(self, image: str) -> Yx | None:
        return self.own_spacing.get(image, self.spacing)

    def state(self, image: str) -> str:
        """How far an image is, in the words of the list."""
        points = self.now[image].points.values()
        if all(p.state == "skipped" and p.source is None for p in points):
            return "to do"
        if not any(p.by_person for p in points):
            return "detected"
        # The template places all landmarks: each is to be decided.
        return "accepted" if all(p.by_person for p in points) else "corrected"

    # -- edits of the image that is shown ------------------------------------------

    def edit(self, new: Moment) -> None:
        image = self._shown
        undone = self.future[image][::-1]
        visited = [self.now[image], *undone]
        # To undo goes forward to the end of what was undone, and back.
        self.past[image] += visited + visited[-2::-1]
        self.future[image] = []
        self.now[image] = new

    @property
    def _shown(self) -> str:
        assert self.shown is not None
        return self.shown

    @property
    def here(self) -> Moment:
        return Moment() if self.shown is None else self.now[self.shown]

    def go_to(self, name: str) -> None:
        """Another landmark is current: nothing to undo."""
        if self.shown is not None:
            self.now[self.shown] = replace(self.here, current=name)

    def step(self, by: int) -> None:
        names, current = list(self.here.points), self.here.current
        if names and current in names:
            self.go_to(names[(names.index(current) + by) % len(names)])
        elif names:
            self.go_to(names[0 if by > 0 else -1])

    def _by(self, name: str) -> str:
        return "corrected" if self.here.points[name].by_detector else "placed"

    def place(self, name: str, yx: Yx) -> None:
        self.edit(self.here.with_point(name, Point("placed", yx, self._by(name))))

    def clear(self, name: str) -> None:
        source = "corrected" if self._by(name) == "corrected" else None
        self.edit(replace(self.here.with_point(name, Point(source=source)), current=name))

    def mark_absent(self) -> None:
        name = self.here.current
        if name:
            new = self.here.with_point(name, Point("absent", source=self._by(name)))
            self._edit_if_new(new.at_next_open(name))

    def skip(self) -> None:
        name, new = self.here.current, self.here
        if not name:
            return
        state = new.points[name].state
        if state == "absent":
            new = new.with_point(name, Point())
        if state != "placed":
            new = replace(new, passed=new.passed | {name})
        self._edit_if_new(new.at_next_open(name))

    def accept(self, names: list[str]) -> None:
        new = self.here
        for name in names:
            point = new.points[name]
            if not point.by_person and point.state != "skipped":
                accepted = replace(point, source="accepted", unsure=False)
                new = replace(new, points={**new.points, name: accepted})
        self._edit_if_new(new)

    def _edit_if_new(self, new: Moment) -> None:
        if new != self.here:
            self.edit(new)

    def reset(self) -> None:
        """The current point is as it was found, else open."""
        name = self.here.current
        if name:
            found = self.found.get(self._shown, {}).get(name, Point())
            self.edit(self.here.with_point(name, found))

    def undo(self) -> None:
        self._go(self.past, self.future)

    def redo(self) -> None:
        self._go(self.future, self.past)

    def _go(self, there: dict[str, list[Moment]], back: dict[str, list[Moment]]) -> None:
        if self.shown is not None and there[self.shown]:
            back[self.shown].append(self.here)
            self.now[self.shown] = there[self.shown].pop()

    def settle(self, moved: dict[str, Point]) -> None:
        """What nobody has decided was found anew, given the rest."""
        here = self.here
        points = {n: p if p.by_person else moved[n] for n, p in here.points.items()}
        settled = replace(here, points=points, passed=here.passed & set(points))
        far = [_far(p.yx, points[n].yx) for n, p in here.points.items() if not p.by_person]
        if any(far):
            self.edit(settled)

    # -- the project ---------------------------------------------------------------

    def detect(self, image: str, found: dict[str, Point]) -> None:
        """A detection: what a person has decided stays."""
        before = self.now[image]
        points = {
            name: before.points[name]
            if name in before.points and before.points[name].by_person
            # Of what was never placed nothing stays.
            else point
            for name, point in found.items()
        }
        new = Moment(points, "", before.passed & set(points)).at_next_open()
        if image == self.shown:
            self.edit(new)
        else:
            self.now[image] = replace(new, passed=frozenset()).at_next_open()
            self.past[image], self.future[image] = [], []
        self.found[image] = found

    def remove(self, image: str) -> None:
        """An image is not in the project any more; a correction of it does not come back."""
        for held in (self.now, self.past, self.future):
            del held[image]
        self.found.pop(image, None)
        self.own_spacing.pop(image, None)
        if self.learnt is not None:
            self.learnt[1].pop(image, None)
        if self.shown == image:
            self.shown = None

    def add(self) -> None:
        """Images that were removed are there again, and begin anew."""
        for image in self.all:
            if image not in self.now:
                self.now[image], self.past[image], self.future[image] = Moment(), [], []

    # -- learning ------------------------------------------------------------------

    def corrected(self) -> list[str]:
        """Images on which a person has decided where a point is."""
        return [
            image
            for image, moment in self.now.items()
            if any(p.by_person and p.yx is not None for p in moment.points.values())
        ]

    def learn(self, way: str, found: dict[str, Point]) -> None:
        """Images that nobody has finished were detected anew, as never before."""
        self.forget()
        open_ = [image for image in self.now if self.state(image) != "accepted"]
        before = {image: (self.now[image], self.found.get(image)) for image in open_}
        self.learnt = way, before
        for image in open_:
            self.detect(image, found)

    def forget(self) -> None:
        """What nobody has decided is as it was before."""
        if self.learnt is None:
            return
        (_, images), self.learnt = self.learnt, None
        for image, (before, found) in images.items():
            now = self.now[image].points
            if not now:
                continue
            kept = {name for name, point in now.items() if point.by_person}
            points = {n: now[n] if n in kept else before.points.get(n, Point()) for n in now}
            if not before.points and not kept:
                points = {}
            if points == now and found == self.found.get(image):
                continue
            new = Moment(points).at_next_open()
            if image == self.shown:
                self.edit(new)
            else:
                self.now[image] = new
                self.past[image], self.future[image] = [], []
            self.found.pop(image, None)
            if found is not None:
                self.found[image] = found

    # -- measurements --------------------------------------------------------------

    def distance(self, image: str, name: str) -> tuple[float, str] | None:
        """Return a distance with its unit, None where an end is not placed."""
        points = self.now[image].points
        ends = [points[end].yx for end in self.measured[name] if end in points]
        if len(ends) < 2 or None in ends:
            return None
        (y, x), (v, u) = ends  # type: ignore[misc]
        mm = self.mm(image) or (1.0, 1.0)
        unit = "px" if self.mm(image) is None else "mm"
        return ((mm[0] * (y - v)) ** 2 + (mm[1] * (x - u)) ** 2) ** 0.5, unit

    def reopened(self) -> None:
        """Landmarks are as before; what could be undone, and what was passed over, is not kept."""
        self.shown = None
        for image, moment in self.now.items():
            self.now[image] = Moment(moment.points).at_next_open()
            self.past[image], self.future[image] = [], []

    def set_spacing_for_all(self, mm: Yx) -> None:
        self.spacing = mm
        self.own_spacing.clear()


def _far(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    return bool(((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5 > 0.5)
