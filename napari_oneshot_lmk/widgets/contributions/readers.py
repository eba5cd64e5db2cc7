"""Landmark files as points layers, over the image that they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView

LayerTuple = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerTuple]] | None:
    """Return a reader if the file is ours, else None; never raises.

    Parameters
    ----------
    path : str or list of str
        What the user opens. Only single files are ours. Many endings here are
        those of other files too, so that the content decides.
    """
    from napari_oneshot_lmk.landmarks.files import holds_landmarks

    if not isinstance(path, str):
        return None
    return read if holds_landmarks(path) else None


def read(path: str) -> list[LayerTuple]:
    """Read a landmark file, one points layer an image.

    A layer lies on its image where that is open. Of a file about many images,
    only those that are open are shown; all of them where none is. The image of a
    file about one is opened with it where it lies beside the file.

    Raises
    ------
    OneshotError
        If the file is damaged; napari shows the sentence.
    """
    from napari.utils.notifications import show_warning

    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.widgets.layers.image_of_file import (
        file_of,
        find_open_image,
        geometry_of,
        image_beside,
        show_image,
    )

    file = Path(path)
    images = read_landmarks(
        file,
        geometry_of=partial(geometry_of, beside=file),
        source_of=partial(file_of, beside=file),
        tell=show_warning,
    )
    alone = len(images) == 1
    opened = [(la, find_open_image(la.image, file, alone)) for la in images]
    if alone and opened[0][1] is None:
        picture = image_beside(images[0].image, file)
        if picture is not None:
            opened = [(images[0], show_image(picture))]
    shown = [pair for pair in opened if pair[1] is not None] or opened
    return [
        _as_layer(landmarks, target, file, visible=number == 0)
        for number, (landmarks, target) in enumerate(shown)
        if landmarks.placed
    ]


def _as_layer(
    landmarks: Landmarks, target: ImageView | None, path: Path, visible: bool
) -> LayerTuple:
    from napari_oneshot_lmk.landmarks.landmarks import Source
    from napari_oneshot_lmk.widgets import texts
    from napari_oneshot_lmk.widgets.layers import points, style
    from napari_oneshot_lmk.widgets.layers.image_of_file import is_only_one
    from napari_oneshot_lmk.widgets.layers.image_view import transform_of

    geometry = landmarks.geometry
    data = points.placed_yx(landmarks)
    transform: dict[str, Any] = {}
    if target is not None:
        data, transform = target.to_layer(data), transform_of(target.layer)
    elif geometry is not None and geometry.spacing_mm_yx is not None:
        transform = {"scale": geometry.spacing_mm_yx, "units": ("mm", "mm")}
    look = style.landmark_style(landmarks, data)
    if target is not None and is_only_one(target, landmarks.image, path):
        # Which of two images of this name it is about, where that can be told.
        about = look["metadata"][points.METADATA]
        about[points.IMAGE_LAYER] = str(target.layer.unique_id)
    result = any(
        p.score is not None or p.source in (Source.DETECTED, Source.CORRECTED) for p in landmarks
    )
    title = texts.FOUND_LAYER if result else texts.ANNOTATION_LAYER
    name = title.format(image=landmarks.image or path.name)
    data = look.pop("data")
    return data, {**look, **transform, "name": name, "visible": visible}, "points"
