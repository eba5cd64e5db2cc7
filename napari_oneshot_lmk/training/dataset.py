"""The unlabelled images of a training: inspected before it begins, known by their content."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.storage.atomic import atomic_write

OUTLIER_RATIO = 2.0
"""Ratio to the template's size, along rows or columns, above which a warning is due."""
MIXED_SPACING = 1.1
"""Largest over smallest pixel spacing that needs no warning."""
THUMBNAIL = 24
"""Network pixels averaged along a side, to recognise an image."""
SAME_IMAGE = 0.05
"""Fraction of the grey range: among 300 cephalograms two scans of one film differ by at most
0.04 in such a cell, with two exceptions; those of two patients by at least 0.24."""
NAMED_AT_MOST = 5
COLUMNS = ["image", "path", "sha256", "rows", "columns", "row_spacing_mm", "column_spacing_mm"]

Spacing = float | tuple[float, float]
Thumbnail = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingImage:
    """An unlabelled image that can be used."""

    name: str
    path: Path
    sha256: str
    """Hash of its pixels as they are read, not of the file."""
    shape_yx: tuple[int, int]
    """Rows and columns of its own grid."""
    spacing_mm_yx: tuple[float, float] | None = None
    """Given or stated in the file; None where unknown."""

    def same_as(self, other: TrainingImage | None) -> bool:
        """Whether both have the same content and spacing."""
        if other is None or self.sha256 != other.sha256:
            return False
        own, theirs = (image.spacing_mm_yx or (np.nan, np.nan) for image in (self, other))
        return bool(np.allclose(own, theirs, rtol=1e-6, atol=0, equal_nan=True))


@dataclass(frozen=True)
class TrainingSet:
    """The usable images among a user's files."""

    usable: tuple[TrainingImage, ...]
    """In the order of the files."""
    network_shape_yx: tuple[int, int]
    """The template's; all images are resampled to it."""
    failed: tuple[OneshotError, ...] = ()
    """One for each file that cannot be used."""
    warnings: tuple[str, ...] = ()
    """For the user to read before training."""

    def __len__(self) -> int:
        return len(self.usable)

    def read(self, image: TrainingImage) -> GrayImage:
        """Read an image again, with the geometry that it was inspected with.

        Raises `UsageError` if its pixels have changed, `ImageError` if it cannot be read.
        """
        found = read_image(image.path, spacing_mm_yx=image.spacing_mm_yx)
        if _pixels_sha256(found) != image.sha256:
            raise UsageError(
                "the image has changed since the training began",
                file=image.path,
                remedy="put the earlier file back, or train anew",
            )
        network = found.geometry.with_network_shape(self.network_shape_yx)
        return GrayImage(found.pixels, network, image.name, image.path)

    def changed_since(self, recorded: Iterable[TrainingImage]) -> list[str]:
        """Return the names of recorded images that are missing or have changed."""
        now = {image.name: image for image in self.usable}
        return [old.name for old in recorded if not old.same_as(now.get(old.name))]

    def only(self, names: Iterable[str]) -> TrainingSet:
        """Return the set with these images alone, in the order of the names."""
        by_name = {image.name: image for image in self.usable}
        return replace(self, usable=tuple(by_name[name] for name in names))


def _pixels_sha256(image: GrayImage) -> str:
    """Hash of an image's size and grey values, the same on all machines."""
    digest = hashlib.sha256(repr(image.pixels.shape).encode("ascii"))
    digest.update(np.ascontiguousarray(image.pixels, dtype="<f4").tobytes())
    return digest.hexdigest()


def list_names(names: Sequence[str], between: str = ", ") -> str:
    """Name the first few, and how many more there are."""
    first = between.join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{first} and {more} more" if more > 0 else first


def write_images(path: Path, images: Iterable[TrainingImage]) -> None:
    """Write ``images.csv``; raise `OutputError` if it exists or cannot be written."""
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(COLUMNS)
        for image in images:
            # In full precision: an image is to be found again to the last digit.
            spacing = [repr(mm) for mm in image.spacing_mm_yx or ()] or ["", ""]
            table.writerow([image.name, image.path, image.sha256, *image.shape_yx, *spacing])


