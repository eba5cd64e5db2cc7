"""``oneshot-lmk convert``: from one landmark file format to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import print_json, print_line, warn
from napari_oneshot_lmk.cli.endings import ExitCode, ending_well, list_failures
from napari_oneshot_lmk.cli.lost import warn_of_losses
from napari_oneshot_lmk.cli.named_images import NamedImages
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Overwrite,
    Slice,
    SpacingText,
    spacing_from,
)
from napari_oneshot_lmk.cli.progress import counting_bar
from napari_oneshot_lmk.errors import LandmarkError, OneshotError, UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmark import Landmarks


@dataclass
class _Batch:
    """What was read and written, and what could not be."""

    done: list[Landmarks] = field(default_factory=list)
    failed: list[OneshotError] = field(default_factory=list)

    def end(self) -> None:
        """Raise the only failure, where there is nothing beside it."""
        if not self.done and len(self.failed) == 1:
            raise self.failed[0]


@ending_well
def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A landmark file, or a folder of some."),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A landmark file; with --to, a folder."),
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
        typer.Option(
            "--images", metavar="FOLDER|GLOB", help="Where the images of all are."
        ),
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
    from napari_oneshot_lmk.landmarks.names import read_names
    from napari_oneshot_lmk.output import check_writable

    spacing_mm_yx = spacing_from(spacing)
    ending = _ending(out, to)
    check_writable(out, overwrite=overwrite)
    files = _landmark_files(source)
    known_names = read_names(names).names if names else ()
    beside = NamedImages([*(image or ()), *(images or ())], spacing_mm_yx, slice_index)
    with counting_bar("Opening images") as beside.advance:
        read = _read(files, beside, known_names)
    read.end()
    if not read.done:
        batch = read
    elif to is None:
        batch = _write_one(out, read.done, beside, overwrite)
        batch.failed[:0] = read.failed
    else:
        batch = _write_folder(out, ending, read.done, beside, overwrite)
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
    if out.is_dir() or not is_landmark_file(out):
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
        raise UsageError(
            "holds no landmark files", file=source, remedy="name a folder of some"
        )
    return files


def _read(files: Sequence[Path], beside: NamedImages, names: Sequence[str]) -> _Batch:
    """Read all files; each image may stand in one of them only."""
    from napari_oneshot_lmk.landmarks.files import read_landmarks

    batch = _Batch()
    found_in: dict[str, Path] = {}
    told: list[str] = []
    for path in files:
        try:
            read = read_landmarks(
                path, geometry_of=beside.geometry_of, names=names, tell=told.append
            )
            if len(files) == 1:
                beside.check_enough(read)
            placed = [beside.on_their_image(landmarks) for landmarks in read]
        except UsageError:
            raise
        except OneshotError as error:
            batch.failed.append(error.about(path))
            continue
        for landmarks in placed:
            if landmarks.image in found_in:
                batch.failed.append(
                    LandmarkError(
                        f"image {landmarks.image!r} stands already in "
                        f"{found_in[landmarks.image].name}",
                        file=path,
                        remedy="remove one of the two",
                    )
                )
                continue
            found_in[landmarks.image] = path
            batch.done.append(landmarks)
    if told:
        more = f" (and {len(told) - 1} more like this)" if told[1:] else ""
        warn(f"{told[0]}{more}.")
    return batch


def _write_one(
    out: Path, images: Sequence[Landmarks], beside: NamedImages, overwrite: bool
) -> _Batch:
    from napari_oneshot_lmk.landmarks.files import format_to_write, write_landmarks

    if len(images) > 1 and format_to_write(out).one_image:
        suffix = format_to_write(out).suffix
        raise UsageError(
            f"holds one image only, but there are {len(images)}",
            file=out,
            remedy=f"name a folder and add --to {suffix}, or write them to one .csv",
        )
    file = beside.file_of(images[0].image)
    path = None if file is None else file.path
    write_landmarks(out, images, overwrite=overwrite, source=path)
    return _Batch(list(images))


def _write_folder(
    out: Path,
    ending: str,
    images: Sequence[Landmarks],
    beside: NamedImages,
    overwrite: bool,
) -> _Batch:
    from napari_oneshot_lmk.landmarks.files import check_replaceable, write_landmarks
    from napari_oneshot_lmk.output import written

    batch = _Batch()
    names = _file_names(images, ending)
    for name in names:
        check_replaceable(out / name)
    with written(out, overwrite=overwrite, folder=True) as unfinished:
        for name, landmarks in zip(names, images, strict=True):
            file = beside.file_of(landmarks.image)
            path = None if file is None else file.path
            try:
                write_landmarks(unfinished / name, [landmarks], source=path)
            except OneshotError as error:
                # The hidden folder's name means nothing to the user.
                batch.failed.append(
                    type(error)(error.what, file=out / name, remedy=error.remedy)
                )
            else:
                batch.done.append(landmarks)
        if not batch.done:
            list_failures(batch.failed[1:])
            raise batch.failed[0]
    return batch


def _file_names(images: Sequence[Landmarks], ending: str) -> list[str]:
    """Name each file after its image; with folder and ending where that is needed."""
    from napari_oneshot_lmk.landmarks.image_names import stem

    stems = [stem(landmarks.image) or "landmarks" for landmarks in images]
    lower = [name.lower() for name in stems]
    chosen = [
        name if lower.count(name.lower()) == 1 else landmarks.image
        for name, landmarks in zip(stems, images, strict=True)
    ]
    plain = str.maketrans(dict.fromkeys('\\/:*?"<>|\n\r\t', "_"))
    return [name.translate(plain) + ending for name in chosen]


def _report(out: Path, ending: str, batch: _Batch, as_json: bool) -> None:
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
