"""Asking where to save, and saving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.files import (
    FORMATS,
    format_to_write,
    unsupported_fields,
    write_landmarks,
)
from napari_oneshot_lmk.landmarks.files.base import LandmarkFormat
from napari_oneshot_lmk.landmarks.files.dicom_sr import DICOM_SR, why_no_report
from napari_oneshot_lmk.landmarks.image_names import file_names, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template, is_template
from napari_oneshot_lmk.widgets import measure_texts, texts
from napari_oneshot_lmk.widgets.qt.off_window import off_window

REPORT_SUFFIX = DICOM_SR.suffix_beside_image


def open_filter(what: str) -> str:
    """Return what a dialog that opens landmark files offers; ``what`` says what is in them."""
    endings = " ".join(dict.fromkeys(f"*{form.suffix}" for form in FORMATS))
    return f"{what} ({endings});;{texts.ALL_FILES}"


def save_filters(report: bool = True) -> list[str]:
    """Return the formats that a dialog which saves landmarks offers, with a DICOM report or not."""
    forms = [form for form in FORMATS if form.write and (report or form is not DICOM_SR)]
    return [_filter_of(form) for form in forms]


def _filter_of(form: LandmarkFormat) -> str:
    return f"{form.name} (*{form.suffix_beside_image})"


def ask_save_template(parent: QWidget, template: Template) -> str:
    """Save a template where the user says; returns the message, empty if not saved.

    An `OneshotError` says if it cannot be written there.
    """
    name = f"{template.name or 'template'}.template"
    path, _ = QFileDialog.getSaveFileName(parent, texts.SAVE_TEMPLATE_TITLE, name)
    if not path:
        return ""
    # The dialog has asked before it lets anybody replace a template; a folder
    # of anything else is never replaced.
    template.save(Path(path), overwrite=is_template(path))
    return texts.TEMPLATE_SAVED.format(path=path)


def ask_set_file(parent: QWidget) -> Path | None:
    """Ask where a set of measurements is to be written; None if nowhere."""
    title, kinds = measure_texts.SET_SAVE_TITLE, measure_texts.SET_FILTER
    path, _ = QFileDialog.getSaveFileName(parent, title, "", kinds)
    if not path:
        return None
    return Path(path) if Path(path).suffix else Path(f"{path}.toml")


def ask_save_landmarks(
    parent: QWidget,
    images: Sequence[Landmarks],
    removed: int = 0,
    files: Sequence[Path | None] = (),
) -> str:
    """Save landmarks where the user says; returns the message, empty if not saved.

    A format that holds one image only gets a file for each, named after it. ``images`` are
    one set per image, of which ``removed`` are of images that are not open any more; ``files``
    are those of the images, where they have one: some formats say more with it.

    An `OneshotError` says if they cannot be written there.
    """
    files = files or [None] * len(images)
    first = stem(images[0].image) if len(images) == 1 else "found"
    kinds = ";;".join(save_filters(report=not any(map(why_no_report, files))))
    path, chosen = QFileDialog.getSaveFileName(
        parent, texts.SAVE_LANDMARKS_TITLE, f"{first}.csv", kinds
    )
    if not path:
        return ""
    if not any(path.lower().endswith(form.suffix) for form in FORMATS):
        # The filter reads "Title (*.extension)".
        path += chosen.partition("*")[2].rstrip(")") or ".csv"
        # The dialog asked about the name without the extension.
        _refuse_existing(Path(path))
    where = path
    if len(images) > 1 and format_to_write(path).one_image:
        where = _save_each(Path(path), images, files)
    else:
        source = files[0] if len(files) == 1 else None
        _write(Path(path), images, source, overwrite=True)
    saved = texts.LANDMARKS_SAVED.format(contents=_contents_of(images), path=where)
    if removed:
        saved += texts.SAVED_REMOVED.format(images=texts.counted(removed, "image"))
    lost = ", ".join(unsupported_fields(path, images))
    left_out = texts.LEFT_OUT.format(path=Path(path).name, things=lost)
    return f"{saved}. {left_out}" if lost else saved


def ask_save_report(parent: QWidget, landmarks: Landmarks, file: Path) -> str:
    """Save a DICOM report on an image file; returns the message, empty if not saved.

    An `OneshotError` says if it cannot be written there.
    """
    name = f"{stem(landmarks.image)}{REPORT_SUFFIX}"
    path, _ = QFileDialog.getSaveFileName(
        parent, texts.SAVE_REPORT_TITLE, name, _filter_of(DICOM_SR)
    )
    if not path:
        return ""
    if not path.lower().endswith(DICOM_SR.suffix):
        path += REPORT_SUFFIX
        # The dialog asked about the name without the extension.
        _refuse_existing(Path(path))
    _write(Path(path), [landmarks], file, overwrite=True)
    return texts.LANDMARKS_SAVED.format(contents=_contents_of([landmarks]), path=path)


def _write(
    path: Path, images: Sequence[Landmarks], source: Path | None, *, overwrite: bool = False
) -> None:
    """Write a landmark file; the libraries of DICOM reports take seconds to load."""
    work = partial(write_landmarks, path, images, overwrite=overwrite, source=source)
    if format_to_write(path) is DICOM_SR:
        off_window(work)
    else:
        work()


def _contents_of(images: Sequence[Landmarks]) -> str:
    """Say how many landmarks of how many images there are, and how they were made."""
    points = [point for landmarks in images for point in landmarks.placed]
    counts = Counter(str(point.source or Source.PLACED) for point in points)
    return texts.SAVED_CONTENTS.format(
        landmarks=texts.counted(len(points), "landmark"),
        images=texts.counted(len(images), "image"),
        sources=", ".join(f"{counts[s]} {s}" for s in map(str, Source) if counts[s]) or "0",
    )


def _save_each(path: Path, images: Sequence[Landmarks], files: Sequence[Path | None]) -> str:
    """Write one file per image into a folder beside the name that the user gave."""
    suffix = format_to_write(path).suffix
    if path.name.lower().endswith(REPORT_SUFFIX):
        # Not named like the images that they are about.
        suffix = REPORT_SUFFIX
    folder = path.with_name(path.name[: -len(suffix)])
    # Two folders may each have an "img.png": they are told apart as the command line does it.
    names = file_names([landmarks.image for landmarks in images], suffix)
    places = [folder / name for name in names]
    for place in places:
        _refuse_existing(place)
    for place, landmarks, file in zip(places, images, files, strict=True):
        _write(place, [landmarks], file)
    return texts.SAVED_EACH.format(images=texts.counted(len(places), "file"), folder=folder)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise OneshotError(texts.EXISTS, file=path, remedy=texts.EXISTS_REMEDY)
