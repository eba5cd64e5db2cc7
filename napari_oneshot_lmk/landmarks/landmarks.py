"""Landmarks of one image: names, positions, states, scores and provenance; as JSON, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.curve import FARTHEST_PX, Curve


class State(StrEnum):
    """What is known of a landmark on an image."""

    PLACED = "placed"  # it has a position
    SKIPPED = "skipped"  # not placed yet, or passed over
    ABSENT = "absent"  # not on this image: missing tooth, cropped field of view


class Source(StrEnum):
    """How a landmark came to be where it is."""

    DETECTED = "detected"  # found by a detector, and not changed since
    ACCEPTED = "accepted"  # found by a detector; a person has looked and left it there
    CORRECTED = "corrected"  # moved, added or removed by a person after a detection
    PLACED = "placed"  # placed by a person, without a detection before

    @property
    def is_manual(self) -> bool:
        """Whether a person decided it; a detection never replaces it."""
        return self is not Source.DETECTED

    @property
    def is_position_of_person(self) -> bool:
        """Whether it lies where a person has put it, not where a detector has found it."""
        return self in (Source.CORRECTED, Source.PLACED)

    @property
    def follows_detection(self) -> bool:
        """Whether a detection took part in it."""
        return self is not Source.PLACED


LENGTHS_PX = ("predicted_error_px", "radius_90_px")
LENGTHS_MM = ("predicted_error_mm", "radius_90_mm")
OF_DETECTION = ("score", *LENGTHS_PX)
"""What a detector says of a point, and nobody of one that a person has put there."""
NUMBERS = (*OF_DETECTION, "shape_residual_mm")


def check_name(name: str) -> None:
    """Raise a LandmarkError if a name is empty or has blanks around it."""
    if not name or name != name.strip():
        raise LandmarkError(f"{name!r} is not a landmark name")


def check_unique(names: Iterable[str], where: str = "", what: str = "landmark") -> None:
    """Raise a LandmarkError if a name stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LandmarkError(
                f"{what} {name!r} stands twice{where}", remedy="rename or remove one of the two"
            )
        seen.add(name)


