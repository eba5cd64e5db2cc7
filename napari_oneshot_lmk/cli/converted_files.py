"""Writing what ``oneshot-lmk convert`` has read."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import warn
from napari_oneshot_lmk.cli.endings import list_failures
from napari_oneshot_lmk.cli.named_images import NamedImages
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.landmarks.image_names import fits_as_name, stem

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

SHOWN_OF_A_NAME = 60
"""Letters of a very long name that a sentence repeats."""

_REFUSED_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


@dataclass
class Batch:
    """What was read and written, and what could not be."""

    done: list[Landmarks] = field(default_factory=list)
    failed: list[OneshotError] = field(default_factory=list)

    def end(self) -> None:
        """Raise the only failure, where there is nothing beside it."""
        if not self.done and len(self.failed) == 1:
            raise self.failed[0]


def write_one(
    out: Path, images: Sequence[Landmarks], beside: NamedImages, overwrite: bool
) -> Batch:
    """Write all images into one file.

    Raises
    ------
    OneshotError
        If the format does not hold them.
    """
    from napari_oneshot_lmk.landmarks.files import format_to_write, write_landmarks

    if len(images) > 1 and format_to_write(out).one_image:
        suffix = format_to_write(out).suffix
        raise UsageError(
            f"holds one image only, but there are {len(images)}",
            file=out,
            remedy=f"name a folder and add --to {suffix}, or write them to one .csv",
        )
    path = beside.source_of(images[0].image)
    write_landmarks(out, images, overwrite=overwrite, source=path)
    _unchecked(format_to_write(out), images, beside)
    return Batch(list(images))


def write_folder(
    out: Path, ending: str, images: Sequence[Landmarks], beside: NamedImages, overwrite: bool
) -> Batch:
    """Write a file for each image into a folder; what cannot be written is listed.

    Raises
    ------
    OneshotError
        If none can be written, or the folder cannot.
    """
    from napari_oneshot_lmk.landmarks.files import check_replaceable, format_to_write
    from napari_oneshot_lmk.storage.atomic import atomic_write

    batch = Batch()
    todo: list[tuple[str, Landmarks]] = []
    for name, landmarks in zip(_file_names(images, ending), images, strict=True):
        try:
            if fits_as_name(name):
                check_replaceable(out / name)
                todo.append((name, landmarks))
                continue
            reason = f"{len(name)} letters are more than a file's name may have"
        except OSError as error:
            reason = error.strerror or str(error)
        batch.failed.append(_not_named(landmarks, ending, reason))
    with atomic_write(out, overwrite=overwrite, folder=True) as unfinished:
        for name, landmarks in todo:
            try:
                _write(unfinished / name, ending, landmarks, beside)
            except OneshotError as error:
                # The hidden folder's name means nothing to the user.
                hidden = error.file is None or str(unfinished) in error.file
                file = out / name if hidden else error.file
                batch.failed.append(type(error)(error.what, file=file, remedy=error.remedy))
            else:
                batch.done.append(landmarks)
        if not batch.done:
            list_failures(batch.failed[1:])
            raise batch.failed[0]
    _unchecked(format_to_write(Path(f"image{ending}")), batch.done, beside)
    return batch


def _write(path: Path, ending: str, landmarks: Landmarks, beside: NamedImages) -> None:
    from napari_oneshot_lmk.landmarks.files import write_landmarks

    try:
        source = beside.source_of(landmarks.image)
        write_landmarks(path, [landmarks], source=source)
    except OSError as error:
        # A name that this file system refuses; a full disk ends everything.
        if error.errno not in _REFUSED_NAMES:
            raise
        raise _not_named(landmarks, ending, error.strerror or str(error)) from error


def _not_named(landmarks: Landmarks, ending: str, reason: str) -> OutputError:
    return OutputError(
        f"no file that ends in {ending} can have this image's name ({reason})",
        file=_shortened(landmarks.image),
        remedy="rename the image, or write all to one .csv",
    )


def _shortened(image: str) -> str:
    return image if len(image) <= SHOWN_OF_A_NAME else f"{image[:SHOWN_OF_A_NAME]}…"


def _file_names(images: Sequence[Landmarks], ending: str) -> list[str]:
    """Name each file after its image; with folder and ending where that is needed."""
    stems = [stem(landmarks.image) or "landmarks" for landmarks in images]
    lower = [name.lower() for name in stems]
    chosen = [
        name if lower.count(name.lower()) == 1 else landmarks.image
        for name, landmarks in zip(stems, images, strict=True)
    ]
    refused = '\\/:*?"<>|' + "".join(map(chr, range(32)))
    plain = str.maketrans(dict.fromkeys(refused, "_"))
    return [name.translate(plain) + ending for name in chosen]


def _unchecked(form: LandmarkFormat, images: Sequence[Landmarks], beside: NamedImages) -> None:
    """Say of which images nobody has looked where 3D Slicer sees them."""
    unknown = [la.image for la in images if beside.source_of(la.image) is None]
    if form.patient_mm and unknown:
        more = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        warn(
            f"{form.title} files hold millimetres, here in the pixel spacing of the "
            f"table; 3D Slicer may count {unknown[0]}{more} in another one, which is "
            "checked where the image is named (--image, --images)."
        )
