"""Options that several commands share."""

from __future__ import annotations

import pytest

from napari_oneshot_lmk.cli.options import spacing_from
from napari_oneshot_lmk.errors import GeometryError


@pytest.mark.parametrize(
    ("text", "spacing_mm_yx"),
    [
        ("0.3", (0.3, 0.3)),
        ("0,3", (0.3, 0.3)),
        ("1,5", (1.5, 1.5)),
        ("0.3x0.25", (0.3, 0.25)),
        ("0,3x0,25", (0.3, 0.25)),
        (" 0,3 × 0.25 mm", (0.3, 0.25)),
    ],
)
def test_a_comma_is_a_decimal_comma_and_an_x_parts_rows_from_columns(text, spacing_mm_yx):
    assert spacing_from(text) == spacing_mm_yx


@pytest.mark.parametrize(
    "text", ["", "x", "0.3x", "1,5.2", "0,3,0,25", "0.3,0.25", "1_5", "nan", "1x2x3"]
)
def test_what_is_no_spacing_is_refused_with_what_to_write(text):
    with pytest.raises(GeometryError, match="nor two with an x between; write"):
        spacing_from(text)
