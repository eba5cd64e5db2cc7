"""Identity of images: removed ones that are opened again, the one a template is made from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.landmarks.image_names import stem
from napari_oneshot_lmk.review.annotation import Annotation, History

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView


@dataclass
class AnnotatedImage:
    """An open image that has, or has had, landmarks."""

    target: ImageView
    history: History[Annotation] = field(default_factory=lambda: History(Annotation()))
    in_file: Landmarks | None = None
    """What a file holds."""
    came_back: bool = False
    """Whether the image was removed and opened again."""
    before_clearing: History[Annotation] | None = None
    """The history before the points layer was removed in this turn of the event loop."""

    @property
    def annotation(self) -> Annotation:
        """The landmarks as they stand."""
        return self.history.value

    @property
    def is_saved(self) -> bool:
        """Whether a file holds them as they stand."""
        points = self.annotation.landmarks.points
        return self.in_file is not None and self.in_file.points == points


@dataclass(frozen=True)
class RemovedImage:
    """What is kept of a removed image."""

    history: History[Annotation]
    """Its landmarks, with all that can be undone."""
    landmarks: Landmarks
    """The same as they would be saved."""
    found: Landmarks | None
    """Result of the last detection."""
    in_file: Landmarks | None
    """Landmarks of it that a file holds."""
    path: Path | None = None
    """Its file, if it has one."""

    @property
    def is_result(self) -> bool:
        """Whether a detection contributed to its landmarks."""
        return self.found is not None or self.history.value.is_result

    @property
    def is_saved(self) -> bool:
        """Whether a file holds the landmarks as they are."""
        return self.in_file is not None and self.in_file.points == self.landmarks.points


class RemovedImages:
    """What is kept of removed images, by `identity_of` and not by name."""

    def __init__(self) -> None:
        self._images: list[tuple[str, RemovedImage]] = []

    def __len__(self) -> int:
        return len(self._images)

    def put(
        self,
        target: ImageView,
        history: History[Annotation],
        landmarks: Landmarks,
        found: Landmarks | None,
        in_file: Landmarks | None,
    ) -> None:
        """Keep what belongs to an image that is removed."""
        removed = RemovedImage(history, landmarks, found, in_file, target.path)
        self._images.append((identity_of(target), removed))

    def take(self, target: ImageView) -> RemovedImage | None:
        """Give out what is kept of an image, and forget it; None if there is nothing.

        The name may have changed; it decides only between images with identical pixels.
        """
        what = identity_of(target)
        alike = [n for n, (identity, _) in enumerate(self._images) if identity == what]
        named = [n for n in alike if self._images[n][1].landmarks.image == target.image_name]
        return self._images.pop((named or alike)[-1])[1] if alike else None

    def results(self) -> list[RemovedImage]:
        """Return removed images to whose landmarks a detection contributed."""
        return [kept for _, kept in self._images if kept.is_result]

    def unsaved(self) -> list[RemovedImage]:
        """Return removed images whose landmarks no file holds."""
        return [kept for _, kept in self._images if not kept.is_saved]

    def note_saved(self) -> None:
        """Remember that a file holds the results."""
        for row, (what, kept) in enumerate(self._images):
            if kept.is_result:
                self._images[row] = what, replace(kept, in_file=kept.landmarks)

    def drop(self) -> None:
        """Forget all of them."""
        self._images.clear()


def identity_of(target: ImageView) -> str:
    """Return what distinguishes an image from all others, also after it is opened again.

    That is its file and slice, or its pixels where it has no file: two patients'
    "img.png" must not share landmarks.
    """
    if target.path is not None:
        return f"{target.path.absolute()} {target.slice_index} {target.shape_yx}"
    return f"{pixel_hash(target)} {target.slice_index}"


def pixel_hash(target: ImageView) -> str:
    """Return the SHA-256 of an image's pixels."""
    pixels = np.ascontiguousarray(target.read_pixels(None).pixels)
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def is_made_from(template: Template, target: ImageView) -> bool:
    """Say whether a template was made from an image: by name, size and pixels."""
    image = template.image
    same_shape = image.geometry.image_shape_yx == target.shape_yx and not target.layer.rgb
    if not same_shape or stem(image.name) != stem(target.image_name):
        return False
    # A few rows are enough to distinguish two images of the same name and size.
    rows = slice(None, None, max(1, target.shape_yx[0] // 16))
    shown = np.asarray(target.read_pixels(None).pixels[rows], dtype=np.float32)
    return bool(np.allclose(shown, image.pixels[rows]))