def read_images(path: Path) -> tuple[TrainingImage, ...]:
    """Read what `write_images` wrote; raise `UsageError` if it is damaged."""

    def from_row(row: dict[str, str]) -> TrainingImage:
        mm = row["row_spacing_mm"], row["column_spacing_mm"]
        spacing = (float(mm[0]), float(mm[1])) if mm[0] else None
        shape = int(row["rows"]), int(row["columns"])
        return TrainingImage(row["image"], Path(row["path"]), row["sha256"], shape, spacing)

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(map(from_row, csv.DictReader(file)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the list of the run's images is damaged ({error})",
            file=path,
            remedy="begin anew with --overwrite",
        ) from error


class Inspection:
    """Reads one image after the other and keeps what is needed of each.

    So a broken file or a wrong folder is reported at once and not after hours.

    Parameters
    ----------
    template : Template
        What the images are compared with; those that show it are left out.
    spacing_mm_yx : float or pair of float, optional
        Overrides what the files say.
    spacings_mm_yx : mapping, optional
        The same for single images by name, where ``spacing_mm_yx`` is not given.
    """

    def __init__(
        self,
        template: Template,
        spacing_mm_yx: Spacing | None = None,
        spacings_mm_yx: Mapping[str, Spacing] = MappingProxyType({}),
    ) -> None:
        self._template, self._spacing_mm_yx = template, spacing_mm_yx
        self._spacings_mm_yx = spacings_mm_yx
        self._template_thumbnail = _thumbnail(template.image)
        self._usable: list[TrainingImage] = []
        self._thumbnails: list[Thumbnail] = []
        self._failed: list[OneshotError] = []
        self._templates: list[str] = []
        self._twins: list[str] = []
        self._notes: dict[str, list[str]] = {}

    def inspect(self, file: ImageFile) -> None:
        """Read an image; errors and warnings are part of the result."""
        try:
            spacing = self._spacing_mm_yx or self._spacings_mm_yx.get(file.name)
            image = read_image(file.path, spacing_mm_yx=spacing)
            thumbnail = _thumbnail(image)
        except OneshotError as error:
            self._failed.append(error.about(file.path))
            return
        if _alike(thumbnail, self._template_thumbnail):
            self._templates.append(file.name)
            return
        for other, seen in zip(self._usable, self._thumbnails, strict=True):
            if _alike(thumbnail, seen):
                self._twins.append(f"{other.name} and {file.name}")
                break
        for note in image.notes:
            self._notes.setdefault(note, []).append(file.name)
        self._thumbnails.append(thumbnail)
        size, mm = image.geometry.image_shape_yx, image.geometry.spacing_mm_yx
        self._usable.append(TrainingImage(file.name, file.path, _pixels_sha256(image), size, mm))

    def result(self) -> TrainingSet:
        """Return what was found; raise `UsageError` if no image can be used."""
        if not self._usable:
            reasons = [str(error) for error in self._failed[:1]]
            reasons += [f"{name} is the template itself" for name in self._templates[:1]]
            raise UsageError(
                "there is no image to train on" + (f" ({'; '.join(reasons)})" if reasons else ""),
                remedy="name images of other patients, without landmarks",
            )
        return TrainingSet(
            tuple(self._usable),
            self._template.image.geometry.network_shape_yx,
            tuple(self._failed),
            tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        if self._templates:
            shows = "shows" if len(self._templates) == 1 else "show"
            yield (
                f"{list_names(self._templates)} {shows} the template and "
                f"{_is(self._templates)} left out of the training"
            )
        if self._twins:
            yield f"The same image is there more than once: {list_names(self._twins, '; ')}"
        for note, names in self._notes.items():
            yield f"{list_names(names)}: {note}"
        yield from self._spacing_warnings()
        outliers = [image.name for image in self._usable if self._is_outlier(image)]
        if outliers:
            yield (
                f"{list_names(outliers)} {_is(outliers)} more than {OUTLIER_RATIO:g} times as "
                "large as the template or as small: do they show the same part of the body?"
            )

    def _spacing_warnings(self) -> Iterator[str]:
        unknown = [i.name for i in self._usable if i.spacing_mm_yx is None]
        known = [mm for i in self._usable for mm in i.spacing_mm_yx or ()]
        stated = self._template.image.geometry.spacing_mm_yx
        if unknown and (known or stated):
            of_template = "" if stated is None else ", that of the template is known"
            yield (
                f"The pixel spacing of {list_names(unknown)} is unknown{of_template}; if "
                "all images have one, give it (--spacing, or the spacing field of the dock), else "
                "nothing is to be done: these images are compared with the template in pixels"
            )
        if known and stated is None:
            yield "The template's pixel spacing is unknown, that of images is known"
        if known and max(known) > MIXED_SPACING * min(known):
            yield (
                "The images have different pixel spacings, from "
                f"{min(known):.3g} to {max(known):.3g} mm"
            )

    def _is_outlier(self, image: TrainingImage) -> bool:
        """Compare sizes in millimetres where both are known, or else in pixels."""
        geometry = self._template.image.geometry
        own, template = np.array(image.shape_yx), np.array(geometry.image_shape_yx)
        if image.spacing_mm_yx and geometry.spacing_mm_yx:
            own, template = own * image.spacing_mm_yx, template * geometry.spacing_mm_yx
        return bool(np.abs(np.log(own / template)).max() > np.log(OUTLIER_RATIO))


def _thumbnail(image: GrayImage) -> Thumbnail:
    """Return the mean grey values of square cells; fails where training would."""
    from napari_oneshot_lmk.imaging.transforms import prepare_image

    geometry = image.geometry.with_network_shape(NETWORK_SHAPE_YX)
    grey = prepare_image(replace(image, geometry=geometry)).numpy()[0, 0]
    rows, columns = (n // THUMBNAIL for n in NETWORK_SHAPE_YX)
    cells = grey.reshape(rows, THUMBNAIL, columns, THUMBNAIL)
    return np.asarray(cells.mean((1, 3)), dtype=np.float32)


def _alike(one: Thumbnail, other: Thumbnail) -> bool:
    return bool(np.abs(one - other).max() < SAME_IMAGE)


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
