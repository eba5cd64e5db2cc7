"""A measurement that is defined name by name, and the set that a project keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.measure.draft import Draft
from napari_oneshot_lmk.measure.measurement import POINTS, Kind, Measurement
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_complete_with_its_names_and_not_before(kind: Kind) -> None:
    draft, wanted = Draft(kind), POINTS[kind] or 2
    for number in range(wanted):
        assert not draft.complete
        with pytest.raises(UsageError):
            draft.measurement()
        draft = draft.with_name(f"p{number}")
    made = draft.measurement(" m ", " what it is ")
    assert (made.name, made.definition) == ("m", "what it is")
    assert len(made.of if kind is Kind.DIFFERENCE else made.points) == wanted
    more = draft.with_name("more")
    assert (more == draft) is (kind is not Kind.PATH)
    assert draft.without_last().names == draft.names[:-1]
    assert draft.measurement().name == draft.proposed_name


def test_another_kind_keeps_the_points_that_it_takes() -> None:
    draft = Draft(Kind.LINES, ("a", "b", "c", "d"))
    assert draft.with_kind(Kind.DISTANCE).names == ("a", "b")
    assert draft.with_kind(Kind.PATH).names == draft.names
    assert draft.with_kind(Kind.DIFFERENCE).names == ()
    assert draft.as_line()[0].points == draft.names
    assert Draft(Kind.LINES, ("a",)).as_line() == Draft(Kind.DIFFERENCE, ("x", "y")).as_line() == ()
    assert Draft(Kind.DIFFERENCE, ("x",)).with_kind(Kind.ANGLE).names == ()


def test_a_set_is_added_to_and_taken_from(tmp_path: Path) -> None:
    one = Measurement(name="one", kind=Kind.DISTANCE, points=("a", "b"))
    two = Measurement(name="two", kind=Kind.DISTANCE, points=("a", "c"))
    less = Measurement(name="less", kind=Kind.DIFFERENCE, of=("one", "two"))
    chosen = MeasurementSet(measurement=(one,)).with_measurement(two).with_measurement(less)
    assert [each.name for each in chosen.measurement] == ["one", "two", "less"]
    with pytest.raises(UsageError, match="one stands twice"):
        chosen.with_measurement(one)
    with pytest.raises(UsageError, match="less is of two"):
        chosen.without("two")
    assert chosen.without("less").measurement == (one, two)
