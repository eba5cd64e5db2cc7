"""Sizes of a `CropNetwork`; imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, Field

WIDTHS = (1, 2, 4, 6, 8)
"""Channels of the levels, fine to coarse, in multiples of the finest level's."""
STRIDE = 2 ** (len(WIDTHS) - 1)
"""Cells of the finest level along a side of the coarsest: crops are whole cells of it."""
NORM_GROUPS = 4
"""Of the group normalisation: channels of the finest level are a multiple of it."""


class CropNetworkConfig(BaseModel, frozen=True):
    """What is needed to build a `CropNetwork` again."""

    landmarks: int = Field(ge=1, le=10_000)
    scales: int = Field(default=2, ge=1, le=8)
    """Channels of a crop: the same place at so many magnifications."""
    width: int = Field(default=16, ge=NORM_GROUPS, le=512, multiple_of=NORM_GROUPS)
    """Channels of the finest level."""
    cell: int = Field(default=1, ge=1, le=8)
    """Side of the finest level's cells in pixels of a crop."""
