"""Detection with several annotated images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.matching.similarity import combine_templates
from napari_oneshot_lmk.samples import sample_folder

NAMES = ("sella", "nasion", "gonion", "menton")


def template(image: str, names: tuple[str, ...] = NAMES) -> Template:
    folder = sample_folder("skull")
    truth = Dataset.load(folder).truth[image]
    landmarks = Landmarks(tuple(truth[name] for name in names), image)
    return Template.create(read_image(folder / "images" / image), landmarks)


def detected(detector: Detector, image: GrayImage) -> Landmarks:
    detector.set_image(image)
    return detector.detect()


@pytest.fixture(scope="module")
def encoder() -> OrientationEncoder:
    return OrientationEncoder(torch.device("cpu"))


def test_the_mean_is_over_the_templates_that_know_a_landmark():
    maps = [torch.randn(2, 3, 4) for _ in range(3)]
    known = torch.tensor([[True, True], [True, False], [False, False]])
    combined = combine_templates(maps, known)
    assert torch.allclose(combined[0].exp(), (maps[0][0].exp() + maps[1][0].exp()) / 2)
    assert torch.allclose(combined[1], maps[0][1])
    assert torch.equal(combine_templates(maps[:1], None), maps[0])


def test_a_template_that_shows_the_image_is_believed(encoder):
    own, same = template("skull_02.png"), template("skull_05.png", NAMES[:2])
    found = detected(Detector(own, encoder, further=[same]), same.image)
    assert tuple(p.name for p in found) == NAMES
    assert found.provenance.template == "skull_02 and 1 more"
    for truth in same.landmarks:
        assert np.allclose(found[truth.name].position_yx, truth.position_yx, atol=1.0)


def test_with_fewer_is_as_if_the_others_had_never_been_there(encoder):
    own, one, two = (template(f"skull_0{n}.png") for n in (2, 3, 5))
    image = read_image(sample_folder("skull") / "images" / "skull_06.png")
    both = Detector(own, encoder, further=[one, two])
    both.set_image(image)
    for chosen in ([], [two]):
        found = both.with_further(chosen).detect()
        expected = detected(Detector(own, encoder, further=chosen), image)
        assert np.array_equal(found.positions_yx, expected.positions_yx)
    assert both.further == (one, two)
