"""A measurement that is being defined, point by point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.measure.measurement import POINTS, Kind, Measurement
from napari_oneshot_lmk.measure.measurement_set import first_problem


@dataclass(frozen=True)
class Draft:
    """What was chosen so far.

    Examples
    --------
    >>> draft = Draft(Kind.ANGLE).with_name("sella").with_name("nasion")
    >>> draft.complete, draft.with_name("subspinale_A").complete
    (False, True)
    """

    kind: Kind = Kind.DISTANCE
    names: tuple[str, ...] = ()
    """Landmarks in their order; of a difference its two measurements."""

    @property
    def wanted(self) -> int | None:
        """How many names the kind takes; None for two or more."""
        return 2 if self.kind is Kind.DIFFERENCE else POINTS[self.kind]

    @property
    def full(self) -> bool:
        """Whether no further name is taken."""
        return self.wanted is not None and len(self.names) >= self.wanted

    @property
    def complete(self) -> bool:
        """Whether it is a measurement already."""
        return self.full or (self.wanted is None and len(self.names) >= 2)

    @property
    def proposed_name(self) -> str:
        """A name for it; empty while nothing is chosen."""
        return f"{self.kind} {' – '.join(self.names)}" if self.names else ""

    def with_name(self, name: str) -> Draft:
        """Return it with one more name, or as it is where no further one is taken."""
        return self if self.full else replace(self, names=(*self.names, name))

    def without_last(self) -> Draft:
        """Return it without the name that was chosen last."""
        return replace(self, names=self.names[:-1])

    def with_kind(self, kind: Kind) -> Draft:
        """Return it as another kind; the names that this takes, too, stay."""
        if Kind.DIFFERENCE in (kind, self.kind) and kind is not self.kind:
            return Draft(kind)
        return Draft(kind, self.names[: POINTS[kind]])

    def as_line(self) -> tuple[Measurement, ...]:
        """Return a line through the landmarks that were chosen, to be drawn; none of one."""
        if self.kind is Kind.DIFFERENCE or len(self.names) < 2:
            return ()
        return (Measurement(name=self.proposed_name, kind=Kind.PATH, points=self.names),)

    def measurement(self, name: str = "", definition: str = "") -> Measurement:
        """Return the measurement.

        Raises
        ------
        UsageError
            If names are still missing.
        """
        is_difference = self.kind is Kind.DIFFERENCE
        try:
            return Measurement(
                name=name.strip() or self.proposed_name,
                kind=self.kind,
                points=() if is_difference else self.names,
                of=self.names if is_difference else (),
                definition=definition.strip(),
            )
        except ValidationError as error:
            raise UsageError(first_problem(error)) from error
