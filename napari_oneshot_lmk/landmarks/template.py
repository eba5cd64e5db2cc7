"""A template: one annotated image, all that instant detection needs."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, TemplateError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.image_names import stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, geometry_from_json, geometry_to_json
from napari_oneshot_lmk.storage.atomic import atomic_write

SCHEMA_VERSION = 1
DESCRIPTION_FILE = "template.json"
PIXELS_FILE = "image.npz"
LARGEST_HEADER = 4096
"""Bytes before the numbers of an array in its file."""

_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # the archive asks for a password
    zipfile.BadZipFile,
    zlib.error,
)


def is_template(path: str | Path) -> bool:
    """Say whether ``path`` is a template's folder, or the description in it."""
    return (_folder(path) / DESCRIPTION_FILE).is_file()


@dataclass(frozen=True, eq=False)
class Template:
    """An image with its landmarks; on disk a folder that can be moved.

    Made by `create`, which checks what a user gives, or by `load`. The name stands in the
    provenance of what is detected with it.
    """

    image: GrayImage
    landmarks: Landmarks
    name: str

    @classmethod
    def create(cls, image: GrayImage, landmarks: Landmarks, name: str = "") -> Template:
        """Make a template from an image and the landmarks on it, in the image's own pixels.

        The name is by default the image's file name without its suffix.

        Raises
        ------
        TemplateError
            If no landmark is placed, or they belong to an image of another size.
        LandmarkError
            If a landmark lies outside the image.
        """
        placed, file, size = landmarks.placed, image.name or None, _size(image.geometry)
        if not placed:
            raise TemplateError(
                "a template needs at least one placed landmark", file=file, remedy="place one"
            )
        geometry = landmarks.geometry
        if geometry and geometry.image_shape_yx != image.geometry.image_shape_yx:
            raise TemplateError(
                f"the landmarks were placed on an image of {_size(geometry)} pixels, "
                f"this one has {size}",
                file=file,
                remedy="use the image that they belong to",
            )
        positions_yx = landmarks.with_points(placed).positions_yx
        outside = [
            f"{point.name} (x {x:g}, y {y:g})"
            for point, (y, x), inside in zip(
                placed, positions_yx, image.geometry.contains(positions_yx), strict=True
            )
            if not inside
        ]
        if outside:
            raise LandmarkError(
                f"outside the image of {size} pixels (width x height): {', '.join(outside)}",
                file=file,
                remedy="correct the positions, or use the image that they belong to",
            )
        landmarks = replace(landmarks, geometry=image.geometry, image=image.name or landmarks.image)
        return cls(image, landmarks, name or stem(image.name) or "template")

    @cached_property
    def content_sha256(self) -> str:
        """Hash of pixels, geometry, landmarks and name; the same everywhere."""
        text = json.dumps(self._description(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode("ascii"))
        digest.update(np.ascontiguousarray(self.image.pixels, dtype="<f4").tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the template as a folder; an OutputError says why it cannot be."""
        description = {**self._description(), "content_sha256": self.content_sha256}
        with atomic_write(Path(folder), overwrite=overwrite, folder=True) as partial:
            text = json.dumps(description, indent=1, ensure_ascii=False)
            (partial / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")
            pixels = _without_loss(self.image.pixels)
            np.savez_compressed(partial / PIXELS_FILE, pixels=pixels)

    @classmethod
    def load(cls, path: str | Path) -> Template:
        """Read a template's folder, or the description in it.

        A TemplateError says if it is none, is damaged or was changed, or comes from a newer
        version of this program.
        """
        folder = _folder(path)
        description = _read_description(folder)
        with _sense_checked(folder):
            geometry = geometry_from_json(description["geometry"])
        pixels = _read_pixels(folder, geometry.image_shape_yx)
        with _sense_checked(folder):
            image = GrayImage(pixels, geometry, description["landmarks"]["image"])
            landmarks = Landmarks.from_json(description["landmarks"], geometry)
            template = cls.create(image, landmarks, str(description["name"]))
        if description.get("content_sha256") != template.content_sha256:
            raise TemplateError(
                "the template was changed or damaged since it was saved",
                file=folder,
                remedy="copy it again, or save it again from its image",
            )
        return template

    def _description(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "geometry": geometry_to_json(self.image.geometry),
            "landmarks": self.landmarks.to_json(),
        }


def _folder(path: str | Path) -> Path:
    path = Path(path)
    return path.parent if path.name == DESCRIPTION_FILE else path


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / DESCRIPTION_FILE).read_text(encoding="utf-8")
        description = json.loads(text)
    except OSError as error:
        what = f"is not a template, there is no readable {DESCRIPTION_FILE} in it"
        remedy = "make one with oneshot-lmk template, or in the dock"
        raise TemplateError(what, file=folder, remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        what = f"{DESCRIPTION_FILE} is damaged"
        raise TemplateError(what, file=folder, remedy="copy it again") from error
    version = description.get("schema_version") if isinstance(description, dict) else 0
    if version != SCHEMA_VERSION:
        what = f"the template has the version {version}, this program reads {SCHEMA_VERSION}"
        raise TemplateError(what, file=folder, remedy="update napari-oneshot-lmk")
    return dict(description)


@contextmanager
def _sense_checked(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OneshotError, KeyError, TypeError, ValueError) as error:
        what = f"the template makes no sense ({error})"
        raise TemplateError(what, file=folder, remedy="save it again from its image") from error


def _read_pixels(folder: Path, shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    try:
        # numpy leaves a file open that it cannot read, unless it is ours.
        with (folder / PIXELS_FILE).open("rb") as file:
            # A small file may claim, and unpack to, more than fits into memory.
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > shape_yx[0] * shape_yx[1] * 8 + LARGEST_HEADER:
                raise ValueError("larger than the image")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return np.asarray(arrays["pixels"], dtype=np.float32)
    except _UNREADABLE as error:
        raise TemplateError(
            f"{PIXELS_FILE} is missing or damaged", file=folder, remedy="copy it again"
        ) from error


def _without_loss(pixels: NDArray[np.float32]) -> NDArray[Any]:
    """Return whole grey values as small integers: a quarter of the file size."""
    for dtype in (np.uint8, np.uint16, np.int16):
        limits = np.iinfo(dtype)
        if limits.min <= pixels.min() and pixels.max() <= limits.max:
            small = pixels.astype(dtype)
            if np.array_equal(small, pixels):
                return small
    return pixels


def _size(geometry: Geometry) -> str:
    rows, columns = geometry.image_shape_yx
    return f"{columns} x {rows}"