@dataclass(frozen=True)
class Landmark:
    """One named control point.

    ``score``, ``unsure``, error and radius are those of a detector and are dropped from a corrected
    or placed landmark; an accepted one keeps all but the mark. An ``author`` belongs to a
    landmark that a person decided, and is dropped from any other. A LandmarkError says if state
    and position do not agree, or a number is not finite.
    """

    name: str
    """Unique within an image."""
    position_yx: tuple[float, float] | None = None
    """Sub-pixel (row, column) on the image's own grid, pixel centres at integers; given
    exactly when the state is PLACED."""
    state: State = State.PLACED
    score: float | None = None
    """Confidence in 0..1 of a detected point; None for a point set by hand."""
    unsure: bool = False
    """Whether score or shape say that a person should look."""
    shape_residual_mm: float | None = None
    """How far the point lies from where the other landmarks expect it."""
    description: str = ""
    """Where to place it."""
    source: Source | None = None
    """None where a file does not say. A landmark without a position has one where a detector
    or a person decided so."""
    author: str = ""
    """Who placed, corrected or accepted it, where that is not the author of the whole set."""
    predicted_error_px: float | None = None
    """Mean error that a detector expects, in pixels of the image, the geometric mean of their
    height and width where they are not square; see `Geometry.length_to_mm`."""
    radius_90_px: float | None = None
    """Radius around the position that is to hold the true one with a probability of 90 %."""

    def __post_init__(self) -> None:
        """Check that position and state agree."""
        check_name(self.name)
        object.__setattr__(self, "state", State(self.state))
        if self.source is not None:
            object.__setattr__(self, "source", Source(self.source))
        if self.is_position_of_person:
            for key in OF_DETECTION:
                object.__setattr__(self, key, None)
        if self.is_manual:
            object.__setattr__(self, "unsure", False)
        else:
            object.__setattr__(self, "author", "")
        if (self.position_yx is None) == (self.state is State.PLACED):
            raise LandmarkError(
                f"landmark {self.name!r} is {self.state} but has "
                f"{'no' if self.position_yx is None else 'a'} position"
            )
        if self.position_yx is not None:
            object.__setattr__(self, "position_yx", self._checked_position(self.position_yx))
        for key in NUMBERS:
            number = getattr(self, key)
            if number is not None and not np.isfinite(number):
                what = f"{key} {number}, which is not a finite number"
                raise LandmarkError(f"landmark {self.name!r} has the {what}")
        for key in LENGTHS_PX:
            if self.position_yx is None:
                object.__setattr__(self, key, None)
            elif not 0 <= (getattr(self, key) or 0) <= FARTHEST_PX:
                what = f"{key} {getattr(self, key):g}, which is no length in an image"
                raise LandmarkError(f"landmark {self.name!r} has the {what}")

    def _checked_position(self, position_yx: Iterable[float]) -> tuple[float, ...]:
        position = tuple(float(v) for v in position_yx)
        if len(position) != 2 or not np.all(np.isfinite(position)):
            fault = "is not two finite numbers"
        elif max(map(abs, position)) > FARTHEST_PX:
            fault = "lies beyond any image"
        else:
            return position
        raise LandmarkError(f"landmark {self.name!r} has the position {position}, which {fault}")

    @property
    def is_passed_over(self) -> bool:
        """Whether a person has left it undecided on purpose."""
        return self.state is State.SKIPPED and self.source is Source.PLACED

    @property
    def is_manual(self) -> bool:
        """Whether a person placed, corrected or accepted it."""
        return self.source is not None and self.source.is_manual and not self.is_passed_over

    @property
    def is_position_of_person(self) -> bool:
        """Whether a person placed or corrected it."""
        by_person = self.source is not None and self.source.is_position_of_person
        return by_person and not self.is_passed_over

    @property
    def follows_detection(self) -> bool:
        """Whether a detection took part in it."""
        return self.score is not None if self.source is None else self.source.follows_detection

    def lengths(self, geometry: Geometry | None) -> dict[str, float | None]:
        """Return what a detector estimates of it: the fields in pixels, and the same in mm.

        The names in mm end in ``_mm``; None where there is nothing, or no spacing.
        """
        found: dict[str, float | None] = {key: getattr(self, key) for key in LENGTHS_PX}
        known = geometry is not None and geometry.spacing_mm_yx is not None
        for in_px, in_mm in zip(LENGTHS_PX, LENGTHS_MM, strict=True):
            length_px = found[in_px]
            found[in_mm] = None
            if geometry is not None and known and length_px is not None:
                found[in_mm] = geometry.length_to_mm(length_px)
        return found

    def edited_at(self, position_yx: tuple[float, float] | None) -> Landmark:
        """Return the landmark as a person has left it in another program, None unplaced."""
        return Landmark(
            self.name,
            position_yx,
            State.SKIPPED if position_yx is None else State.PLACED,
            description=self.description,
            source=Source.CORRECTED if self.source and self.follows_detection else self.source,
            author=self.author,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values; those at their default are left out."""
        values: dict[str, Any] = {"name": self.name, "state": str(self.state)}
        if self.position_yx is not None:
            values["position_yx"] = list(self.position_yx)
        for key in (*NUMBERS, "unsure", "description", "author"):
            if (value := getattr(self, key)) != getattr(Landmark, key):
                values[key] = value
        return values if self.source is None else values | {"source": str(self.source)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Landmark:
        """Undo `to_json`; unknown keys are passed over.

        A LandmarkError, KeyError, TypeError or ValueError says if a value is missing or of
        the wrong kind.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in values.items() if key in known}
        if "position_yx" in values:
            row, column = values["position_yx"]
            values["position_yx"] = (float(row), float(column))
        for key in NUMBERS:
            if values.get(key) is not None:
                values[key] = float(values[key])
        if values.get("score") is not None and not 0 <= values["score"] <= 1:
            raise ValueError(f"the score {values['score']:g} is not between 0 and 1")
        for key in ("name", "description", "author"):
            if not isinstance(values.get(key, ""), str):
                raise TypeError(f"{key} is no text")
        if not isinstance(values.get("unsure", False), bool):
            raise TypeError("unsure is neither true nor false")
        return cls(**values)


