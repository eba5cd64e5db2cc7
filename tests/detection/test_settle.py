"""Detection given what a person has decided on the image."""

from dataclasses import replace

import pytest
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Source, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.samples import sample_folder


def skull(number):
    """Image and landmarks of a sample."""
    name, folder = f"skull_{number:02d}.png", sample_folder("skull")
    return read_image(folder / "images" / name), Dataset.load(folder).truth[name]


@pytest.fixture(scope="module")
def detector():
    made = Detector.instant(
        Template.create(*skull(2)), encoder=shipped_encoder(torch.device("cpu"))
    )
    made.set_image(skull(5)[0])
    return made


def test_with_nothing_decided_it_is_the_detection(detector):
    found = detector.detect()
    assert detector.settle(found).points == found.points


def test_what_was_decided_stays_and_the_rest_is_found_given_it(detector):
    found = detector.detect()
    first, second, third, *_ = found.placed
    y, x = first.position_yx
    moved = Landmark(first.name, (y + 3.25, x), source=Source.CORRECTED, author="A")
    accepted = replace(second, source=Source.ACCEPTED)
    absent = Landmark(third.name, None, State.ABSENT, source=Source.CORRECTED)
    given = found
    for point in (moved, accepted, absent):
        given = given.with_landmark(point)
    settled = detector.settle(given)
    assert [settled[p.name] for p in (moved, accepted, absent)] == [moved, accepted, absent]
    assert settled.names == found.names
    assert {p.source for p in settled.points[3:]} <= {Source.DETECTED, None}


def test_without_an_image_it_says_so(detector):
    fresh = Detector(detector.template, detector.encoder)
    with pytest.raises(ValueError, match="set_image"):
        fresh.settle(detector.template.landmarks)
