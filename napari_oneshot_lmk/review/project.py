"""A project: one folder with all that is needed to review the landmarks of many images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from napari_oneshot_lmk.errors import GeometryError, OneshotError, ProjectError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.learnt import LEARNT_FILE, Learnt, save_learnt
from napari_oneshot_lmk.review.project_files import (
    IMAGES_FOLDER,
    REMOVED_FOLDER,
    TEMPLATE_FOLDER,
    Description,
    Edit,
    ImageEntry,
    ImageWork,
    Spacing,
    keep_removed,
    load_work,
    save_description,
    save_work,
    work_content,
    work_file,
    work_from_content,
)
from napari_oneshot_lmk.review.project_folder import (
    ProjectFolder,
    ProjectImage,
    check_free,
    copy_model,
)
from napari_oneshot_lmk.review.status import ImageStatus, ReviewState, decided_landmarks, status_of
from napari_oneshot_lmk.storage.atomic import atomic_write

__all__ = ["Edit", "ImageWork", "Project", "ProjectImage"]

Tell = Callable[[OneshotError], None]
"""Takes the error of an image that is left out."""


class Project(ProjectFolder):
    """Template, images, landmarks, corrections and model of a study, in one folder.

    Made by `create` or `open`. Anybody may read it at any time; the first call that writes
    makes this process the only one that may, until `close`. Every call that writes has written
    when it returns, whole or not at all. The images stay where they are.

    Examples
    --------
    >>> with Project.open("study") as project:  # doctest: +SKIP
    ...     for image in project.images:
    ...         print(image.name, project.work(image.id).landmarks)
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._stated: dict[str, Spacing | None] = {}

    @classmethod
    def create(
        cls,
        folder: str | Path,
        template: Template,
        images: Sequence[str | Path] = (),
        model: str | Path | None = None,
        reader: str = "",
    ) -> Project:
        """Make a new project.

        Parameters
        ----------
        folder : str or Path
            That does not exist yet, or is empty.
        template : Template
            It is copied into the project.
        images : sequence of str or Path
            Files, folders and patterns, as for `find_images`.
        model : str or Path, optional
            A trained run, a model's folder or a bundle; it is copied into the project.
        reader : str
            Who works on it, where nobody else is named.

        Raises
        ------
        OneshotError
            If the folder holds something, or the model cannot be used; then nothing is made.
            If an image cannot be used; then the project is there, with the others.
        """
        folder = Path(folder).expanduser().absolute()
        check_free(folder)
        with atomic_write(folder, folder=True) as partial:
            (partial / IMAGES_FOLDER).mkdir()
            template.save(partial / TEMPLATE_FOLDER)
            name = "" if model is None else copy_model(Path(model), partial)
            save_description(partial, Description(created=_now(), reader=reader, model=name))
        project = cls(folder)
        if images:
            for error in project.add(images).failed:
                project.close()
                raise error
        return project

    @classmethod
    def open(cls, folder: str | Path, *, writing: bool = False) -> Project:
        """Open a project, at once as the only process that writes if ``writing``.

        A `ProjectError` says if the folder holds none, it is damaged or of a newer version, or
        who else is writing.
        """
        project = cls(folder)
        project._index.refresh()
        if writing:
            project.lock()
        return project

    # -- one image -----------------------------------------------------------------

    def read(self, image_id: str) -> GrayImage:
        """Read an image, with the project's spacing where its file states none.

        Raises
        ------
        ProjectError
            If it is missing, or is not the one that was added any more.
        OneshotError
            If it cannot be read.
        """
        entry = self._index.entry(image_id)
        path = self._index.checked_place(entry)
        try:
            image = read_image(path, slice_index=entry.slice_index)
            self._stated[image_id] = image.geometry.spacing_mm_yx
        except GeometryError:
            # The spacing in the file makes no sense: one that the user gave is taken.
            if entry.spacing_mm_yx is None:
                raise
            given = entry.spacing_mm_yx
            image = read_image(path, spacing_mm_yx=given, slice_index=entry.slice_index)
            self._stated[image_id] = None
        stated = image.geometry.spacing_mm_yx
        spacing = self._spacing(entry, stated)
        return image if spacing == stated else image.with_spacing(spacing)

    def work(self, image_id: str) -> ImageWork:
        """Return the landmarks of an image, and what was done with them.

        A `ProjectError` says if the image's file in the project is damaged.
        """
        return self._as_known(image_id, load_work(work_file(self.folder, image_id)))

    def record(
        self,
        image_id: str,
        landmarks: Landmarks,
        *,
        action: str,
        reader: str = "",
        detected: Landmarks | None = None,
        detected_by: str = "",
    ) -> ImageWork:
        """Keep the landmarks of an image as they are after an edit.

        Parameters
        ----------
        image_id : str
        landmarks : Landmarks
            All of the image.
        action : str
            What was done, in a word.
        reader : str
            Who did it, by default the project's.
        detected : Landmarks, optional
            What a detection has found, where the edit is one.
        detected_by : str
            Hash of that detector.

        Raises
        ------
        ProjectError
            If the image's file in the project is damaged, or another process is writing.
        OutputError
            If it cannot be written.
        """
        self.lock()
        self._index.check_there()
        entry = self._index.entry(image_id)
        before = self.work(image_id)
        changed = _changed(before.landmarks, landmarks)
        edit = Edit(_now(), reader or self.reader, action, changed)
        work = ImageWork(
            landmarks,
            before.detected if detected is None else detected,
            (*before.edits, edit),
            before.detected_by if detected is None else detected_by,
            self._stated_spacing(entry, landmarks, before),
        )
        save_work(work_file(self.folder, image_id), work)
        return self.work(image_id)

    def remove(self, image_id: str, *, force: bool = False) -> Path | None:
        """Take an image out of the project; its file stays where it is.

        Parameters
        ----------
        image_id : str
        force : bool
            Also where a person has decided on landmarks.

        Returns
        -------
        Path or None
            The file with its landmarks and edits, which is kept in the project's folder
            ``removed``; None where there are none.

        Raises
        ------
        ProjectError
            If a person has decided on landmarks, and ``force`` is not given.
        OutputError
            If the folder cannot be written.
        """
        self.lock()
        self._index.check_there()
        entry = self._index.entry(image_id)
        if not force and status_of(self.work(image_id).landmarks, None).state in _REVIEWED:
            raise ProjectError(
                "has landmarks that a person has placed, corrected or accepted",
                file=entry.name,
                remedy=f"remove it with --force; the project keeps them in {REMOVED_FOLDER}/",
            )
        # First: another image that is added must not find the work of this one.
        kept = keep_removed(self.folder, image_id, entry.name)
        self._index.remove(image_id, kept)
        return kept

    # -- many images ---------------------------------------------------------------

    def works(
        self, ids: Iterable[str] | None = None, tell: Tell | None = None
    ) -> Iterator[tuple[ProjectImage, ImageWork]]:
        """Yield images with what was done on them.

        Parameters
        ----------
        ids : iterable of str, optional
            By default all images.
        tell : callable, optional
            Is given the error of an image whose file is damaged, which is left out. Without
            it the error is raised.
        """
        for image in self.images if ids is None else [self.image(each) for each in ids]:
            try:
                work = self.work(image.id)
            except ProjectError as error:
                if tell is None:
                    raise
                tell(error)
                continue
            yield image, work

    def statuses(self, tell: Tell | None = None) -> dict[str, ImageStatus]:
        """Return ids -> how far each image is; ``tell`` as in `works`."""
        works = self.works(tell=tell)
        return {image.id: status_of(work.landmarks, self.template) for image, work in works}

    def corrected(
        self, tell: Tell | None = None, ids: Iterable[str] | None = None
    ) -> Iterator[tuple[str, Template]]:
        """Yield ids and templates of the images on which a person has placed or accepted points.

        Only these points are in them. ``ids`` and ``tell`` as in `works`; images that cannot be
        read are told, too.
        """
        for image, work in self.works(ids, tell):
            status = status_of(work.landmarks, self.template)
            if work.landmarks is None or status.state not in _REVIEWED:
                continue
            landmarks = decided_landmarks(work.landmarks)
            if not landmarks.placed:
                continue
            try:
                template = Template.create(self.read(image.id), landmarks)
            except OneshotError as error:
                if tell is None:
                    raise
                tell(error)
            else:
                yield image.id, template

    def corrected_templates(self, tell: Tell | None = None) -> list[Template]:
        """Return the templates of `corrected`."""
        return [template for _, template in self.corrected(tell)]

    # -- what was learnt from them -------------------------------------------------

    def set_learnt(self, learnt: Learnt | None, ids: Iterable[str] = ()) -> None:
        """Keep what was learnt, and these images as they are now; None forgets all of it.

        See `review.learn`, which does both whole.
        """
        self.lock()
        self._index.check_there()
        if learnt is not None:
            before = {i: work_content(load_work(work_file(self.folder, i))) for i in ids}
            learnt = learnt.model_copy(update={"time": _now(), "before": before})
        save_learnt(self.folder, learnt)

    def works_before_learning(self) -> dict[str, ImageWork]:
        """Return ids -> the work on images before they were detected with what was learnt."""
        learnt = self.learnt
        if learnt is None:
            return {}
        path = self.folder / LEARNT_FILE
        works = {i: work_from_content(content, path) for i, content in learnt.before.items()}
        return {i: self._as_known(i, work) for i, work in works.items()}

    def put_back(self, image_id: str, work: ImageWork, *, action: str = "forget") -> None:
        """Keep the work on an image as it was before, as one more edit."""
        self.lock()
        self._index.check_there()
        before = self.work(image_id)
        edit = Edit(_now(), self.reader, action, _changed(before.landmarks, work.landmarks))
        save_work(work_file(self.folder, image_id), replace(work, edits=(*before.edits, edit)))

    def export(
        self,
        path: str | Path,
        ids: Iterable[str] | None = None,
        *,
        overwrite: bool = False,
        tell: Tell | None = None,
    ) -> int:
        """Write the landmarks of all images, or of some, to one landmark file.

        The format goes by the end of the name, see `write_landmarks`. Images without landmarks
        are left out. Returns the number of images written.
        """
        works = [each for each in self.works(ids, tell) if each[1].landmarks is not None]
        if not works:
            raise ProjectError(
                "no image has landmarks yet", file=self.folder, remedy="detect them first"
            )
        sets = [work.landmarks for _, work in works if work.landmarks is not None]
        source = works[0][0].path if len(works) == 1 else None
        write_landmarks(path, sets, overwrite=overwrite, source=source)
        return len(sets)

    # -- inside --------------------------------------------------------------------

    def _as_known(self, image_id: str, work: ImageWork) -> ImageWork:
        """Give landmarks of a file the name and spacing that their image has now."""
        entry = self._index.entry(image_id)
        landmarks, detected = (
            None if each is None else replace(each, image=entry.name)
            for each in (work.landmarks, work.detected)
        )
        work = replace(work, landmarks=landmarks, detected=detected)
        return work.with_spacing(self._spacing(entry, work.stated_spacing_mm_yx))

    def _spacing(self, entry: ImageEntry, stated: Spacing | None) -> Spacing | None:
        return entry.spacing_mm_yx or stated or self.spacing_mm_yx

    def _stated_spacing(
        self, entry: ImageEntry, landmarks: Landmarks, before: ImageWork
    ) -> Spacing | None:
        """Return what the image's file states, as far as is known."""
        if entry.id in self._stated:
            return self._stated[entry.id]
        said = {entry.spacing_mm_yx, self.spacing_mm_yx} - {None}
        if landmarks.geometry is not None and landmarks.geometry.spacing_mm_yx not in said:
            return landmarks.geometry.spacing_mm_yx
        return before.stated_spacing_mm_yx


_REVIEWED = (ReviewState.CORRECTED, ReviewState.ACCEPTED)


def _changed(before: Landmarks | None, after: Landmarks | None) -> tuple[str, ...]:
    old, new = ({} if x is None else {p.name: p for p in x} for x in (before, after))
    return tuple(n for n in (*new, *(set(old) - set(new))) if old.get(n) != new.get(n))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
