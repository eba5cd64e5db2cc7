"""Landmark files, folders of them and projects that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import counting_bar, print_warning
from napari_oneshot_lmk.cli.errors import ExitCode, list_failures
from napari_oneshot_lmk.cli.image_lookup import NamedImages
from napari_oneshot_lmk.cli.options import option
from napari_oneshot_lmk.errors import LandmarkError, OneshotError, SourceError, UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks

Sources = Annotated[
    list[Path] | None,
    typer.Argument(metavar="LANDMARKS", help="Landmark files, or folders of some."),
]
Study = Annotated[Path | None, option("PROJECT", "The landmarks of this project instead.")]
ImagePlaces = Annotated[
    list[str] | None,
    option("FOLDER|GLOB", "Where the images are; for files that lack their size (TPS)."),
]


@dataclass
class ReadBatch:
    """The sets that could be read, or written, and what could not be."""

    done: list[Landmarks] = field(default_factory=list)
    failed: list[OneshotError] = field(default_factory=list)

    def end(self) -> None:
        """Raise the only failure, where there is nothing beside it."""
        if not self.done and len(self.failed) == 1:
            raise self.failed[0]


def landmark_files(source: Path) -> list[Path]:
    """Return a landmark file, or those of a folder; a SourceError says if there is none."""
    from napari_oneshot_lmk.landmarks.files import holds_landmarks

    if not source.is_dir():
        if not source.exists():
            what = "there is no such file or folder"
            raise SourceError(what, file=source, remedy="check the path")
        return [source]
    visible = (path for path in sorted(source.iterdir()) if not path.name.startswith("."))
    files = [path for path in visible if holds_landmarks(path)]
    if not files:
        raise SourceError("holds no landmark files", file=source, remedy="name a folder of some")
    return files


def read_files(files: Sequence[Path], beside: NamedImages, names: Sequence[str] = ()) -> ReadBatch:
    """Read all files; each image may stand in one of them only."""
    from napari_oneshot_lmk.landmarks.files import format_to_read, read_landmarks
    from napari_oneshot_lmk.landmarks.image_names import image_key

    batch = ReadBatch()
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
                what = f"image {landmarks.image!r} stands already in {found_in[key].name}"
                batch.failed.append(LandmarkError(what, file=path, remedy="remove one of the two"))
                continue
            found_in[key] = path
            batch.done.append(landmarks)
    if told:
        more = f" (and {len(told) - 1} more like this)" if told[1:] else ""
        print_warning(f"{told[0]}{more}.")
    return batch


def _renamed(path: Path, read: Sequence[Landmarks], beside: NamedImages) -> list[str]:
    """Say where a single image is taken for one that the file calls otherwise."""
    return [
        f"{path}: its landmarks are on {landmarks.image!r} and are taken for those of "
        f"{renamed}, the only image that is named"
        for landmarks in read
        if (renamed := beside.renames(landmarks.image))
    ]


def read_project(folder: Path) -> ReadBatch:
    """Read the landmarks of all images of a project that have some."""
    from napari_oneshot_lmk.review.project import Project

    batch = ReadBatch()
    with Project.open(folder) as project:
        works = [work.landmarks for _, work in project.works(tell=batch.failed.append)]
    batch.done = [landmarks for landmarks in works if landmarks is not None]
    if not batch.done and not batch.failed:
        raise UsageError("no image has landmarks yet", file=folder, remedy="detect them first")
    return batch


def read_named(
    sources: Sequence[Path] | None,
    project: Path | None,
    images: Sequence[str] | None,
    spacing_mm_yx: tuple[float, float] | None,
) -> ReadBatch:
    """Read what a user names; a UsageError says if that is nothing, or both."""
    if bool(sources) == (project is not None):
        raise UsageError(
            "name either landmark files or a project",
            remedy="for example oneshot-lmk morphometrics align found.csv, or --project STUDY",
        )
    if project is not None:
        batch = read_project(project)
    else:
        files = [file for source in sources or () for file in landmark_files(source)]
        beside = NamedImages(images or (), spacing_mm_yx if images else None, None)
        with counting_bar("Opening images") as beside.advance:
            batch = read_files(files, beside)
    batch.end()
    if not batch.done:
        end_with_failures(batch)
    return batch


def end_with_failures(batch: ReadBatch) -> None:
    """Name what could not be used; the exit code says so, too."""
    list_failures(batch.failed, what="file")
    if batch.failed:
        raise typer.Exit(ExitCode.FAILED)
