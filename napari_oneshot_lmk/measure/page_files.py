"""Pages of many images, written as files one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.errors import OneshotError, OutputError, UsageError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.image_names import image_key, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet, measurement_table
from napari_oneshot_lmk.measure.page import Fact, Page, make_page, on_image
from napari_oneshot_lmk.measure.page_drawing import DPI, draw_page
from napari_oneshot_lmk.measure.page_format import PageFormat
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

ONE_FILE = "pages.pdf"
TABLE = "measurements.csv"
LONGEST = 120
"""Letters of a page's file name: the end of its path is added by the user's folders."""


@dataclass(frozen=True, eq=False)
class PageSource:
    """An image that gets a page, read when its turn comes."""

    name: str
    landmarks: Landmarks
    read: Callable[[], GrayImage]
    """Raises an `OneshotError` if the image cannot be read; called in the writing thread."""
    further: tuple[Fact, ...] = ()
    """What else its page says."""


@dataclass(frozen=True)
class PageWritten:
    """What became of an image's page."""

    name: str
    files: tuple[Path, ...] = ()
    error: OneshotError | None = None
    """Why there is none."""


def write_pages(
    sources: Sequence[PageSource],
    chosen: MeasurementSet,
    folder: str | Path,
    *,
    form: PageFormat = PageFormat.PDF,
    one_file: bool = False,
    overwrite: bool = False,
) -> Generator[PageWritten, None, None]:
    """Write a page per image and the table of all measurements, ``measurements.csv``.

    It writes while it is iterated over, and may be closed after any image: pages that are
    written stay; of ``one_file`` and the table nothing is there before the end. An image that
    cannot be read has no page; the others do.

    Parameters
    ----------
    sources : sequence of PageSource
    chosen : MeasurementSet
    folder : str or Path
        Made where it does not exist.
    form : PageFormat
    one_file : bool
        All pages in ``pages.pdf`` instead of a file each.
    overwrite : bool
        Replace pages that exist.

    Yields
    ------
    PageWritten
        One per source, in order.

    Raises
    ------
    UsageError
        If there is no image, or one PNG file is asked for.
    OutputError
        If a file exists and may not be replaced, or cannot be written.
    """
    folder, form = Path(folder), PageFormat(form)
    if not sources:
        raise UsageError("no image has landmarks to measure", remedy="detect or place them first")
    if one_file and form is not PageFormat.PDF:
        raise UsageError("only a PDF holds all pages in one file", remedy="leave out one of both")
    places = _places([source.name for source in sources], folder, form)
    for place in [folder / TABLE, *([folder / ONE_FILE] if one_file else places)]:
        check_writable(place, overwrite=overwrite)
    measured = []
    with ExitStack() as opened:
        add: Callable[[Page], tuple[Path, ...]] | None = None
        for source, place in zip(sources, places, strict=True):
            landmarks = source.landmarks
            try:
                image = source.read()
                landmarks = on_image(landmarks, image)
                page = make_page(image, landmarks, chosen, further=source.further)
                if not one_file:
                    files = _write(page, place, form, overwrite)
                else:
                    if add is None:
                        add = opened.enter_context(_one_pdf(folder / ONE_FILE, overwrite))
                    files = add(page)
            except OutputError:
                # The others could not be written either.
                raise
            except OneshotError as error:
                yield PageWritten(source.name, error=error.about(source.name))
            else:
                yield PageWritten(source.name, files)
            measured.append(landmarks)
    with atomic_write(folder / TABLE, overwrite=overwrite) as partial:
        table = measurement_table(measured, chosen).set_index("image")
        table.to_csv(partial, float_format="%.4f")


@contextmanager
def _one_pdf(path: Path, overwrite: bool) -> Iterator[Callable[[Page], tuple[Path, ...]]]:
    """Open a PDF, and give a function that adds a page to it."""
    from matplotlib.backends.backend_pdf import PdfPages

    with (
        atomic_write(path, overwrite=overwrite) as partial,
        PdfPages(partial, metadata=_about("Measurements")) as pdf,
    ):

        def add(page: Page) -> tuple[Path, ...]:
            for figure in draw_page(page):
                pdf.savefig(figure, dpi=DPI)
            return (path,)

        yield add


def _write(page: Page, place: Path, form: PageFormat, overwrite: bool) -> tuple[Path, ...]:
    """Write one image's page; a PDF holds all its sheets, of PNG each is a file."""
    if form is PageFormat.PDF:
        with _one_pdf(place, overwrite) as add:
            return add(page)
    files = []
    for number, figure in enumerate(draw_page(page), start=1):
        file = place if number == 1 else place.with_stem(f"{place.stem}-{number}")
        with atomic_write(file, overwrite=overwrite) as partial:
            figure.savefig(partial, dpi=DPI, format="png", metadata=_about(page.name))
        files.append(file)
    return tuple(files)


def _about(title: str) -> dict[str, str]:
    software = f"napari-oneshot-lmk {__version__}"
    return {"Title": title, "Creator": software}


def _places(names: Sequence[str], folder: Path, form: PageFormat) -> list[Path]:
    """Return a file for each image; names that are the same but for case get a number."""
    places: dict[str, Path] = {}
    for name in names:
        folders = image_key(name).split("/")[:-1]
        plain = re.sub(r"[^\w. -]", "_", "_".join([*folders, stem(name)]))[-LONGEST:].strip(". ")
        base = plain or "image"
        numbered = (base if n == 1 else f"{base}-{n}" for n in count(1))
        free = next(each for each in numbered if each.casefold() not in places)
        places[free.casefold()] = folder / f"{free}.{form}"
    return list(places.values())
