"""A project's folder: which template, images and model belong to it, and who may write."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from napari_oneshot_lmk.encoders.encoder import EncoderCard
from napari_oneshot_lmk.errors import OutputError, ProjectError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.image_files import size_and_mtime
from napari_oneshot_lmk.review.learnt import TUNING_FOLDER, Learnt, load_learnt
from napari_oneshot_lmk.review.project_files import (
    TEMPLATE_FOLDER,
    DetectedWith,
    ImageEntry,
    Spacing,
    is_project,
    work_file,
)
from napari_oneshot_lmk.review.project_index import Added, ImageIndex
from napari_oneshot_lmk.review.project_lock import hold_project
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.run_folder import RunFolder


@dataclass(frozen=True)
class ProjectImage:
    """One image of a project."""

    id: str
    name: str
    """In tables: the file's name, or the end of its path where names repeat."""
    path: Path | None
    """Where it lies now; None if it was not found."""
    sha256: str
    """Of the file's content when it was added."""
    spacing_mm_yx: Spacing | None
    """Millimetres per pixel (row, column) that the user gave for it alone."""
    changed: bool
    """Whether the file at ``path`` has another size than the one that was added."""


class ProjectFolder:
    """All of a `Project` but what is done on its images."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self._index = ImageIndex(self.folder)
        self._held: ExitStack | None = None

    def lock(self) -> None:
        """Become the only process that writes; a `ProjectError` says who else is.

        What others have written before is read anew.
        """
        if self._held is None:
            with ExitStack() as stack:
                stack.enter_context(hold_project(self.folder))
                self._index.refresh(frozen=True)
                self._held = stack.pop_all()

    def close(self) -> None:
        """Let other processes write."""
        if self._held is not None:
            with self._held:
                self._held = None
                self._index.save_places()
                self._index.frozen = False

    def __enter__(self) -> Self:
        """Return the project; it is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    # -- what belongs to it --------------------------------------------------------

    @cached_property
    def template(self) -> Template:
        """The annotated image; a `TemplateError` says if it is damaged."""
        return Template.load(self.folder / TEMPLATE_FOLDER)

    @property
    def own_model(self) -> Path | None:
        """Folder of the trained model as it was put in; None where there is none."""
        name = self._index.description.model
        return self.folder / name if name else None

    @property
    def learnt(self) -> Learnt | None:
        """How detections are helped by corrected images; None where nothing was learnt.

        A `ProjectError` says if the file is damaged.
        """
        learnt = load_learnt(self.folder)
        return learnt and learnt.without_removed({image.id for image in self.images})

    @property
    def model(self) -> Path | None:
        """Folder of the trained model that detects, for `load_model`; None where there is none.

        That is the project's own model, or a fine-tuned one that it has learnt.
        """
        learnt = self.learnt
        if learnt is None or not learnt.tuned:
            return self.own_model
        return RunFolder(self.folder / TUNING_FOLDER / learnt.tuned).model_path

    @property
    def detected_with(self) -> DetectedWith | None:
        """The encoder of the last detection without a trained model; None before the first."""
        return self._index.description.encoder

    @property
    def reader(self) -> str:
        """Who works on it, where nobody else is named."""
        return self._index.description.reader

    @property
    def spacing_mm_yx(self) -> Spacing | None:
        """Millimetres per pixel (row, column) of images whose files state none."""
        return self._index.description.spacing_mm_yx

    @property
    def images(self) -> tuple[ProjectImage, ...]:
        """All images, in the order in which they were added."""
        return tuple(self._image(entry) for entry in self._index.description.images)

    def image(self, image_id: str) -> ProjectImage:
        """Return an image by its id; a `ProjectError` says if there is none."""
        return self._image(self._index.entry(image_id))

    def named(self, text: str) -> ProjectImage:
        """Return the image that a user means by its name, id or path.

        A name may lack folders and the file's ending where only one image fits. A
        `ProjectError` says if none or several do.
        """
        return self._image(self._index.named(text))

    def check_place(self, image_id: str) -> None:
        """Raise a `ProjectError` if an image is missing, or is not the one that was added."""
        self._index.checked_place(self._index.entry(image_id))

    def add(
        self,
        sources: Sequence[str | Path],
        *,
        slice_index: int | None = None,
        bring_back: bool = False,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> Added:
        """Add images; those that belong to the project already stay as they are.

        Parameters
        ----------
        sources : sequence of str or Path
            Files, folders and patterns, as for `find_images`.
        slice_index : int, optional
            Slice or frame of volumes, from 0.
        bring_back : bool
            Whether one that was removed, by its content, has its landmarks and edits again.
        advance : callable
            Called with how many files were looked at, and how many there are.

        Returns
        -------
        Added
            Ids of new and known images, the errors of files that cannot be used, and whose
            landmarks have come back.

        Raises
        ------
        UsageError
            If a source does not exist, or there is no image in any.
        """
        self.lock()
        return self._index.add(sources, slice_index, advance, self._has_work, bring_back=bring_back)

    def locate(self, folder: str | Path) -> tuple[str, ...]:
        """Look for images that were not found or have changed, by name and content.

        Returns the ids of those that lie in the folder or a subfolder; the project remembers
        where.
        """
        self.lock()
        return self._index.locate(Path(folder).expanduser().absolute())

    def set_spacing(self, mm_yx: float | Spacing | None, ids: Iterable[str] | None = None) -> None:
        """Say the pixel spacing, in mm (row, column); None takes it back.

        Without ``ids`` it is that of all images whose files state none. With ``ids`` it is
        that of these images, whatever their files state. Landmarks that are there already
        follow.
        """
        spacing = checked_spacing(mm_yx)
        self.lock()
        chosen = None if ids is None else {self._index.entry(each).id for each in ids}
        self._index.set_spacing(spacing, chosen)

    def remember_encoder(self, card: EncoderCard) -> None:
        """Keep which encoder detects without a trained model, so that the next one is the same."""
        self.lock()
        about = DetectedWith(identity=card.identity, title=card.title, origin=card.origin)
        if about != self._index.description.encoder:
            self._index.update(encoder=about)

    def set_model(self, model: str | Path) -> None:
        """Use another trained model from now on; it is copied into the project.

        A `ProjectError` says if the project detects with a fine-tuned one.
        """
        self.lock()
        if self.model != self.own_model:
            raise ProjectError(
                "detects with a fine-tuned model",
                file=self.folder,
                remedy="forget what was learnt first (oneshot-lmk project learn --forget)",
            )
        before = self.own_model
        self._index.update(model=copy_model(Path(model), self.folder))
        if before is not None:
            shutil.rmtree(before)

    # -- inside --------------------------------------------------------------------

    def _image(self, entry: ImageEntry) -> ProjectImage:
        path = self._index.places.get(entry.id)
        known = None if path is None else size_and_mtime(path)
        return ProjectImage(
            entry.id,
            entry.name,
            None if known is None else path,
            entry.sha256,
            entry.spacing_mm_yx,
            known is not None and known[0] != entry.size,
        )

    def _has_work(self, image_id: str) -> bool:
        return work_file(self.folder, image_id).exists()


def check_free(folder: Path) -> None:
    """Raise an `OutputError` if a new project cannot go there, because something is there."""
    if is_project(folder):
        remedy = "add images to it with oneshot-lmk project add, or choose another name"
        raise OutputError("exists already, and is a project", file=folder, remedy=remedy)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError("exists already", file=folder, remedy="choose another name")


def copy_model(source: Path, folder: Path) -> str:
    """Check a model and copy it into a project's folder; return the copy's name."""
    from napari_oneshot_lmk.bundle.layout import is_bundle
    from napari_oneshot_lmk.bundle.load import load_model
    from napari_oneshot_lmk.detection.model import model_folder

    load_model(source)
    content = source if is_bundle(source) else model_folder(source)
    taken = {path.name for path in folder.iterdir()}
    name = next(n for n in ("model", *(f"model-{i}" for i in range(2, 1000))) if n not in taken)
    with atomic_write(folder / name, folder=True) as partial:
        shutil.copytree(content, partial, dirs_exist_ok=True)
    return name
