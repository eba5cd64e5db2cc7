"""Writes a landmark file for each image, and says what a format does not hold."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_oneshot_lmk.cli.console import print_error, print_warning
from napari_oneshot_lmk.cli.errors import ExitCode, list_failures
from napari_oneshot_lmk.cli.landmark_input import ReadBatch
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.landmarks.image_names import file_names, fits_as_name

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

SHOWN_OF_A_NAME = 60
"""Letters of a very long name that a message repeats."""

_REFUSED_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
SourceOf = Callable[[str], Path | None]
"""Name of an image -> its file, None where that is unknown."""


def write_each(
    out: Path, ending: str, images: Sequence[Landmarks], source_of: SourceOf, overwrite: bool
) -> ReadBatch:
    """Write a file for each image into a folder; ends the command if none can be."""
    from napari_oneshot_lmk.landmarks.files import check_replaceable, format_to_write
    from napari_oneshot_lmk.storage.atomic import atomic_write

    batch = ReadBatch()
    todo: list[tuple[str, Landmarks]] = []
    names = file_names([landmarks.image for landmarks in images], ending)
    for name, landmarks in zip(names, images, strict=True):
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
                _write(unfinished / name, ending, landmarks, source_of)
            except OneshotError as error:
                # The hidden folder's name means nothing to the user.
                hidden = error.file is None or str(unfinished) in error.file
                file = out / name if hidden else error.file
                batch.failed.append(type(error)(error.what, file=file, remedy=error.remedy))
            else:
                batch.done.append(landmarks)
        if not batch.done:
            # Left by an exception: nothing of the folder stays.
            if batch.failed[1:]:
                list_failures(batch.failed, what="file")
            else:
                print_error(str(batch.failed[0]))
            raise typer.Exit(ExitCode.FAILED)
    warn_of_millimetres(format_to_write(Path(f"image{ending}")), batch.done, source_of)
    return batch


def _write(path: Path, ending: str, landmarks: Landmarks, source_of: SourceOf) -> None:
    from napari_oneshot_lmk.landmarks.files import write_landmarks

    try:
        write_landmarks(path, [landmarks], source=source_of(landmarks.image))
    except OSError as error:
        # A name that this file system refuses; a full disk ends everything.
        if error.errno not in _REFUSED_NAMES:
            raise
        raise _not_named(landmarks, ending, error.strerror or str(error)) from error


def _not_named(landmarks: Landmarks, ending: str, reason: str) -> OutputError:
    image = landmarks.image
    return OutputError(
        f"no file that ends in {ending} can have this image's name ({reason})",
        file=image if len(image) <= SHOWN_OF_A_NAME else f"{image[:SHOWN_OF_A_NAME]}…",
        remedy="rename the image, or write all to one .csv",
    )


def warn_of_millimetres(
    form: LandmarkFormat, images: Sequence[Landmarks], source_of: SourceOf
) -> None:
    """Say for which images it is not checked where 3D Slicer sees them."""
    unknown = [la.image for la in images if source_of(la.image) is None]
    if form.patient_mm and unknown:
        more = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        print_warning(
            f"{form.name} files hold millimetres, here computed with the pixel spacing of the "
            f"input; 3D Slicer may use another one for {unknown[0]}{more}. Name the image "
            "(--image, --images) to have that checked."
        )


def warn_of_losses(path: Path, images: Collection[Landmarks]) -> tuple[str, ...]:
    """Say what of these landmarks the format of a file leaves out; return the same."""
    from napari_oneshot_lmk.landmarks.files import format_to_write, unsupported_fields

    lost = unsupported_fields(path, images)
    if lost:
        print_warning(
            f"{format_to_write(path).name} files do not hold everything; left out: "
            f"{', '.join(lost)}."
        )
    return lost


def checked_ending(out: Path, to: str | None) -> str:
    """Return how the files to be written end; refuse what cannot be written."""
    from napari_oneshot_lmk.landmarks.files import (
        endings_in_words,
        format_to_write,
        is_landmark_file,
    )

    if to is not None:
        ending = to if to.startswith(".") else f".{to}"
        format_to_write(Path(f"image{ending}"))
        return ending
    # What is too long for a name is refused where it is to be written.
    is_folder = fits_as_name(out.name) and out.is_dir()
    if is_folder or not is_landmark_file(out):
        raise UsageError(
            "is not the name of a landmark file",
            file=out,
            remedy=f"end it in {endings_in_words(written=True)}, or name a folder and say with "
            "--to which files to write into it, for example --to .mrk.json",
        )
    format_to_write(out)
    return out.name
