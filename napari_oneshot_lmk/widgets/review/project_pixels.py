"""What another thread needs to read an image of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.review.project import Project


@dataclass(frozen=True)
class ProjectPixels:
    """An image of a project that another thread reads when its turn comes."""

    project: Project
    image: str
    name: str

    def gray_image(self) -> GrayImage:
        """Read it; an `OneshotError` says why it cannot be read."""
        return self.project.read(self.image)
