"""All images that have landmarks: those of the project, else the open ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
        every = (bench.session.landmarks(target=view) for view in _open(bench))
    return (landmarks for landmarks in every if landmarks.placed)


def page_sources_of_all(bench: Workbench) -> list[PageSource]:
    """Return what another thread needs to write the page of each image."""
    from napari_oneshot_lmk.measure.page_files import PageSource
    from napari_oneshot_lmk.review.pages import page_sources

    if bench.project is not None:
        images = bench.project
        # Every edit is in the project at once.
        return page_sources(images.project, tell=lambda error: images.told.emit(f"{error}."))
    session = bench.session
    return [
        PageSource(
            view.image_name,
            session.landmarks(target=view),
            view.read_pixels(session.spacing_for(view).mm_yx).gray_image,
        )
        for view in _open(bench)
        if session.landmarks(target=view).placed
    ]


def _open(bench: Workbench) -> list[ImageView]:
    return [ImageView(layer) for layer in bench.choice.images if layer.ndim == 2]
