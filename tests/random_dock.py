"""What the dock must do, in plain Python: the oracle of the random-action test.

It knows nothing of the package. Landmarks of an image are a dictionary from names to
points, a point is a dictionary, and what the user does is a method here that says
what must be true afterwards. ``key`` is (number of the image, slice) throughout.
"""

from typing import Any

Key = tuple[int, tuple[int, ...]]
Point = dict[str, Any]
Points = dict[str, Point]
Snapshot = dict[str, Any]
"""``points``, ``current`` and ``passed``: those that were skipped."""


def point(
    state: str = "skipped", yx: Any = None, source: Any = None, score: Any = None, about: float = 0
) -> Point:
    """Return a landmark; ``about`` says how far its position may be off."""
    return {"state": state, "yx": yx, "source": source, "score": score, "about": about}


def snapshot(points: Points | None = None, current: str = "", passed: Any = ()) -> Any:
    """Return the landmarks of an image at one moment."""
    return {"points": dict(points or {}), "current": current, "passed": frozenset(passed)}


def same(one: Points, other: Points) -> bool:
    """Say whether two sets have the same names, states and positions, in order."""
    return list(one.items()) == list(other.items())


def detected_in(points: Points) -> bool:
    """Say whether a detection took part."""
    return any(p["source"] in ("detected", "corrected") for p in points.values())


def is_manual(points: Points, name: str) -> bool:
    """Say whether a person has the last word on a landmark."""
    p = points[name]
    if p["source"] is not None:
        return bool(p["source"] != "detected")
    return bool(p["state"] == "absent" and not detected_in(points))


def is_open(now: Snapshot, name: str) -> bool:
    """Say whether nobody has decided on a landmark."""
    return now["points"][name]["state"] == "skipped" and name not in now["passed"]


def next_open(now: Snapshot, after: str) -> str:
    """Return the next landmark to place, round the end."""
    names = list(now["points"])
    start = names.index(after) + 1 if after in names else 0
    order = names[start:] + names[:start]
    return next((name for name in order if is_open(now, name)), "")


def nothing_decided(points: Points) -> bool:
    """Say whether there is nothing that could be lost."""
    return all(p["state"] == "skipped" and p["source"] is None for p in points.values())


