"""The images of a project: ``project.json``, and where their files lie now."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from napari_oneshot_lmk.errors import OneshotError, ProjectError
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.imaging.formats import read_plane
from napari_oneshot_lmk.imaging.prefetch import prefetch
from napari_oneshot_lmk.landmarks.image_names import spellings
from napari_oneshot_lmk.review.image_files import (
    MOST_FILES,
    distinct_names,
    hash_file,
    place_of,
    relative_path,
    search,
    size_and_mtime,
)
from napari_oneshot_lmk.review.project_files import (
    PROJECT_FILE,
    REMOVED_FOLDER,
    Description,
    ImageEntry,
    RemovedImage,
    Spacing,
    load_description,
    put_back_work,
    save_description,
)

HASHING = 4
"""Threads that read files to be added."""


@dataclass(frozen=True)
class Added:
    """What became of images that were to be added."""

    ids: tuple[str, ...] = ()
    """Of new images."""
    known: tuple[str, ...] = ()
    """Of images that belonged to the project already."""
    failed: tuple[OneshotError, ...] = ()
    """Files that cannot be used."""
    brought_back: Mapping[str, Path] = field(default_factory=dict)
    """Ids of new images that were in the project before -> the file that had been kept of them."""


class ImageIndex:
    """What ``project.json`` says, read again when another process has changed it.

    Parameters
    ----------
    folder : Path
        The project's, absolute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frozen = False
        """Whether no other process may change it."""
        self.places: dict[str, Path] = {}
        """Ids -> files that were found; none of an image that is missing."""
        self._description = Description()
        self._signature: tuple[int, ...] = ()
        self._verified: dict[str, tuple[int, int]] = {}
        self._sought: set[str] = set()

    def check_there(self) -> None:
        """Raise a `ProjectError` if the folder was moved or removed: nothing makes it anew."""
        if not (self.folder / PROJECT_FILE).is_file():
            raise ProjectError(
                "is not there any more",
                file=self.folder,
                remedy="bring the folder or its drive back, or open it where it is now",
            )

    @property
    def description(self) -> Description:
        """The content of ``project.json``."""
        if not self.frozen:
            self.refresh()
        return self._description

    def refresh(self, *, frozen: bool = False) -> None:
        """Read the file if it was changed; a `ProjectError` says if it cannot be."""
        signature = _signature(self.folder / PROJECT_FILE)
        if signature != self._signature or not signature:
            self._take(load_description(self.folder))
            self._signature = signature
        self.frozen = frozen

    def update(self, **changes: Any) -> None:
        """Write the file with other content."""
        description = self._description.model_copy(update=changes)
        save_description(self.folder, description)
        self._signature = _signature(self.folder / PROJECT_FILE)
        self._take(description)

    def entry(self, image_id: str) -> ImageEntry:
        """Return an image by its id."""
        for entry in self.description.images:
            if entry.id == image_id:
                return entry
        raise ProjectError(
            f"there is no image {image_id!r} in it", file=self.folder, remedy="check the name"
        )

    def named(self, text: str) -> ImageEntry:
        """Return the image that a user means by its name, id or path."""
        entries = self.description.images
        path = Path(os.path.normpath(Path(text).expanduser().absolute()))
        for key in spellings():
            fitting = [entry for entry in entries if key(entry.name) == key(text)]
            if not fitting:
                fitting = [e for e in entries if e.id == text or self.places.get(e.id) == path]
            if len(fitting) > 1:
                raise ProjectError(
                    f"{text!r} could be {' or '.join(entry.name for entry in fitting[:3])}",
                    file=self.folder,
                    remedy="name the image with its folder",
                )
            if fitting:
                return fitting[0]
        return self.entry(text)

    def checked_place(self, entry: ImageEntry) -> Path:
        """Return where an image lies, after a look whether its content is the same."""
        path = self.places.get(entry.id)
        known = None if path is None else size_and_mtime(path)
        if path is None or known is None:
            raise ProjectError(
                "is not where it was",
                file=entry.absolute,
                remedy="put it back, or say where it is with oneshot-lmk project locate",
            )
        if known not in ((entry.size, entry.mtime_ns), self._verified.get(entry.id)):
            if known[0] != entry.size or hash_file(path) != entry.sha256:
                raise ProjectError(
                    "has been changed since it was added to the project",
                    file=path,
                    remedy="put the former file back, or add this one under another name",
                )
            self._verified[entry.id] = known
        return path

    def add(
        self,
        sources: Sequence[str | Path],
        slice_index: int | None,
        advance: Callable[[int, int], None],
        has_work: Callable[[str], bool],
        *,
        bring_back: bool,
    ) -> Added:
        """Add images; see `Project.add`."""
        files = find_images(sources)
        entries = {entry.id: entry for entry in self._description.images}
        at = {path: image_id for image_id, path in self.places.items()}
        missing = {e.sha256: e.id for e in entries.values() if e.id not in self.places}
        new: list[str] = []
        known: list[str] = []
        failed: list[OneshotError] = []
        kept = self._kept() if bring_back else {}
        back: dict[str, str] = {}
        number = self._last_number()
        advance(0, len(files))
        describe = partial(_described, slice_index=slice_index)
        hashed = prefetch(files, describe, threads=HASHING, waiting=2 * HASHING)
        for done, (file, about) in enumerate(hashed, start=1):
            advance(done, len(files))
            if isinstance(about, OneshotError):
                failed.append(about)
                continue
            about |= {"relative": relative_path(file.path, self.folder)}
            image_id = at.get(file.path) or missing.pop(about["sha256"], "")
            if image_id:
                old = entries[image_id]
                if old.sha256 != about["sha256"] and has_work(image_id):
                    failed.append(_changed(file.path))
                    continue
                known.append(image_id)
            else:
                number += 1
                image_id = f"{number:04d}"
                old = ImageEntry(id=image_id, name=file.path.name, slice_index=slice_index, **about)
                new.append(image_id)
                if before := kept.pop((about["sha256"], slice_index), None):
                    back[image_id] = before.file
                    about |= {"spacing_mm_yx": before.spacing_mm_yx}
            entries[image_id] = old.model_copy(update=about)
        if new or known:
            names = distinct_names([PurePath(entry.absolute) for entry in entries.values()])
            named = zip(entries.values(), names, strict=True)
            self.update(images=tuple(e.model_copy(update={"name": name}) for e, name in named))
        # Last: what is moved before the image is known would be that of the next one.
        for image_id, name in back.items():
            put_back_work(self.folder, name, image_id)
        places = {i: self.folder / REMOVED_FOLDER / name for i, name in back.items()}
        return Added(tuple(new), tuple(known), tuple(failed), places)

    def remove(self, image_id: str, kept: Path | None) -> None:
        """Take an image out of the list; the others keep their names, and none gets its id.

        ``kept`` is the file with its landmarks, from which they come back with the image.
        """
        left = tuple(entry for entry in self._description.images if entry.id != image_id)
        removed = [e for e in self._kept().values() if kept is None or e.file != kept.name]
        if kept is not None:
            gone = self.entry(image_id).model_dump()
            removed.append(RemovedImage(**gone, file=kept.name))
        self.update(images=left, removed=tuple(removed), last=self._last_number())

    def _kept(self) -> dict[tuple[str, int | None], RemovedImage]:
        """Return content and slice -> the last removed image of it whose landmarks are kept."""
        folder = self.folder / REMOVED_FOLDER
        removed = self._description.removed
        return {(e.sha256, e.slice_index): e for e in removed if (folder / e.file).is_file()}

    def locate(self, folder: Path) -> tuple[str, ...]:
        """Look for images that are missing or have changed; see `Project.locate`."""
        if not folder.is_dir():
            raise ProjectError("is not a folder", file=folder, remedy="check the path")
        lost = [entry for entry in self._description.images if not self._is_there(entry)]
        found = search(lost, folder)
        self._remember(found)
        self.save_places()
        return tuple(found)

    def set_spacing(self, spacing: Spacing | None, ids: set[str] | None) -> None:
        """Keep a spacing, of some images or of all whose files state none."""
        if ids is None:
            self.update(spacing_mm_yx=spacing)
            return
        change = {"spacing_mm_yx": spacing}
        entries = self._description.images
        changed = (e.model_copy(update=change) if e.id in ids else e for e in entries)
        self.update(images=tuple(changed))

    def save_places(self) -> None:
        """Remember where images were found, so that they need not be looked for again."""
        entries = []
        for entry in self._description.images:
            path = self.places.get(entry.id)
            known = None if path is None else size_and_mtime(path)
            if path is None or known is None:
                entries.append(entry)
                continue
            if known in ((entry.size, entry.mtime_ns), self._verified.get(entry.id)):
                about = {
                    "absolute": path.as_posix(),
                    "relative": relative_path(path, self.folder),
                    "mtime_ns": known[1],
                }
                entry = entry.model_copy(update=about)
            entries.append(entry)
        if tuple(entries) != self._description.images:
            self.update(images=tuple(entries))

    # -- inside --------------------------------------------------------------------

    def _last_number(self) -> int:
        numbers = (int(entry.id) for entry in self._description.images if entry.id.isdigit())
        return max(self._description.last, *numbers, 0)

    def _take(self, description: Description) -> None:
        self._description = description
        before, self.places = self.places, {}
        for entry in description.images:
            path = place_of(entry, self.folder)
            if path is not None:
                self.places[entry.id] = path
            if not self._is_there(entry) and entry.id in before:
                self.places[entry.id] = before[entry.id]
        lost = [e for e in description.images if not self._is_there(e)]
        # Once: what was not found beside the project is not there a moment later either.
        sought = [entry for entry in lost if entry.id not in self._sought]
        if sought:
            self._sought |= {entry.id for entry in sought}
            self._remember(search(sought, self.folder.parent, MOST_FILES))

    def _is_there(self, entry: ImageEntry) -> bool:
        path = self.places.get(entry.id)
        known = None if path is None else size_and_mtime(path)
        return known is not None and known[0] == entry.size

    def _remember(self, found: dict[str, Path]) -> None:
        for image_id, path in found.items():
            known = size_and_mtime(path)
            if known is not None:
                self.places[image_id] = path
                self._verified[image_id] = known


def _signature(path: Path) -> tuple[int, ...]:
    """Change with every file that is put there; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _described(file: ImageFile, slice_index: int | None) -> dict[str, Any]:
    """Return what a project keeps of a file, but its name and relative path.

    An `OneshotError` says if it is no image, or cannot be read.
    """
    path = file.path
    try:
        path.as_posix().encode("utf-8")
    except UnicodeEncodeError as error:
        what = "its name is not text, and cannot be kept"
        raise ProjectError(what, file=repr(str(path)), remedy="rename the file") from error
    known = size_and_mtime(path)
    digest = hash_file(path)
    read_plane(path, slice_index)
    if known is None:
        raise ProjectError("is gone", file=path, remedy="check the path")
    return {"absolute": path.as_posix(), "sha256": digest, "size": known[0], "mtime_ns": known[1]}


def _changed(path: Path) -> ProjectError:
    return ProjectError(
        "has been changed since it was added, and has landmarks already",
        file=path,
        remedy="put the former file back, or add this one under another name",
    )