@dataclass(frozen=True)
class Provenance:
    """Who or what made the landmarks, and from which template."""

    method: str = ""
    """"manual", "instant", or the name of a trained model."""
    encoder: str = ""
    """Identity of the feature encoder; empty for a person."""
    template: str = ""
    """Name of the template."""
    author: str = ""
    """The person, where there is one."""
    created: str = ""
    """ISO 8601 time."""
    orientation: str = ""
    """How a detector recognised that the image lies, compared with the template: "mirrored",
    for example; empty where it lies as the template does."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Provenance:
        """Read plain values; missing keys are empty, unknown ones passed over."""
        return cls(**{f.name: str(values.get(f.name, "")) for f in fields(cls)})


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one image, in the order of their list; no name may occur twice."""

    points: tuple[Landmark, ...] = ()
    image: str = ""
    """Name of the image file, as it stands in the tables."""
    geometry: Geometry | None = None
    """Grid and spacing of that image, where known."""
    provenance: Provenance = field(default_factory=Provenance)
    curves: tuple[Curve, ...] = ()
    """Open curves that were digitised beside the landmarks; only TPS files hold them."""

    def __post_init__(self) -> None:
        """Check that names are unique."""
        points = tuple(self.points)
        check_unique(point.name for point in points)
        check_unique((curve.name for curve in self.curves), what="curve")
        author = self.provenance.author
        if author and any(point.author == author for point in points):
            # Of two ways to say the same thing one is kept.
            points = tuple(replace(p, author="") if p.author == author else p for p in points)
        object.__setattr__(self, "points", points)

    @classmethod
    def from_positions(
        cls,
        positions_yx: Mapping[str, tuple[float, float]],
        image: str = "",
        geometry: Geometry | None = None,
        provenance: Provenance | None = None,
    ) -> Landmarks:
        """Make placed landmarks from a mapping name -> (row, column)."""
        points = tuple(Landmark(name, yx) for name, yx in positions_yx.items())
        return cls(points, image, geometry, provenance or Provenance())

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Landmark]:
        return iter(self.points)

    def __getitem__(self, name: str) -> Landmark:
        """Return the landmark called ``name``."""
        found = next((point for point in self.points if point.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return any(point.name == name for point in self.points)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order, placed or not."""
        return tuple(point.name for point in self.points)

    @property
    def placed(self) -> tuple[Landmark, ...]:
        """The landmarks that have a position, in order."""
        return tuple(p for p in self.points if p.state is State.PLACED)

    @property
    def manual(self) -> tuple[Landmark, ...]:
        """The landmarks that a person placed or corrected, in order."""
        return tuple(p for p in self.points if p.is_manual)

    @property
    def positions_yx(self) -> NDArray[np.float64]:
        """(N, 2) positions in image pixels, NaN where not placed."""
        rows = [p.position_yx or (np.nan, np.nan) for p in self.points]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def with_points(self, points: Iterable[Landmark]) -> Landmarks:
        """Return the same set with other points."""
        return replace(self, points=tuple(points))

    def with_landmark(self, point: Landmark) -> Landmarks:
        """Return the set with one landmark replaced, or added at the end."""
        if point.name not in self:
            return self.with_points((*self.points, point))
        return self.with_points(point if p.name == point.name else p for p in self)

    def with_geometry(self, geometry: Geometry | None) -> Landmarks:
        """Return the same landmarks on another description of the same grid."""
        return replace(self, geometry=geometry)

    def to_json(self, *, with_geometry: bool = False) -> dict[str, Any]:
        """Return plain values; numbers keep their full precision."""
        provenance = asdict(self.provenance)
        if not self.provenance.orientation:
            # As before there was one: the hash of a template that was saved must not change.
            del provenance["orientation"]
        values: dict[str, Any] = {
            "image": self.image,
            "provenance": provenance,
            "points": [point.to_json() for point in self.points],
        }
        if self.curves:
            values["curves"] = [curve.to_json() for curve in self.curves]
        if with_geometry:
            values["geometry"] = None if self.geometry is None else geometry_to_json(self.geometry)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any], geometry: Geometry | None = None) -> Landmarks:
        """Undo `to_json`; ``geometry`` is for values without one.

        A LandmarkError says if a value is missing or makes no sense.
        """
        try:
            if values.get("geometry") is not None:
                geometry = geometry_from_json(values["geometry"])
            points = tuple(Landmark.from_json(point) for point in values["points"])
            provenance = Provenance.from_json(values["provenance"])
            curves = tuple(Curve(c["name"], c["points_yx"]) for c in values.get("curves", ()))
            return cls(points, str(values["image"]), geometry, provenance, curves)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LandmarkError(f"holds landmarks that make no sense ({error})") from error


def geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    """Return the fields of a geometry that belong to the image."""
    values = asdict(geometry)
    del values["network_shape_yx"]
    return {name: None if value is None else list(value) for name, value in values.items()}


def geometry_from_json(values: Mapping[str, Any]) -> Geometry:
    """Undo `geometry_to_json`."""
    rows, columns = values["image_shape_yx"]
    if isinstance(rows, bool) or rows != int(rows) or columns != int(columns):
        raise ValueError(f"{rows!r} x {columns!r} are not whole numbers of pixels")
    geometry = Geometry(
        (rows, columns),
        origin_lps_mm=tuple(values["origin_lps_mm"]),
        row_axis_lps=tuple(values["row_axis_lps"]),
        column_axis_lps=tuple(values["column_axis_lps"]),
    )
    return geometry.with_spacing(values["spacing_mm_yx"])
