"""Detection with several annotated images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
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


@pytest.fixture(scope="module")
def encoder() -> OrientationEncoder:
    return OrientationEncoder(torch.device("cpu"))


def test_the_mean_is_over_the_templates_that_know_a_landmark() -> None:
    maps = [torch.randn(2, 3, 4) for _ in range(3)]
    known = torch.tensor([[True, True], [True, False], [False, False]])
    combined = combine_templates(maps, known)
    assert torch.allclose(combined[0].exp(), (maps[0][0].exp() + maps[1][0].exp()) / 2)
    assert torch.allclose(combined[1], maps[0][1])
    assert torch.equal(combine_templates(maps[:1], None), maps[0])


def test_a_template_that_shows_the_image_is_believed(encoder: OrientationEncoder) -> None:
    own, same = template("skull_02.png"), template("skull_05.png", NAMES[:2])
    detector = Detector(own, encoder, further=[same])
    detector.set_image(same.image)
    found = detector.detect()
    assert tuple(p.name for p in found) == NAMES
    assert found.provenance.template == "skull_02 and 1 more"
    for name in NAMES[:2]:
        truth = same.landmarks[name].position_yx
        assert np.allclose(found[name].position_yx, truth, atol=1.0)


def test_with_fewer_is_as_if_the_others_had_never_been_there(encoder: OrientationEncoder) -> None:
    own, one, two = (template(f"skull_0{n}.png") for n in (2, 3, 5))
    image = read_image(sample_folder("skull") / "images" / "skull_06.png")
    both, alone = Detector(own, encoder, further=[one, two]), Detector(own, encoder)
    for detector in (both, alone):
        detector.set_image(image)
    left = both.with_further([])
    assert np.array_equal(left.detect().positions_yx, alone.detect().positions_yx)
    assert both.further == (one, two)
    again = Detector(own, encoder, further=[two])
    again.set_image(image)
    assert np.array_equal(
        both.with_further([two]).detect().positions_yx, again.detect().positions_yx
    )
