"""All images that have landmarks: those of the project, else the open ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.widgets.image_names import names_apart
from napari_oneshot_lmk.widgets.layers.image_view import ImageView

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.measure.page_files import PageSource
    from napari_oneshot_lmk.widgets.workbench import Workbench


def landmarks_of_all(bench: Workbench) -> Iterator[Landmarks]:
    """Yield the landmarks of each image as they stand."""
    if bench.project is not None:
        images = bench.project
        every = (images.landmarks(key) for key in images.keys)
    else:
        every = _landmarks_of(bench, _open(bench))
    return (landmarks for landmarks in every if landmarks.placed)


def page_sources_of_all(bench: Workbench) -> list[PageSource]:
    """Return what another thread needs to write the page of each image."""
    from napari_oneshot_lmk.measure.page_files import PageSource
    from napari_oneshot_lmk.review.pages import page_sources

    if bench.project is not None:
        images = bench.project
        # Every edit is in the project at once.
        return page_sources(images.project, tell=lambda error: images.told.emit(f"{error}."))
    views = _open(bench)
    return [
        PageSource(
            landmarks.image,
            landmarks,
            view.read_pixels(bench.session.spacing_for(view).mm_yx).gray_image,
        )
        for view, landmarks in zip(views, _landmarks_of(bench, views), strict=True)
        if landmarks.placed
    ]


def _landmarks_of(bench: Workbench, views: list[ImageView]) -> Generator[Landmarks, None, None]:
    """Yield the landmarks of images, each under a name of its own."""
    names = names_apart([(view.image_name, view.path) for view in views])
    for view, name in zip(views, names, strict=True):
        yield replace(bench.session.landmarks(target=view), image=name)


def _open(bench: Workbench) -> list[ImageView]:
    return [ImageView(layer) for layer in bench.choice.images if layer.ndim == 2]
