"""The files of a project folder; each is written whole or not at all.

``project.json`` says which images belong to it, ``images/<id>.json`` holds the landmarks of
one image, as they are now and as they were detected, and who has edited them when.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_oneshot_lmk.encoders.encoder import WeightsOrigin
from napari_oneshot_lmk.errors import LandmarkError, OutputError, ProjectError
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write

FORMAT = 1
PROJECT_FILE = "project.json"
TEMPLATE_FOLDER = "template"
IMAGES_FOLDER = "images"
REMOVED_FOLDER = "removed"
Spacing = tuple[float, float]


class ImageEntry(BaseModel):
    """One image of a project."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Name of its file in ``images/``."""
    name: str
    """In tables; no other image of the project has it."""
    relative: str | None
    """Path from the project's folder, with ``/``, where the file lies near it."""
    absolute: str
    """Path when it was added or found, with ``/``."""
    sha256: str
    """Of the file's content."""
    size: int
    """Of the file, in bytes."""
    mtime_ns: int
    """When the file was changed; where this and the size are the same, so is the content."""
    spacing_mm_yx: Spacing | None = None
    """Instead of what the file states."""
    slice_index: int | None = None
    """Of a volume."""


class RemovedImage(ImageEntry):
    """One image that was removed, and where its landmarks are."""

    file: str
    """In ``removed/``."""


class DetectedWith(BaseModel):
    """The encoder of a detection without a trained model, to be found again."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    identity: str
    title: str = ""
    """For people."""
    origin: WeightsOrigin | None = None
    """Where its weights were; None for one that is shipped."""


class Description(BaseModel):
    """All of a project but what was done on its images."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int = FORMAT
    created: str = ""
    """ISO 8601 time."""
    reader: str = ""
    """Who works on it, where nobody else is named."""
    model: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    """The trained model's folder; empty where there is none."""
    spacing_mm_yx: Spacing | None = None
    """Of the images whose files state none."""
    encoder: DetectedWith | None = None
    """Of the last detection without a trained model."""
    images: tuple[ImageEntry, ...] = ()
    removed: tuple[RemovedImage, ...] = ()
    """From the first to the last; the file of one may have come back, or have been deleted."""
    last: int = 0
    """Highest number that was the id of an image that is gone: no other image gets it."""


@dataclass(frozen=True)
class Edit:
    """What somebody, or a detection, has done on an image."""

    time: str
    """ISO 8601, with the time zone."""
    reader: str
    """Who did it; may be empty."""
    action: str
    """In a word: "detect", "place", "accept"."""
    names: tuple[str, ...]
    """The landmarks that it has changed."""


@dataclass(frozen=True)
class ImageWork:
    """What was done on an image."""

    landmarks: Landmarks | None = None
    """As they are now."""
    detected: Landmarks | None = None
    """As the last detection found them, before any correction."""
    edits: tuple[Edit, ...] = ()
    """From the first to the last."""
    detected_by: str = ""
    """Hash of the detector of the last detection; see `review.detect.detector_sha256`."""
    stated_spacing_mm_yx: Spacing | None = None
    """Of the image's file, whatever the project says."""

    def with_spacing(self, spacing_mm_yx: Spacing | None) -> ImageWork:
        """Return the same landmarks on an image of another spacing."""
        landmarks, detected = (_respaced(x, spacing_mm_yx) for x in (self.landmarks, self.detected))
        return replace(self, landmarks=landmarks, detected=detected)