class Oracle:
    """Everything that must hold, whatever the window shows."""

    def __init__(self) -> None:
        self.images: dict[int, dict[str, Any]] = {}
        self.target: Key | None = None
        self.only_this = True
        self.now: dict[Key, Snapshot] = {}
        self.past: dict[Key, list[Snapshot]] = {}
        self.future: dict[Key, list[Snapshot]] = {}
        self.found: dict[Key, Points] = {}
        self.template: Points | None = None
        self.template_key: Key | None = None
        self.removed: dict[Any, dict[str, Any]] = {}
        self.sidecars: dict[Any, Points] = {}
        self.sidecar_spacing: dict[Any, Any] = {}
        self.files: list[Points] = []
        self.in_files: dict[Key, Points] = {}

    # -- images --------------------------------------------------------------------

    def open_image(self, number: int, **facts: Any) -> None:
        """An image has been opened: ``name``, ``identity``, ``spacing``, ``shape``."""
        self.images[number] = {"given": None, **facts}

    def turn_to(self, key: Key) -> None:
        """The image was chosen; what it had when it was removed comes back."""
        self.target = key
        identity = self.identity(key)
        kept = self.removed.get(identity)
        if kept is None or key in self.now:
            return
        del self.removed[identity]
        self.now[key] = kept["now"]
        self.past[key], self.future[key] = kept["past"], kept["future"]
        if kept["found"] is not None:
            self.found[key] = kept["found"]
        if kept["in_file"] is not None:
            self.in_files[key] = kept["in_file"]
        if kept["spacing"] not in (None, self.spacing(key)):
            self.images[key[0]]["given"] = kept["spacing"]

    def remove_image(self, number: int) -> None:
        """An image is gone; its landmarks are kept."""
        for key in [key for key in self.now if key[0] == number]:
            now = self.now.pop(key)
            kept = {
                "now": now,
                "past": self.past.pop(key, []),
                "future": self.future.pop(key, []),
                "found": self.found.get(key),
                "in_file": self.in_files.pop(key, None),
                "spacing": self.spacing(key),
                "name": self.name(key),
            }
            kept["is_result"] = kept["found"] is not None or detected_in(now["points"])
            if not nothing_decided(now["points"]):
                self.removed[self.identity(key)] = kept
            else:
                # The file of what was taken off is earlier work from now on.
                self.sidecars.pop(self.identity(key), None)
        self.found = {k: v for k, v in self.found.items() if k[0] != number}
        del self.images[number]
        if self.target is not None and self.target[0] == number:
            self.target = None

    def identity(self, key: Key) -> Any:
        """Return what an image is, whatever it is called and when it was opened."""
        return self.images[key[0]]["identity"], key[1]

    def name(self, key: Key) -> str:
        """Return what tables call an image."""
        name = str(self.images[key[0]]["name"])
        return f"{name} [{key[1][0]}]" if key[1] else name

    def spacing(self, key: Key) -> tuple[float, float] | None:
        """Return the millimetres of a pixel, the user's or the image's own."""
        facts = self.images[key[0]]
        return facts["given"] or facts["spacing"]

    def set_spacing(self, mm_yx: tuple[float, float] | None, key: Key) -> None:
        """Somebody or a file gave the spacing; it holds for all slices."""
        before = self.spacing(key)
        self.images[key[0]]["given"] = mm_yx
        if self.spacing(key) != before:
            for other in list(self.now):
                if other[0] == key[0]:
                    self._autosave(other)

    # -- landmarks -----------------------------------------------------------------

    def points(self, key: Key | None) -> Points:
        return dict(self.state(key)["points"])

    def state(self, key: Key | None) -> Snapshot:
        """Return the landmarks with the current one."""
        fresh: Snapshot = snapshot()
        return fresh if key is None else self.now.get(key, fresh)

    def _edit(self, key: Key, new: Snapshot) -> None:
        undone = self.future.get(key, [])[::-1]
        visited = [self.state(key), *undone]
        # Undone steps are kept: to undo goes forward to the end of them and back.
        self.past.setdefault(key, []).extend(visited + visited[-2::-1])
        self.future[key] = []
        self.now[key] = new
        self._autosave(key)

    def _source(self, key: Key, name: str) -> str:
        return "corrected" if detected_in({name: self.points(key)[name]}) else "placed"

    def move(self, key: Key, moved: dict[str, Any], about: float = 0.0) -> None:
        """Points were put elsewhere, in one step."""
        new = self.state(key)
        points, passed = dict(new["points"]), new["passed"]
        for name, yx in moved.items():
            points[name] = point("placed", yx, self._source(key, name), about=about)
            passed = passed - {name}
        self._edit(key, snapshot(points, new["current"], passed))

    def place(self, key: Key, positions: list[Any], about: float = 0.0) -> None:
        """Points were added: each is the landmark that is next, all in one step."""
        before = new = self.state(key)
        for yx in positions:
            name = new["current"]
            if not name:
                break
            source = self._source(key, name)
            points = {**new["points"], name: point("placed", yx, source, about=about)}
            new = snapshot(points, "", new["passed"] - {name})
            new["current"] = next_open(new, name)
        if new is not before:
            self._edit(key, new)

    def clear(self, key: Key, names: list[str]) -> None:
        """Points were deleted; detected ones are remembered as taken off."""
        if not names:
            return
        now = self.state(key)
        points = dict(now["points"])
        for name in names:
            corrected = self._source(key, name) == "corrected"
            points[name] = point(source="corrected" if corrected else None)
        self._edit(key, snapshot(points, names[0], now["passed"] - set(names)))

    def skip(self, key: Key) -> None:
        """The current landmark is passed over."""
        now = self.state(key)
        before = now["points"].get(now["current"])
        if before is not None:
            after = point() if before["state"] == "absent" else before
            self._decide(key, after, passed_over=before["state"] != "placed")

    def mark_absent(self, key: Key) -> None:
        """The current landmark is not on this image."""
        name = self.state(key)["current"]
        if name:
            self._decide(key, point("absent", source=self._source(key, name)), passed_over=False)

    def _decide(self, key: Key, new: Point, passed_over: bool) -> None:
        now = self.state(key)
        name = now["current"]
        passed = now["passed"] | {name} if passed_over else now["passed"] - {name}
        after = snapshot({**now["points"], name: new}, "", passed)
        after["current"] = next_open(after, name)
        if after != now:
            self._edit(key, after)

    def go_to_next_open(self, key: Key) -> None:
        """The highlight goes to the next open landmark; that is no edit."""
        self.go_to(key, next_open(self.state(key), ""))

    def step(self, key: Key, by: int) -> None:
        """The highlight moves in the list; that is no edit."""
        now = self.state(key)
        names = list(now["points"])
        if not names:
            return
        if now["current"] in names:
            current = names[(names.index(now["current"]) + by) % len(names)]
        else:
            current = names[0 if by > 0 else -1]
        self.go_to(key, current)

    def go_to(self, key: Key, name: str) -> None:
        now = self.state(key)
        self.now[key] = snapshot(now["points"], name, now["passed"])

    def follow(self, key: Key, names: list[str]) -> None:
        """Another list is chosen; landmarks of the same name stay."""
        now = self.state(key)
        points = {name: now["points"].get(name, point()) for name in names}
        new = snapshot(points, "", now["passed"] & set(names))
        new["current"] = next_open(new, "")
        self._edit(key, new)

    def detect(self, key: Key, found: Points) -> None:
        """A detection: what a person decided stays."""
        now = self.state(key)
        mine = {n: p for n, p in now["points"].items() if is_manual(now["points"], n)}
        points = {name: mine.get(name, p) for name, p in found.items()}
        points |= {name: p for name, p in mine.items() if name not in found}
        new = snapshot(points, "", now["passed"] & set(points))
        new["current"] = next_open(new, "")
        self._edit(key, new)
        self.found[key] = found

    def reset(self, key: Key, names: list[str]) -> None:
        """Take back what a person did to landmarks."""
        now = self.state(key)
        found = self.found.get(key, {})
        points = {**now["points"], **{n: found.get(n, point()) for n in names}}
        self._edit(key, snapshot(points, now["current"], now["passed"] - set(names)))

    def adopt(self, key: Key, points: Points, in_file: bool = False) -> None:
        """Go on with landmarks of a file or a layer."""
        new = snapshot(points)
        new["current"] = next_open(new, "")
        if in_file:
            self.in_files[key] = points
        if nothing_decided(self.points(key)):
            self.now[key], self.past[key], self.future[key] = new, [], []
            self._autosave(key)
        else:
            self._edit(key, new)

    def take_off(self, key: Key) -> None:
        """The landmark layer was removed, and the landmarks with it."""
        if not nothing_decided(self.points(key)):
            self._edit(key, snapshot())

    def undo(self, key: Key) -> None:
        self._go(key, self.past, self.future)

    def redo(self, key: Key) -> None:
        self._go(key, self.future, self.past)

    def _go(self, key: Key, there: dict[Key, Any], back: dict[Key, Any]) -> None:
        if there.get(key):
            back.setdefault(key, []).append(self.now[key])
            self.now[key] = there[key].pop()
            self._autosave(key)

    # -- files ---------------------------------------------------------------------

    def _autosave(self, key: Key) -> None:
        """One file for each image on which a person has decided anything."""
        points, identity = self.points(key), self.identity(key)
        if not points:
            return
        manual = any(is_manual(points, name) for name in points)
        in_file = key in self.in_files and same(self.in_files[key], points)
        if identity in self.sidecars or (manual and not in_file):
            self.sidecars[identity] = points
            self.files.append(points)
            self.sidecar_spacing[identity] = self.spacing(key)
            self.in_files[key] = points

    def results(self) -> list[tuple[str, Points, Any]]:
        """Name, landmarks and spacing of what "Save all" must write."""
        opened = [
            (self.name(key), self.points(key), self.spacing(key))
            for key in self.now
            if self.is_result(key)
        ]
        return opened + [
            (kept["name"], kept["now"]["points"], kept["spacing"])
            for kept in self.removed.values()
            if kept["is_result"]
        ]

    def is_result(self, key: Key) -> bool:
        """Say whether a detection took part in what an image has."""
        points = self.points(key)
        return detected_in(points) or (key in self.found and not nothing_decided(points))

    def saved_all(self) -> None:
        """A file holds all results."""
        for key in self.now:
            if self.is_result(key):
                self.in_files[key] = self.points(key)
        for kept in self.removed.values():
            if kept["is_result"]:
                kept["in_file"] = kept["now"]["points"]
