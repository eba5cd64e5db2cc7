"""Landmark files: one module per format, and one line in `FORMATS`."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from napari_oneshot_lmk.errors import LandmarkError, OneshotError, OutputError, UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat, ReadContext
from napari_oneshot_lmk.landmarks.files.coco import COCO_JSON
from napari_oneshot_lmk.landmarks.files.csv_table import CSV_TABLE
from napari_oneshot_lmk.landmarks.files.dicom_sr import DICOM_SR
from napari_oneshot_lmk.landmarks.files.fcsv import FCSV
from napari_oneshot_lmk.landmarks.files.isbi_txt import ISBI_TXT
from napari_oneshot_lmk.landmarks.files.mrk_json import MRK_JSON
from napari_oneshot_lmk.landmarks.files.napari_points import NAPARI_POINTS
from napari_oneshot_lmk.landmarks.files.tps import TPS
from napari_oneshot_lmk.landmarks.image_names import image_key
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write

FORMATS = (CSV_TABLE, NAPARI_POINTS, MRK_JSON, FCSV, COCO_JSON, TPS, ISBI_TXT, DICOM_SR)
"""Every format that landmarks are read from and written to.

Of formats with the same suffix the first is the one that is written, and the one
that is meant where a file looks like none of them.
"""

LONGEST_SENTENCE = 600
LONGEST_TEXT = 50_000
"""Of a cell: programs that read tables take no more than 131072 letters."""


class LandmarkWarning(UserWarning):
    """Something in a landmark file is ignored or assumed."""


# -- which format ---------------------------------------------------------------


def is_landmark_file(path: str | Path) -> bool:
    """Say whether the name ends like that of a landmark file."""
    return bool(_named_like(Path(path)))


def holds_landmarks(path: str | Path) -> bool:
    """Say whether a file is there, is named and looks like a landmark file."""
    path = Path(path)
    return path.is_file() and any(form.recognise(path) for form in _named_like(path))


def format_to_read(path: str | Path) -> LandmarkFormat:
    """Return the format of a file, by its name and where that is shared its content.

    A UsageError says if no format has this name ending.
    """
    forms = _named_like(Path(path)) or _no_format(path, FORMATS)
    if len(forms) > 1:
        return next((form for form in forms if form.recognise(Path(path))), forms[0])
    return forms[0]


def format_to_write(path: str | Path, images: int = 1) -> LandmarkFormat:
    """Return the format that a file of this name, about so many images, is written in.

    A UsageError says if no format has this name ending, it is only read, or it holds one
    image only and there are more; a LandmarkError if a library that it needs is not installed.
    """
    forms = _named_like(Path(path)) or _no_format(path, [form for form in FORMATS if form.write])
    form = next((form for form in forms if form.write is not None), None)
    if form is None:
        what = f"{forms[0].suffix} files are only read"
        raise UsageError(what, file=path, remedy=forms[0].instead)
    if images > 1 and form.one_image:
        what = f"can hold the landmarks of one image only, and these are of {images}"
        raise UsageError(what, file=path, remedy="write them to one .csv")
    form.check_installed()
    return form


def _named_like(path: Path) -> list[LandmarkFormat]:
    """Return the formats with the longest suffix that the name ends in."""
    name = path.name.lower()
    forms = [form for form in FORMATS if name.endswith(form.suffix)]
    longest = max((len(form.suffix) for form in forms), default=0)
    return [form for form in forms if len(form.suffix) == longest]


def _no_format(path: str | Path, forms: Sequence[LandmarkFormat]) -> NoReturn:
    suffixes = [form.suffix for form in forms]
    raise UsageError(
        "is not the name of a landmark file", file=path, remedy=f"end it in {_either(suffixes)}"
    )


def endings_in_words(
    *, written: bool = False, one_image: bool | None = None, beside_image: bool = False
) -> str:
    """List how the names of landmark files end, for a sentence.

    Parameters
    ----------
    written : bool
        Only of formats that can be written.
    one_image : bool, optional
        Only of formats that hold the landmarks of one image, or if False of several.
    beside_image : bool
        Of files that are called like their image.

    Examples
    --------
    >>> endings_in_words(written=True, one_image=False)
    '.csv, .json (COCO keypoints) or .tps'
    """
    forms = [
        form
        for form in FORMATS
        if not (written and form.write is None) and one_image in (None, form.one_image)
    ]
    # An ending that other kinds of files have as well needs the name of the format.
    return _either(
        (form.suffix_beside_image if beside_image else form.suffix)
        + (f" ({form.name})" if form.shared else "")
        for form in forms
    )


def _either(words: Iterable[str]) -> str:
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


# -- reading --------------------------------------------------------------------


def read_landmarks(
    path: str | Path,
    *,
    geometry: Geometry | None = None,
    geometry_of: Callable[[str], Geometry | None] | None = None,
    names: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
    source: Path | None = None,
    source_of: Callable[[str], Path | None] | None = None,
) -> tuple[Landmarks, ...]:
    """Read the landmarks of one or more images, in the order of the file.

    Parameters
    ----------
    path : str or Path
        Its format goes by the end of the name, where several share it by the content.
    geometry, geometry_of : Geometry, or callable, optional
        Geometry of the image, or for files about several images name -> geometry or
        None; used where the file does not hold one. Files that hold millimetres only
        (Slicer's own), or count rows from the bottom (TPS), cannot be read without.
    names : sequence of str
        Names of the landmarks, for files that only number them.
    tell : callable, optional
        Called with each thing that is ignored or assumed; by default a `LandmarkWarning`.
    source, source_of : Path, or callable, optional
        The image file, or name -> file or None; needed where points of 3D Slicer are read,
        which may take another spacing from it than we do.

    Raises
    ------
    UsageError
        If no format has this name ending.
    LandmarkError
        If the file cannot be read, or what it says makes no sense.
    """
    path = Path(path)
    context = ReadContext(
        geometry_of or (lambda _: geometry),
        tuple(names),
        lambda sentence: (tell or _warn)(_shortened(f"{path}: {sentence}")),
        source_of or (lambda _: source),
    )
    try:
        return _check_sets(format_to_read(path).read(path, context))
    except OneshotError as error:
        # Landmarks themselves know what is wrong with them, not where they stand.
        remedy = error.remedy or "correct the file, or save it again"
        what = _shortened(error.what)
        raise type(error)(what, file=error.file or path, remedy=remedy) from error


def _warn(sentence: str) -> None:
    warnings.warn(sentence, LandmarkWarning, stacklevel=5)


def _shortened(sentence: str) -> str:
    """Leave out the middle where a damaged cell of thousands of letters is repeated."""
    if len(sentence) <= LONGEST_SENTENCE:
        return sentence
    half = LONGEST_SENTENCE // 2
    return f"{sentence[:half]} … {sentence[-half:]}"


def _check_sets(images: Iterable[Landmarks]) -> tuple[Landmarks, ...]:
    """Raise where two sets are of one image, or no file could be written with a text."""
    checked: dict[str, Landmarks] = {}
    for landmarks in images:
        key = image_key(landmarks.image)
        if key in checked:
            what = f"image {landmarks.image!r} stands twice"
            raise LandmarkError(what, remedy="keep one of the two")
        _check_texts(landmarks)
        if not all(unicodedata.is_normalized("NFC", name) for name in landmarks.names):
            landmarks = landmarks.with_points(
                replace(point, name=unicodedata.normalize("NFC", point.name)) for point in landmarks
            )
        checked[key] = landmarks
    return tuple(checked.values())


def _check_texts(landmarks: Landmarks) -> None:
    texts = [landmarks.image, *vars(landmarks.provenance).values()]
    texts += [text for p in landmarks for text in (p.name, p.description, p.author)]
    for text in texts:
        if len(text) > LONGEST_TEXT:
            what = f"holds a name or description of {len(text)} letters"
            raise LandmarkError(what, remedy="correct it")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise LandmarkError(f"the text {text!r} holds half a letter", remedy="correct it")


# -- writing --------------------------------------------------------------------


def write_landmarks(
    path: str | Path,
    images: Collection[Landmarks],
    *,
    overwrite: bool = False,
    source: Path | None = None,
) -> None:
    """Write the landmarks of one or more images.

    Parameters
    ----------
    path : str or Path
        Its format goes by the end of the name.
    images : collection of Landmarks
        One per image, iterated more than once.
    overwrite : bool
        Replace a landmark file that exists; other files with its ending are never replaced.
    source : Path, optional
        The image file. DICOM structured reports need it; Slicer's markups take from
        it where Slicer will see the points.

    Raises
    ------
    UsageError
        If no format has this name ending, or it is only read.
    OutputError
        If the file cannot be written, or the format does not hold these landmarks.
    SpacingUnknownError
        If the format needs millimetres and the spacing is unknown.
    """
    path = Path(path)
    form = format_to_write(path)
    assert form.write is not None
    if overwrite:
        check_replaceable(path)
    try:
        with atomic_write(path, overwrite=overwrite) as partial:
            form.write(partial, images, source)
    except OneshotError as error:
        raise error.about(path) from error


def check_replaceable(path: str | Path) -> None:
    """Raise an OutputError if a file of another kind lies where a landmark file is to go.

    A DICOM image and a report on it, or any JSON, may have the same ending.
    """
    path = Path(path)
    form = format_to_write(path)
    if form.shared and path.is_file() and not form.recognise(path):
        what = f"exists and is no {form.name} file, so it is not replaced"
        raise OutputError(what, file=path, remedy="choose another name")


def unsupported_fields(path: str | Path, images: Collection[Landmarks]) -> tuple[str, ...]:
    """Return what of these landmarks a file of that name would not hold."""
    form = format_to_write(path)
    curves = () if form.holds_curves or not any(la.curves for la in images) else ("curves",)
    return form.unsupported(images) + curves
