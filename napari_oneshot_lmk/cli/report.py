"""A page of measurements per image: ``oneshot-lmk project report`` and ``measure --report``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_json,
    print_line,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.image_lookup import NamedImages
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, Slice, option
from napari_oneshot_lmk.cli.project_review import Folder, Images, chosen_images, counted, failures
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.measure.page_format import PageFormat

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
    from napari_oneshot_lmk.measure.page_files import PageSource

SetName = Annotated[
    str, typer.Option("--set", metavar="NAME|FILE", help="Which measurements: a TOML file.")
]
ProjectSet = Annotated[
    str,
    typer.Option(
        "--set",
        metavar="NAME|FILE",
        help="Which measurements. Default: the project's own, else lateral_cephalogram.",
    ),
]
Form = Annotated[PageFormat, typer.Option("--format", help="What the pages are written as.")]
OneFile = Annotated[
    bool, typer.Option("--one-file", help="All pages in one PDF instead of a file per image.")
]


@handle_errors
def report(
    folder: Folder,
    out: Annotated[Path, option("FOLDER", "Where the pages and their table go.")],
    images: Images = None,
    chosen: ProjectSet = "",
    form: Form = PageFormat.PDF,
    one_file: OneFile = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a page per image: picture, points, tracing, measurements with norms, who decided.

    The table of all of them is written beside the pages. An image that cannot be
    read is named at the end and does not stop the others; Ctrl-C keeps the pages
    that are written.
    """
    from napari_oneshot_lmk.review.pages import page_sources
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.review.project_set import chosen_set

    failed: list[OneshotError] = []
    with Project.open(folder) as project:
        definitions = chosen_set(project, chosen)
        ids = chosen_images(project, images, failed)
        sources = page_sources(project, ids, failed.append)
        PageOptions(out, form, one_file, overwrite, as_json).write(sources, definitions, failed)


@dataclass(frozen=True)
class PageOptions:
    """Where pages go, and as what."""

    out: Path
    form: PageFormat
    one_file: bool
    overwrite: bool
    as_json: bool

    def write(
        self,
        sources: Sequence[PageSource],
        definitions: MeasurementSet,
        failed: list[OneshotError],
    ) -> None:
        """Write pages with a bar, and tell what was written and what not; ends with its code."""
        from napari_oneshot_lmk.measure.page_files import write_pages

        pages = write_pages(
            sources,
            definitions,
            self.out,
            form=self.form,
            one_file=self.one_file,
            overwrite=self.overwrite,
        )
        files: list[Path] = []
        written, stopped = 0, False
        try:
            with counting_bar("Writing pages") as advance, closing(pages):
                for done, page in enumerate(pages, start=1):
                    advance(done, len(sources))
                    files += [file for file in page.files if file not in files[-1:]]
                    written += bool(page.files)
                    if page.error is not None:
                        failed.append(page.error)
        except KeyboardInterrupt:
            stopped = True
            if self.one_file:
                files, written = [], 0
        if self.as_json:
            print_json(
                {
                    "out": str(self.out),
                    "pages": [str(file) for file in files],
                    "failed": failures(failed),
                    "interrupted": stopped,
                }
            )
        else:
            print_line(f"{self.out}: pages of {counted(written, 'image')}")
        if stopped:
            print_warning(f"Stopped after {written} of {counted(len(sources), 'image')}.")
        list_failures(failed)
        if stopped:
            raise typer.Exit(ExitCode.INTERRUPTED)
        if failed:
            raise typer.Exit(ExitCode.FAILED)


def named_sources(
    images: Sequence[Landmarks],
    among: Sequence[str],
    spacing_mm_yx: tuple[float, float] | None,
    slice_index: Slice,
    landmark_file: Path,
) -> list[PageSource]:
    """Return the images of a landmark file, looked for among files, folders and patterns."""
    from napari_oneshot_lmk.measure.page_files import PageSource

    if not among:
        raise UsageError(
            "--report draws on the images", remedy="say with --images where the images are"
        )
    beside = NamedImages(among, spacing_mm_yx, slice_index)
    beside.check_enough(images)

    def source(landmarks: Landmarks) -> PageSource:
        def read() -> GrayImage:
            from napari_oneshot_lmk.imaging.reader import read_image

            path = beside.source_of(landmarks.image)
            if path is None:
                raise UsageError(
                    "is not among the images",
                    file=landmarks.image,
                    remedy="name its folder with --images",
                )
            return read_image(path, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index)

        if spacing_mm_yx is not None and landmarks.geometry is not None:
            geometry = landmarks.geometry.with_spacing(spacing_mm_yx)
            return PageSource(landmarks.image, landmarks.with_geometry(geometry), read, further)
        return PageSource(landmarks.image, landmarks, read, further)

    further = (("Landmarks", landmark_file.name),)
    return [source(landmarks) for landmarks in images if landmarks.placed]
