"""``oneshot-lmk convert``: from one landmark file format to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import print_json, print_line, warn
from napari_oneshot_lmk.cli.converted_files import Batch, write_folder, write_one
from napari_oneshot_lmk.cli.endings import ExitCode, ending_well, list_failures
from napari_oneshot_lmk.cli.lost import warn_of_losses
from napari_oneshot_lmk.cli.named_images import NamedImages
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, Slice, SpacingText, spacing_from
from napari_oneshot_lmk.cli.progress import counting_bar
from napari_oneshot_lmk.errors import LandmarkError, OneshotError, UsageError
from napari_oneshot_lmk.landmarks.image_names import fits_as_name

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


@ending_well
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A landmark file, or a folder of some.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A landmark file; with --to, a folder.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="ENDING",
            help="Write a file for each image into the folder OUT: .mrk.json, .sr.dcm, "
            ".txt, .csv, .json or .tps.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="The image of the landmarks; may be given several times.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--images", metavar="FOLDER|GLOB", help="Where the images of all are."),
    ] = None,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="LIST",
            help="Names of the landmarks, for files that only number them.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Convert landmarks between CSV, Slicer, COCO, TPS, ISBI and DICOM SR files.

    The format goes by the ending of the name. Images are needed where a format
    lacks what the other states: their size, their spacing, or which DICOM image a
    report is about. What gets lost is said.
    """
    from napari_oneshot_lmk.landmarks.lists import read_landmark_list
    from napari_oneshot_lmk.storage.atomic import check_writable

    spacing_mm_yx = spacing_from(spacing)
    ending = _ending(out, to)
    check_writable(out, overwrite=overwrite)
    files = _landmark_files(source)
    known_names = read_landmark_list(names).names if names else ()
    beside = NamedImages([*(image or ()), *(images or ())], spacing_mm_yx, slice_index)
    with counting_bar("Opening images") as beside.advance:
        read = _read(files, beside, known_names)
    read.end()
    if not read.done:
        batch = read
    elif to is None:
        batch = write_one(out, read.done, beside, overwrite)
        batch.failed[:0] = read.failed
    else:
        batch = write_folder(out, ending, read.done, beside, overwrite)
        batch.failed[:0] = read.failed
        batch.end()
    _report(out, ending, batch, as_json)
    if batch.failed:
        raise typer.Exit(ExitCode.FAILED)


def _ending(out: Path, to: str | None) -> str:
    """Return how the files to be written end; refuse what cannot be written."""
    from napari_oneshot_lmk.landmarks.files import format_to_write, is_landmark_file

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
            remedy="end it in .csv, .mrk.json, .json, .tps, .txt or .dcm, or say with "
            "--to .mrk.json which files to write into it as a folder",
        )
    format_to_write(out)
    return out.name


def _landmark_files(source: Path) -> list[Path]:
    from napari_oneshot_lmk.landmarks.files import holds_landmarks

    if not source.is_dir():
        if not source.exists():
            raise UsageError(
                "there is no such file or folder", file=source, remedy="check the path"
            )
        return [source]
    files = [
        path
        for path in sorted(source.iterdir())
        if not path.name.startswith(".") and holds_landmarks(path)
    ]
    if not files:
        raise UsageError("holds no landmark files", file=source, remedy="name a folder of some")
    return files


def _read(files: Sequence[Path], beside: NamedImages, names: Sequence[str]) -> Batch:
    """Read all files; each image may stand in one of them only."""
    from napari_oneshot_lmk.landmarks.files import format_to_read, read_landmarks
    from napari_oneshot_lmk.landmarks.image_names import image_key

    batch = Batch()
    found_in: dict[str, Path] = {}
    told: list[str] = []
    for path in files:
        try:
            read = read_landmarks(
                path,
                geometry_of=beside.geometry_of,
                names=names,
                tell=told.append,
                source_of=beside.source_of,
            )
            if len(files) == 1:
                beside.check_enough(read)
            if not format_to_read(path).one_image:
                told += _renamed(path, read, beside)
            placed = [beside.on_their_image(landmarks) for landmarks in read]
        except UsageError:
            raise
        except OneshotError as error:
            batch.failed.append(error.about(path))
            continue
        for landmarks in placed:
            key = image_key(landmarks.image)
            if key in found_in:
                batch.failed.append(
                    LandmarkError(
                        f"image {landmarks.image!r} stands already in {found_in[key].name}",
                        file=path,
                        remedy="remove one of the two",
                    )
                )
                continue
            found_in[key] = path
            batch.done.append(landmarks)
    if told:
        more = f" (and {len(told) - 1} more like this)" if told[1:] else ""
        warn(f"{told[0]}{more}.")
    return batch


def _renamed(path: Path, read: Sequence[Landmarks], beside: NamedImages) -> list[str]:
    """Say where a single image is taken for one that the file calls otherwise."""
    return [
        f"{path}: its landmarks are on {landmarks.image!r} and are taken for those of "
        f"{renamed}, the only image that is named"
        for landmarks in read
        if (renamed := beside.renames(landmarks.image))
    ]


def _report(out: Path, ending: str, batch: Batch, as_json: bool) -> None:
    count, points = len(batch.done), sum(len(landmarks) for landmarks in batch.done)
    lost: tuple[str, ...] = ()
    if count:
        lost = warn_of_losses(Path(f"image{ending}"), batch.done)
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