class _WorkFile(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int = FORMAT
    landmarks: dict[str, Any] | None = None
    detected: dict[str, Any] | None = None
    detected_by: str = ""
    stated_spacing_mm_yx: Spacing | None = None
    edits: tuple[Edit, ...] = ()


def load_description(folder: Path) -> Description:
    """Read ``project.json``.

    A `ProjectError` says if the folder holds no project, or it is damaged or of a newer version.
    """
    path = folder / PROJECT_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProjectError(
            f"is not a project, there is no readable {PROJECT_FILE} in it",
            file=folder,
            remedy="name a project's folder, or make one with oneshot-lmk project create",
        ) from error
    remedy = "bring it back from a copy of the project"
    return _parsed(Description, content, path, remedy)


def save_description(folder: Path, description: Description) -> None:
    """Write ``project.json``; an `OutputError` says why it cannot be."""
    _write(folder / PROJECT_FILE, description.model_dump())


def work_file(folder: Path, image_id: str) -> Path:
    """Return the file of what was done on an image."""
    return folder / IMAGES_FOLDER / f"{image_id}.json"


def is_project(folder: Path) -> bool:
    """Say whether a folder holds a project, damaged or not."""
    return (folder / PROJECT_FILE).is_file()


def keep_removed(folder: Path, image_id: str, name: str) -> Path | None:
    """Move what was done on an image to the images that were removed, named like the image.

    Returns where it is now, None where there is nothing. An `OutputError` says if it cannot be
    moved.
    """
    path = work_file(folder, image_id)
    if not path.is_file():
        return None
    stem = re.sub(r"[^\w.\-]+", "_", name).strip("_") or image_id
    places = (folder / REMOVED_FOLDER / f"{stem}{'' if n == 1 else f'-{n}'}.json" for n in count(1))
    try:
        (folder / REMOVED_FOLDER).mkdir(exist_ok=True)
        place = next(place for place in places if not place.exists())
        path.replace(place)
    except OSError as error:
        raise OutputError(
            f"cannot be moved to {REMOVED_FOLDER} ({error.strerror or error})", file=path
        ) from error
    return place


def put_back_work(folder: Path, file: str, image_id: str) -> None:
    """Undo `keep_removed` for an image that is in the project again, under a new id.

    An `OutputError` says if the file cannot be moved.
    """
    path = folder / REMOVED_FOLDER / file
    try:
        path.replace(work_file(folder, image_id))
    except OSError as error:
        raise OutputError(
            f"cannot be moved to {IMAGES_FOLDER} ({error.strerror or error})", file=path
        ) from error


def load_work(path: Path) -> ImageWork:
    """Read what was done on an image: nothing, where there is no file.

    A `ProjectError` says if the file is damaged or of a newer version.
    """
    remedy = "bring it back from a copy, or delete it to begin this image anew"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ImageWork()
    except OSError as error:
        raise ProjectError(
            f"cannot be read ({error.strerror or error})", file=path, remedy=remedy
        ) from error
    return _work(_parsed(_WorkFile, content, path, remedy), path, remedy)


def save_work(path: Path, work: ImageWork) -> None:
    """Write what was done on an image; an `OutputError` says why it cannot be."""
    _write(path, work_content(work))


def work_content(work: ImageWork) -> dict[str, Any]:
    """Return the work on an image as JSON values; `work_from_content` is the inverse."""
    content = _WorkFile(
        landmarks=_values(work.landmarks),
        detected=_values(work.detected),
        detected_by=work.detected_by,
        stated_spacing_mm_yx=work.stated_spacing_mm_yx,
        edits=work.edits,
    )
    return content.model_dump(mode="json")


def work_from_content(content: Mapping[str, Any], path: Path) -> ImageWork:
    """Return what `work_content` was made from.

    A `ProjectError` names the file if that is damaged.
    """
    remedy = "delete it"
    try:
        return _work(_WorkFile.model_validate(content), path, remedy)
    except ValidationError as error:
        raise ProjectError("is damaged", file=path, remedy=remedy) from error


def _work(file: _WorkFile, path: Path, remedy: str) -> ImageWork:
    try:
        landmarks, detected = (
            None if values is None else Landmarks.from_json(values)
            for values in (file.landmarks, file.detected)
        )
    except LandmarkError as error:
        raise ProjectError(error.what, file=path, remedy=remedy) from error
    return ImageWork(landmarks, detected, file.edits, file.detected_by, file.stated_spacing_mm_yx)


def _values(landmarks: Landmarks | None) -> dict[str, Any] | None:
    return None if landmarks is None else landmarks.to_json(with_geometry=True)


File = TypeVar("File", bound=BaseModel)


def _parsed(kind: type[File], content: bytes, path: Path, remedy: str) -> File:
    try:
        values = json.loads(content)
        version = values.get("format") if isinstance(values, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise ProjectError(
                f"was written by a newer version of this program (format {version}, this one "
                f"reads {FORMAT})",
                file=path,
                remedy="update napari-oneshot-lmk",
            )
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        what = f"is damaged, {place} is wrong ({first['msg'].lower()})"
        raise ProjectError(what, file=path, remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise ProjectError("is damaged", file=path, remedy=remedy) from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path, overwrite=True) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def _respaced(landmarks: Landmarks | None, spacing_mm_yx: Spacing | None) -> Landmarks | None:
    """Change the spacing, and the residuals that were measured with the old one."""
    if landmarks is None or landmarks.geometry is None:
        return landmarks
    before = landmarks.geometry.spacing_mm_yx
    if before == spacing_mm_yx:
        return landmarks
    factor = None
    if before is not None and spacing_mm_yx is not None:
        rows, columns = (new / old for new, old in zip(spacing_mm_yx, before, strict=True))
        factor = rows if abs(rows - columns) < 1e-6 * rows else None
    geometry = landmarks.geometry.with_spacing(spacing_mm_yx)
    points = (_with_residual(point, factor) for point in landmarks)
    return landmarks.with_points(points).with_geometry(geometry)


def _with_residual(point: Landmark, factor: float | None) -> Landmark:
    residual = point.shape_residual_mm
    if residual is None:
        return point
    return replace(point, shape_residual_mm=None if factor is None else residual * factor)
