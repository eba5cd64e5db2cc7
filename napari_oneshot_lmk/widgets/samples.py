"""*File > Open Sample*: generated radiographs with an annotated template.

Each sample opens the template image with its landmarks, and a few images on
which they can be detected.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.radiograph import Radiograph

LayerTuple = tuple[Any, dict[str, Any], str]

OTHER_IMAGES = 3
"""Beside the template: enough to try "all images", few enough to look at."""


def skull() -> list[LayerTuple]:
    """Open lateral skulls with 19 landmarks on the template."""
    return sample("skull")


def hand() -> list[LayerTuple]:
    """Open hands with 37 landmarks on the template."""
    return sample("hand")


def sample(anatomy: str) -> list[LayerTuple]:
    """Open one of the shipped samples.

    Parameters
    ----------
    anatomy : str
        "skull" or "hand".

    Returns
    -------
    list of layer data tuples
        Hidden images, then the template's image, then its landmarks.
    """
    from napari_oneshot_lmk.benchmark.dataset import Dataset
    from napari_oneshot_lmk.imaging.reader import read_radiograph
    from napari_oneshot_lmk.phantoms.samples import sample_folder
    from napari_oneshot_lmk.widgets import looks, points, words

    data_set = Dataset.load(sample_folder(anatomy))
    layers = [
        _image(
            read_radiograph(
                data_set.file_of(name).path,
                spacing_mm_yx=data_set.spacing_mm_yx(name),
            ),
            visible=False,
        )
        for name in data_set.test[:OTHER_IMAGES]
    ]
    template = data_set.template()
    image, landmarks = template.image, template.landmarks
    layers.append(_image(image, visible=True))
    look = looks.landmark_look(landmarks, points.placed_yx(landmarks))
    data = look.pop("data")
    name = words.SAMPLE_LANDMARKS.format(image=landmarks.image)
    layers.append((data, {**look, **_transform(image), "name": name}, "points"))
    return layers


def _image(image: Radiograph, visible: bool) -> LayerTuple:
    return (
        image.pixels,
        {
            **_transform(image),
            "name": Path(image.name).name,
            "colormap": "gray",
            "visible": visible,
        },
        "image",
    )


def _transform(image: Radiograph) -> dict[str, Any]:
    spacing = image.geometry.spacing_mm_yx
    return {} if spacing is None else {"scale": spacing, "units": ("mm", "mm")}
