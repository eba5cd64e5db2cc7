"""How similar each place is to a landmark: where the maps lie on the image."""

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.similarity_maps import SimilarityMaps
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.samples import sample_folder


def test_values_are_interpolated_on_the_image_s_own_grid():
    geometry = Geometry((200, 100), network_shape_yx=(50, 50))
    rows, columns = np.indices((25, 25), dtype=np.float32)
    maps = SimilarityMaps(("a", "b"), np.stack([rows + columns, rows]), geometry)
    patch = maps.around("b", (100.0, 50.0), (41, 21), 41)
    # A cell is 8 rows of the image: cell 12 is centred on row 99.5, and 12 is the median.
    expected = ((np.arange(41) - 20 + 100 - 99.5) / 8).clip(0) / 12
    assert patch == pytest.approx(np.tile(expected[:, None], 41))


def test_outside_the_image_there_is_nothing():
    maps = SimilarityMaps(("a",), np.zeros((1, 10, 10), np.float32), Geometry((40, 60)))
    patch = maps.around("a", (0.0, 58.0), (9, 9), 9)
    nothing = np.isnan(patch)
    assert nothing[:4].all()
    assert nothing[:, 6:].all()
    assert not nothing[4:, :6].any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_most_similar_places_of_a_sample_are_near_its_landmarks(mirrored):
    folder = sample_folder("skull")
    truth = Dataset.load(folder).truth
    images = {n: read_image(folder / "images" / f"skull_{n:02d}.png") for n in (2, 5)}
    detector = Detector.instant(
        Template.create(images[2], truth["skull_02.png"]),
        encoder=shipped_encoder(torch.device("cpu")),
    )
    with pytest.raises(ValueError, match="set_image"):
        detector.similarity_maps()
    image = images[5]
    if mirrored:
        image = GrayImage.from_array(image.pixels[:, ::-1], image.geometry.spacing_mm_yx)
    detector.set_image(image)
    maps = detector.similarity_maps()
    assert maps.names == truth["skull_02.png"].names
    at_landmark = []
    for point in truth["skull_05.png"].placed:
        y, x = point.position_yx
        x = image.pixels.shape[1] - 1 - x if mirrored else x
        at_landmark.append(maps.around(point.name, (y, x), (9, 9), 3)[1, 1])
    assert np.median(at_landmark) > 0.7
