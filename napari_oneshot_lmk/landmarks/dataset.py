"""A folder of images with known landmarks.

It holds ``images/``, ``landmarks.csv`` (``image,landmark,x_px,y_px``) and
``dataset.json`` with the keys of `Description`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_oneshot_lmk.errors import LandmarkError, SourceError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template

Spacing = float | tuple[float, float]
_PARTS = "a data folder holds images/, landmarks.csv, dataset.json"


class Description(BaseModel):
    """The content of ``dataset.json``; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = ""
    landmarks: tuple[str, ...] = ()
    """Names, in the order of the tables; otherwise the order of ``landmarks.csv``."""
    spacing_mm: Spacing | dict[str, Spacing] | None = None
    """Millimetres per pixel (row, column): a number or a pair for all images, or a
    mapping from image to number or pair. Otherwise the images state it."""
    template: str
    """The image whose landmarks may be used."""
    splits: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """``train`` and ``test``, each a list of images. A list of two is the first and the last
    of a range. Without ``test`` every image but the template is a test image."""
    same_radiograph: tuple[tuple[str, str], ...] = ()
    """Pairs of images that show the same radiograph."""


@dataclass(frozen=True)
class Dataset:
    """Images in natural order, their true landmarks by image name, and `Description`."""

    folder: Path
    description: Description
    images: tuple[ImageFile, ...]
    truth: dict[str, Landmarks]

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read a folder; the images themselves are not opened.

        A SourceError says if it is not such a folder or contradicts itself, a LandmarkError
        if ``landmarks.csv`` cannot be read.
        """
        description = _described(folder)
        for part in ("images", "landmarks.csv"):
            if not (folder / part).exists():
                raise SourceError(f"there is no {part} in it", file=folder, remedy=_PARTS)
        truth = {
            landmarks.image: _ordered(landmarks, description.landmarks)
            for landmarks in read_landmarks(folder / "landmarks.csv")
        }
        dataset = cls(folder, description, find_images([folder / "images"]), truth)
        name = dataset.file_of(description.template).name
        if name not in truth:
            raise SourceError(f"landmarks.csv lacks the template {name}", file=folder)
        if not dataset.test:
            raise SourceError("no test image has landmarks", file=folder)
        return dataset

    @property
    def name(self) -> str:
        """The data's own name, else the folder's."""
        return self.description.name or self.folder.resolve().name

    @property
    def template_image(self) -> str:
        """Name of the template's image."""
        return self.description.template

    @cached_property
    def train(self) -> tuple[str, ...]:
        """Images that training may see, without landmarks but the template's."""
        return self._split("train") or (self.template_image,)

    @cached_property
    def test(self) -> tuple[str, ...]:
        """Images with true landmarks that are scored; never the template."""
        return self._with_truth(self._split("test") or [image.name for image in self.images])

    @cached_property
    def duplicates(self) -> tuple[str, ...]:
        """Test images that show the same radiograph as a training image."""
        seen = {*self.train, self.template_image}
        pairs = self.description.same_radiograph
        twins = {b for a, b in pairs if a in seen} | {a for a, b in pairs if b in seen}
        return tuple(name for name in self.test if name in twins)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """All images with true landmarks but the template, whatever the splits."""
        return self._with_truth(image.name for image in self.images)

    @property
    def test_truth(self) -> tuple[Landmarks, ...]:
        """True landmarks of the test images."""
        return tuple(self.truth[name] for name in self.test)

    @cached_property
    def _file_by_name(self) -> dict[str, ImageFile]:
        return {image.name: image for image in self.images}

    def file_of(self, name: str) -> ImageFile:
        """Return the file of an image; raise a SourceError if ``images/`` does not hold it."""
        if name not in self._file_by_name:
            raise SourceError(f"images/ does not hold {name}", file=self.folder)
        return self._file_by_name[name]

    def spacing_mm_yx(self, name: str) -> tuple[float, float] | None:
        """Millimetres per pixel (row, column); None where the image says it."""
        spacing = self.description.spacing_mm
        if isinstance(spacing, dict):
            spacing = spacing.get(name)
        return checked_spacing(spacing)

    def spacings_mm_yx(self, names: Iterable[str]) -> dict[str, tuple[float, float]]:
        """Return those of images that do not say it themselves."""
        each = {name: self.spacing_mm_yx(name) for name in names}
        return {name: spacing for name, spacing in each.items() if spacing is not None}

    def template(self) -> Template:
        """Read the template image and join it with its landmarks."""
        from napari_oneshot_lmk.imaging.reader import read_image
        from napari_oneshot_lmk.landmarks.template import Template

        name = self.template_image
        image = read_image(self.file_of(name).path, spacing_mm_yx=self.spacing_mm_yx(name))
        return Template.create(image, self.truth[name], name=Path(name).stem)

    def _with_truth(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(n for n in names if n in self.truth and n != self.template_image)

    def _split(self, name: str) -> tuple[str, ...]:
        files = tuple(self.file_of(i).name for i in self.description.splits.get(name, ()))
        if len(files) != 2:
            return files
        order = list(self._file_by_name)
        first, last = map(order.index, files)
        return tuple(order[first : last + 1]) if first <= last else files


def _described(folder: Path) -> Description:
    path = folder / "dataset.json"
    try:
        return Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror})", file=path, remedy=_PARTS) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SourceError(f"{place} is wrong ({first['msg'].lower()})", file=path) from error


def _ordered(landmarks: Landmarks, names: Sequence[str]) -> Landmarks:
    """Keep only the landmarks that the data set lists, in its order."""
    if not names:
        return landmarks
    known = {point.name: point for point in landmarks}
    if not any(name in known for name in names):
        raise LandmarkError(f"image {landmarks.image!r} has none of the landmarks of dataset.json")
    return landmarks.with_points(known[name] for name in names if name in known)
