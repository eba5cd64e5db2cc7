"""An open curve on an image, as it was digitised point by point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from napari_oneshot_lmk.errors import LandmarkError

FARTHEST_PX = 1e9
"""From the first pixel: what lies beyond is a mistake, and squares of it overflow."""


@dataclass(frozen=True)
class Curve:
    """One curve of an image, from its beginning to its end.

    A LandmarkError says if it has no name or no point, or a position is that of no image.
    """

    name: str
    """Unique within an image."""
    points_yx: tuple[tuple[float, float], ...]
    """Sub-pixel (row, column) on the image's own grid, pixel centres at integers."""

    def __post_init__(self) -> None:
        """Check the name and the positions."""
        if not self.name or self.name != self.name.strip():
            raise LandmarkError(f"{self.name!r} is not the name of a curve")
        points = tuple(tuple(float(v) for v in point) for point in self.points_yx)
        if not points:
            raise LandmarkError(f"curve {self.name!r} has no points")
        for point in points:
            if len(point) != 2 or not all(
                math.isfinite(v) and abs(v) <= FARTHEST_PX for v in point
            ):
                raise LandmarkError(f"curve {self.name!r} has a point at {point}, on no image")
        object.__setattr__(self, "points_yx", points)

    def __len__(self) -> int:
        return len(self.points_yx)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"name": self.name, "points_yx": [list(point) for point in self.points_yx]}
