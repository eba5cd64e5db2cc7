"""*File > Open Sample*: generated radiographs with an annotated template.

Each sample opens the template image with its landmarks, and a few images on
which they can be detected.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.dataset import Dataset

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
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.samples import sample_folder
    from napari_oneshot_lmk.widgets import texts
    from napari_oneshot_lmk.widgets.layers import points, style

    data_set = Dataset.load(sample_folder(anatomy))
    layers = [_image(_read(data_set, name), visible=False) for name in data_set.test[:OTHER_IMAGES]]
    image = _read(data_set, data_set.template_image)
    landmarks = data_set.truth[data_set.template_image]
    layers.append(_image(image, visible=True))
    look = style.landmark_style(landmarks, points.placed_yx(landmarks))
    data = look.pop("data")
    name = texts.SAMPLE_LANDMARKS.format(image=landmarks.image)
    layers.append((data, {**look, **_transform(image), "name": name}, "points"))
    return layers


def _read(data_set: Dataset, name: str) -> GrayImage:
    """Read one of the shipped images: grey PNG and DICOM files that we wrote.

    Not as a user's image is read: that imports PyTorch, and napari waits for a sample
    in the window's thread. What both read is the same.
    """
    import SimpleITK

    from napari_oneshot_lmk.imaging.image import GrayImage

    path = data_set.file_of(name).path
    pixels = np.squeeze(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    return GrayImage.from_array(pixels, data_set.spacing_mm_yx(name), path.name)


def _image(image: GrayImage, visible: bool) -> LayerTuple:
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


def _transform(image: GrayImage) -> dict[str, Any]:
    spacing = image.geometry.spacing_mm_yx
    return {} if spacing is None else {"scale": spacing, "units": ("mm", "mm")}
