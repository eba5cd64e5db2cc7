"""Spacing from lines of known length."""

import pytest

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.measure.ruler import RulerLine, spacing_from_lines


def test_one_line_gives_its_length_over_its_pixels():
    found = spacing_from_lines([RulerLine((10, 10), (40, 50), 5.0)])
    assert found.mm == pytest.approx(5 / 50)
    assert found.largest_deviation == 0


def test_longer_lines_count_more_and_disagreement_is_said():
    lines = [RulerLine((0, 0), (0, 100), 10.0), RulerLine((0, 0), (0, 22), 2.0)]
    found = spacing_from_lines(lines)
    assert found.mm == pytest.approx(12 / 122)
    assert found.largest_deviation == pytest.approx(1 - (2 / 22) / found.mm)


@pytest.mark.parametrize(
    "lines", [[], [RulerLine((3, 3), (3, 3), 10.0)], [RulerLine((0, 0), (0, 9), 0.0)]]
)
def test_a_line_without_length_is_refused(lines):
    with pytest.raises(GeometryError, match="no length"):
        spacing_from_lines(lines)
