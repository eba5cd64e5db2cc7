"""``oneshot-lmk convert``: from one landmark file format to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import counting_bar, print_json, print_line
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.image_lookup import NamedImages
from napari_oneshot_lmk.cli.landmark_input import ReadBatch, landmark_files, read_files
from napari_oneshot_lmk.cli.landmark_output import (
    checked_ending,
    warn_of_losses,
    warn_of_millimetres,
    write_each,
)
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Overwrite,
    Slice,
    SpacingText,
    option,
    spacing_from,
)
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.files import endings_in_words

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


def _write_one(
    out: Path, images: Sequence[Landmarks], beside: NamedImages, overwrite: bool
) -> None:
    """Write all images into one file."""
    from napari_oneshot_lmk.landmarks.files import format_to_write, write_landmarks

    form = format_to_write(out)
    if len(images) > 1 and form.one_image:
        raise UsageError(
            f"can hold the landmarks of one image only, and these are of {len(images)}",
            file=out,
            remedy=f"name a folder and add --to {form.suffix_beside_image}, or write all of them "
            "to one .csv file",
        )
    source = beside.source_of(images[0].image)
    write_landmarks(out, images, overwrite=overwrite, source=source)
    warn_of_millimetres(form, images, beside.source_of)


@handle_errors
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A landmark file, or a folder of some.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A landmark file; with --to, a folder.")
    ],
    to: Annotated[
        str | None,
        option(
            "ENDING",
            "Write a file for each image into the folder OUT: "
            f"{endings_in_words(written=True, beside_image=True)}.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None, option("FILE", "The image of the landmarks; may be given several times.")
    ] = None,
    images: Annotated[
        list[str] | None, option("FOLDER|GLOB", "Where the images of all are.")
    ] = None,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    names: Annotated[
        Path | None, option("LIST", "Names of the landmarks, for files that only number them.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Convert landmarks from one file format to another.

    The endings of the file names say which formats are meant. Some formats need the image, too:
    for its size, its pixel spacing, or because a DICOM report refers to it. What the new file
    cannot hold is named.
    """
    from napari_oneshot_lmk.landmarks.lists import read_landmark_list
    from napari_oneshot_lmk.storage.atomic import check_writable

    spacing_mm_yx = spacing_from(spacing)
    ending = checked_ending(out, to)
    check_writable(out, overwrite=overwrite)
    files = landmark_files(source)
    known_names = read_landmark_list(names).names if names else ()
    beside = NamedImages([*(image or ()), *(images or ())], spacing_mm_yx, slice_index)
    with counting_bar("Opening images") as beside.advance:
        read = read_files(files, beside, known_names)
    read.end()
    batch = read
    if read.done and to is None:
        _write_one(out, read.done, beside, overwrite)
    elif read.done:
        batch = write_each(out, ending, read.done, beside.source_of, overwrite)
        batch.failed[:0] = read.failed
        batch.end()
    _report(out, ending, batch, as_json)
    if batch.failed:
        raise typer.Exit(ExitCode.FAILED)


def _report(out: Path, ending: str, batch: ReadBatch, as_json: bool) -> None:
    count, points = len(batch.done), sum(map(len, batch.done))
    lost = warn_of_losses(Path(f"image{ending}"), batch.done) if count else ()
    if as_json:
        print_json(
            {
                "out": str(out) if count else None,
                "images": [landmarks.image for landmarks in batch.done],
                "landmarks": points,
                "left_out": lost,
                "failed": [{"file": e.file, "error": str(e)} for e in batch.failed],
            }
        )
    elif count:
        print_line(
            f"{out}: {points} landmark{'s' if points != 1 else ''} on {count} "
            f"image{'s' if count != 1 else ''}"
        )
    list_failures(batch.failed, what="file")
