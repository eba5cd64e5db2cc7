"""The images of a run: looked at before each training, and the same ones always."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.events import Event, Noted, Preparing
from napari_oneshot_lmk.training.images import TrainingSet
from napari_oneshot_lmk.training.images_table import read_images, write_images
from napari_oneshot_lmk.training.inspection import Inspection
from napari_oneshot_lmk.training.run import RunFolder

NAMED_AT_MOST = 5


def inspected(
    run: RunFolder,
    files: Sequence[ImageFile],
    template: Template,
    spacing_mm_yx: tuple[float, float] | None,
    should_stop: Callable[[], bool],
) -> Generator[Event, None, TrainingSet | None]:
    """Read all images once, and record them or compare them with the record.

    Parameters
    ----------
    run : RunFolder
        Taken up by this process.
    files : sequence of ImageFile
        What the user named.
    template : Template
        Images that show it again are left out.
    spacing_mm_yx : pair of float, optional
        Overrides what the files say.
    should_stop : callable
        Asked before each image.

    Yields
    ------
    Event
        How far it is, then what a user should know of the images.

    Returns
    -------
    TrainingSet or None
        The images of the run; None if asked to stop.

    Raises
    ------
    UsageError
        If no image can be used.
    ImageError
        If images of the run are gone or have changed.
    """
    inspection = Inspection(template, spacing_mm_yx)
    for done, image in enumerate(files, start=1):
        if should_stop():
            return None
        inspection.look_at(image)
        yield Preparing("files", done, len(files))
    images = inspection.result()
    for failed in images.failed:
        yield Noted(f"Left out: {failed}", serious=True)
    for warning in images.warnings:
        yield Noted(warning, serious=True)
    if not run.images_path.exists():
        write_images(run.images_path, images.usable)
        return images
    recorded = read_images(run.images_path)
    if changed := images.changed_since(recorded):
        raise ImageError(
            f"these images are gone or have changed since the training began: {_listed(changed)}",
            file=run.path,
            remedy="put the earlier ones back, or begin anew with --overwrite",
        )
    names = [image.name for image in recorded]
    if added := [image.name for image in images.usable if image.name not in names]:
        yield Noted(
            f"Not part of this training, which began without: {_listed(added)}", serious=True
        )
    return images.only(names)


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{first} and {more} more" if more > 0 else first
