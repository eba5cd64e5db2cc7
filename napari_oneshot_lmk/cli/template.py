"""``oneshot-lmk template``: joins an image and its landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from napari_oneshot_lmk.cli.console import print_json, print_line, print_warning
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Overwrite,
    Slice,
    SpacingText,
    option,
    spacing_from,
)
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.files import endings_in_words

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


@handle_errors
def make_template(
    image: Annotated[Path, option("FILE", "The annotated image.")],
    landmarks: Annotated[
        Path,
        option(
            "FILE",
            "Its landmarks: a table with the columns image, landmark, x_px and y_px, or any "
            f"other landmark file ({endings_in_words()}).",
        ),
    ],
    out: Annotated[Path, option("FOLDER", "The template to write.")],
    spacing: SpacingText = None,
    slice_index: Slice = None,
    name: Annotated[str, option(None, "Of the template; else that of the folder.")] = "",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a template from one image and its landmarks."""
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.storage.atomic import check_writable

    spacing_mm_yx = spacing_from(spacing)
    check_writable(out, overwrite=overwrite)
    grey_image = read_image(image, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index)
    points = _landmarks_of(grey_image, landmarks)
    template = Template.create(grey_image, points, name=name or out.resolve().name)
    template.save(out, overwrite=overwrite)
    known = template.image.geometry.spacing_mm_yx
    source = grey_image.spacing_source
    for note in grey_image.notes:
        print_warning(f"{image}: {note}.")
    placed = len(template.landmarks.placed)
    if as_json:
        print_json(
            {
                "template": str(out),
                "name": template.name,
                "image": grey_image.name,
                "landmarks": list(template.landmarks.names),
                "placed": placed,
                "spacing_mm_yx": known,
                "spacing_source": source and str(source),
                "notes": list(grey_image.notes),
                "content_sha256": template.content_sha256,
            }
        )
        return
    shown = (
        f"{known[0]:g} x {known[1]:g} mm a pixel{f' ({source.explained})' if source else ''}"
        if known
        else "pixel spacing unknown (give --spacing for millimetres)"
    )
    print_line(f"{out}: {placed} landmarks on {grey_image.name}, {shown}")


def _landmarks_of(grey_image: GrayImage, path: Path) -> Landmarks:
    """Read a landmark file and take the landmarks of this image."""
    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.landmarks.lookup import find_image

    images = read_landmarks(
        path, geometry=grey_image.geometry, tell=print_warning, source=grey_image.path
    )
    found = find_image(images, grey_image.name)
    # A markups file often does not say which image it belongs to.
    if found is None and len(images) == 1 and not images[0].image:
        found = images[0]
    if found is None:
        names = ", ".join(landmarks.image for landmarks in images[:3])
        more = ", …" if len(images) > 3 else ""
        what = f"holds landmarks of {names}{more}, but none of {grey_image.name}"
        raise UsageError(what, file=path, remedy="write the image's file name in the image column")
    return found
