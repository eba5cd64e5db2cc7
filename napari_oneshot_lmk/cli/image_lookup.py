"""The images that a user names beside a landmark file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import print_warning
from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.landmarks.image_names import BySpelling, is_uid

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.imaging.find import ImageFile
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template


class NamedImages:
    """Finds the image file of a set of landmarks, and its geometry.

    An image is found by its name, else by its name without folder, else also
    without the ending of an image. A single image is taken whatever the landmarks call
    theirs, unless both are named by UID: those are two images.

    ``sources`` are files, folders or patterns, if any. ``spacing_mm_yx`` is used instead of
    what the files state. ``advance(done, total)`` is called after each image that was opened.
    """

    def __init__(
        self,
        sources: Sequence[str],
        spacing_mm_yx: tuple[float, float] | None,
        slice_index: int | None,
    ) -> None:
        from napari_oneshot_lmk.imaging.find import find_images

        self._files = find_images(sources) if sources else ()
        self._by_spelling = BySpelling((file.name, file) for file in self._files)
        self._spacing_mm_yx = spacing_mm_yx
        self._slice_index = slice_index
        self.advance: Callable[[int, int], None] = lambda done, total: None
        self._opened: dict[str, Geometry] = {}
        self._said: set[str] = set()

    def file_of(self, image: str) -> ImageFile | None:
        """Return the file of an image, None where none was named.

        A UsageError says if several could be meant.
        """
        found = self._named(image)
        if found is not None or len(self._files) != 1:
            return found
        (only,) = self._files
        return None if is_uid(image) and is_uid(only.name) else only

    def source_of(self, image: str) -> Path | None:
        """Return the path of :meth:`file_of`."""
        file = self.file_of(image)
        return None if file is None else file.path

    def renames(self, image: str) -> str:
        """Return the name of the single image that is taken for one of another name.

        Empty where the landmarks name the image that is taken.
        """
        file = self.file_of(image)
        return "" if file is None or not image or self._named(image) else file.name

    def _named(self, image: str) -> ImageFile | None:
        found = self._by_spelling.find(image)
        if len(found) > 1:
            what = f"{found[0].path} and {found[1].path} could both be the image {image!r}"
            raise UsageError(what, remedy="name only one of them")
        return found[0] if found else None

    def geometry_of(self, image: str) -> Geometry | None:
        """Return the geometry of an image, None where none was named."""
        file = self.file_of(image)
        if file is None:
            return None
        if file.name not in self._opened:
            from napari_oneshot_lmk.imaging.reader import read_image

            image_read = read_image(
                file.path, spacing_mm_yx=self._spacing_mm_yx, slice_index=self._slice_index
            )
            self._opened[file.name] = image_read.geometry
            for note in set(image_read.notes) - self._said:
                # Once, however many photographs of a folder are rotated.
                self._said.add(note)
                print_warning(f"{file.path}: {note}.")
            if len(self._files) > 1:
                self.advance(len(self._opened), len(self._files))
        return self._opened[file.name]

    def on_their_image(self, landmarks: Landmarks) -> Landmarks:
        """Return landmarks with the name and the geometry of their image.

        What the landmark file states of spacing and place goes before what the
        image states, and what the user gave before both. An error says if they were placed
        on an image of another size, or on another one than the single image that is named.
        """
        if len(self._files) == 1 and self.file_of(landmarks.image) is None:
            raise UsageError(
                f"the landmarks are on {landmarks.image!r}, which is another image "
                f"than {self._files[0].name!r}",
                remedy="name the image that they were placed on",
            )
        file = self.file_of(landmarks.image)
        given = self.geometry_of(landmarks.image)
        stated = landmarks.geometry
        geometry = stated or given
        if stated is not None and given is not None:
            if stated.image_shape_yx != given.image_shape_yx:
                sizes = [" x ".join(map(str, g.image_shape_yx)) for g in (stated, given)]
                raise GeometryError(
                    f"the landmarks are on {sizes[0]} pixels, but {file and file.name} "
                    f"has {sizes[1]}",
                    file=landmarks.image,
                    remedy="name the image that they were placed on",
                )
            if stated.spacing_mm_yx is None:
                geometry = given
        if self._spacing_mm_yx is not None:
            if geometry is None:
                raise UsageError(
                    f"--spacing needs the size of image {landmarks.image!r}, which the "
                    "file does not state",
                    remedy="name the image with --image or --images",
                )
            geometry = geometry.with_spacing(self._spacing_mm_yx)
        name = landmarks.image if file is None else file.name
        return replace(landmarks, image=name, geometry=geometry)

    def check_enough(self, images: Sequence[Landmarks]) -> None:
        """Raise a UsageError if a single image is named, but the landmarks are on several."""
        if len(self._files) == 1 and len(images) > 1:
            raise UsageError(
                f"the landmarks are on {len(images)} images, but only "
                f"{self._files[0].name} is named",
                remedy="name the folder of all of them with --images",
            )


def templates_of(
    corrected: Path,
    sources: Sequence[str],
    spacing_mm_yx: tuple[float, float] | None,
    slice_index: int | None,
) -> list[Template]:
    """Make a template of each image in a landmark file, looked for among ``sources``."""
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.landmarks.template import Template

    beside = NamedImages(sources, spacing_mm_yx, slice_index)
    templates = []
    images = read_landmarks(corrected, tell=print_warning)
    beside.check_enough(images)
    for landmarks in images:
        path = beside.source_of(landmarks.image)
        if path is None:
            raise UsageError(
                f"the image {landmarks.image!r} is not among the images",
                file=corrected,
                remedy="say with --corrected-images where the corrected images are",
            )
        image = read_image(path, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index)
        templates.append(Template.create(image, landmarks))
    return templates
