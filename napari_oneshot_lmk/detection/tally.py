"""How many points were found, and how many of them to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Noted:
    """The images of which the same is to be known."""

    first: str
    images: int = 0


@dataclass
class Tally:
    """What a summary says of the images that are done."""

    images: int = 0
    points: int = 0
    unsure: int = 0
    without_spacing: int = 0
    first_without_spacing: str = ""
    notes: dict[str, Noted] = field(default_factory=dict)
    """Sentences on how images were read, and of which."""

    def add(self, image: str, found: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        """Count the record of an image's landmarks."""
        for note in notes:
            self.notes.setdefault(note, Noted(image)).images += 1
        self.images += 1
        self.points += len(found["points"])
        self.unsure += sum(point.get("unsure", False) for point in found["points"])
        geometry = found["geometry"]
        if geometry is None or geometry["spacing_mm_yx"] is None:
            self.without_spacing += 1
            self.first_without_spacing = self.first_without_spacing or image
