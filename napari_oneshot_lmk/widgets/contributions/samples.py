"""*File > Open Sample*: an annotated template, and images on which to detect its landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.contributions.readers import LayerTuple
from napari_oneshot_lmk.widgets.layers import points, style
from napari_oneshot_lmk.widgets.layers.image_view import scale_of

OTHER_IMAGES = 3
"""Beside the template: enough to try "all images", few enough to look at."""


def skull() -> list[LayerTuple]:
    """Open lateral skulls with 19 landmarks on the template."""
    return sample("skull")


def hand() -> list[LayerTuple]:
    """Open hands with 37 landmarks on the template."""
    return sample("hand")


def sample(anatomy: str) -> list[LayerTuple]:
    """Return hidden images, then the template's image, then its landmarks."""
    dataset = Dataset.load(sample_folder(anatomy))
    layers = [_image(_read(dataset, name), False) for name in dataset.test[:OTHER_IMAGES]]
    image = _read(dataset, dataset.template_image)
    landmarks = dataset.truth[dataset.template_image]
    look = style.landmark_style(landmarks, points.placed_yx(landmarks))
    name = texts.SAMPLE_LANDMARKS.format(image=landmarks.image)
    marks = (look.pop("data"), {**look, **scale_of(image.geometry), "name": name}, "points")
    return [*layers, _image(image, True), marks]


def _read(dataset: Dataset, name: str) -> GrayImage:
    """Read a shipped image, a grey PNG or DICOM file, without importing PyTorch.

    napari waits for a sample in the window's thread, and the reader of a user's images
    would import it. The pixels are the same.
    """
    import SimpleITK

    path = dataset.file_of(name).path
    pixels = np.squeeze(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    return GrayImage.from_array(pixels, dataset.spacing_mm_yx(name), path.name)


def _image(image: GrayImage, visible: bool) -> LayerTuple:
    look = {"name": Path(image.name).name, "colormap": "gray", "visible": visible}
    return image.pixels, {**scale_of(image.geometry), **look}, "image"
