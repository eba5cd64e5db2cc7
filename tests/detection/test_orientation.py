"""Mirrored and turned images: the geometry, what is recognised, and what is left alone."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from bundle_scene import random_model
from hypothesis import given
from hypothesis import strategies as st

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.orientation import ORIENTATIONS, UPRIGHT, Orientation
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Provenance, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.samples import sample_folder

FOLDER = sample_folder("skull")


@pytest.fixture(scope="module")
def encoder():
    return shipped_encoder(torch.device("cpu"))


@pytest.fixture(scope="module")
def template():
    image = read_image(FOLDER / "images" / "skull_02.png")
    return Template.create(image, Dataset.load(FOLDER).truth["skull_02.png"])


@pytest.fixture(scope="module")
def detector(encoder, template):
    return Detector(template, encoder)


@pytest.fixture(scope="module")
def upright():
    image = read_image(FOLDER / "images" / "skull_05.png")
    return GrayImage.from_array(image.pixels, (0.5, 0.4), "skull_05.png")


@pytest.fixture(scope="module")
def found_upright(detector, upright):
    return detected(detector, upright)


def lying(image: GrayImage, orientation: Orientation) -> GrayImage:
    """Turn an image with its spacing."""
    pixels = orientation.applied(torch.from_numpy(image.pixels)).numpy()
    spacing = image.geometry.spacing_mm_yx
    swapped = orientation.quarter_turns % 2 == 1
    return GrayImage.from_array(pixels, spacing[::-1] if swapped else spacing, image.name)


def detected(detector, image):
    detector.set_image(image)
    return detector.detect()


def positions(landmarks):
    return torch.from_numpy(landmarks.positions_yx)


@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.floats(-3, 12),
    st.floats(-3, 12),
)
def test_pixels_and_points_turn_together_and_back(orientation, shape_yx, y, x):
    height, width = shape_yx
    pixels = torch.arange(height * width).reshape(1, height, width)
    turned = orientation.applied(pixels)
    assert torch.equal(orientation.undone(turned), pixels)
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2)
    rows, columns = orientation.points_applied(cells, shape_yx).T
    assert torch.equal(turned[0, rows, columns], pixels.flatten())
    point = torch.tensor([[y, x]], dtype=torch.float64)
    there = orientation.points_applied(point, shape_yx)
    back = orientation.points_undone(there, tuple(turned.shape[-2:]))
    assert torch.allclose(back, point, atol=1e-12)


def test_eight_orientations_have_eight_names():
    assert str(UPRIGHT) == ""
    assert str(Orientation(mirrored=True)) == "mirrored"
    assert str(Orientation(quarter_turns=3)) == "turned 270 degrees clockwise"
    assert len({str(orientation) for orientation in ORIENTATIONS}) == 8


@pytest.mark.parametrize("orientation", [ORIENTATIONS[i] for i in (1, 2, 4, 7)], ids=str)
def test_a_turned_image_gives_the_points_of_the_upright_one(
    detector, upright, found_upright, orientation
):
    assert found_upright.provenance.orientation == ""
    image = lying(upright, orientation)
    found = detected(detector, image)
    assert found.provenance.orientation == str(orientation)
    expected = orientation.points_applied(positions(found_upright), upright.pixels.shape)
    assert torch.allclose(positions(found), expected, atol=0.5)
    for point, same in zip(found, found_upright, strict=True):
        assert point.score == pytest.approx(same.score, abs=0.1)
        assert point.shape_residual_mm == pytest.approx(same.shape_residual_mm, abs=0.5)
    assert found.geometry == image.geometry


def test_a_batch_recognises_the_same(detector, upright):
    mirrored = Orientation(mirrored=True)
    images = [detector.prepare(image) for image in (upright, lying(upright, mirrored))]
    as_it_lies, turned = detector.detect_batch(images)
    assert as_it_lies.provenance.orientation == ""
    assert turned.provenance.orientation == "mirrored"
    expected = mirrored.points_applied(positions(as_it_lies), upright.pixels.shape)
    assert torch.allclose(positions(turned), expected, atol=0.5)


def test_an_image_is_recognised_once(encoder, template, upright):
    counting = Mock(wraps=encoder, card=encoder.card, device=encoder.device)
    detector = Detector(template, counting)
    detector.set_image(lying(upright, Orientation(quarter_turns=2)))
    first = detector.detect()
    calls = counting.call_count
    assert calls >= 3  # template, image, image turned back
    second = detector.detect()
    assert counting.call_count == calls
    assert second.points == first.points
    assert second.provenance.orientation == "turned 180 degrees clockwise"


def test_a_trained_model_recognises_it_too(encoder, tmp_path):
    model = random_model(tmp_path)
    detector = TrainedDetector(model, model.template, encoder, "float32")
    image = model.template.image
    orientation = Orientation(mirrored=True, quarter_turns=3)
    upright, turned = (
        detected(detector, lying(image, each)) for each in (Orientation(), orientation)
    )
    assert upright.provenance.orientation == ""
    assert turned.provenance.orientation == str(orientation)
    expected = orientation.points_applied(positions(upright), image.pixels.shape)
    assert torch.allclose(positions(turned), expected, atol=0.5, equal_nan=True)


def test_what_a_person_decided_is_read_as_the_image_lies(detector, upright):
    orientation = Orientation(mirrored=True, quarter_turns=1)
    image = lying(upright, orientation)
    found = detected(detector, image)
    first, second = found.placed[:2]
    moved = Landmark(first.name, tuple(np.add(first.position_yx, 2.5)), source=Source.CORRECTED)
    kept = replace(second, source=Source.ACCEPTED)
    given_points = found.with_landmark(moved).with_landmark(kept)
    # Without a detection before: recognised all the same.
    detector.set_image(image)
    settled = detector.settle(given_points)
    assert settled.provenance.orientation == str(orientation)
    assert [settled[p.name] for p in (moved, kept)] == [moved, kept]
    apart = np.hypot(*(settled.positions_yx - found.positions_yx).T)
    assert np.median(apart) < 3


def test_taken_as_it_lies_where_that_is_wanted(encoder, template, upright):
    detector = Detector(template, encoder, upright=True)
    found = detected(detector, lying(upright, Orientation(mirrored=True)))
    assert found.provenance.orientation == ""
    assert np.mean([point.score for point in found]) < 0.5


def test_where_nothing_fits_it_stays_upright(detector):
    noise = np.random.default_rng(0).normal(size=(300, 260))
    assert detected(detector, GrayImage.from_array(noise)).provenance.orientation == ""


def test_a_template_that_fits_no_better_as_it_lies_tells_nothing(encoder, template, upright):
    detector = Detector(template, encoder)
    pixels = detector.prepare(lying(upright, ORIENTATIONS[4])).pixels
    assert detector.finder.candidates(pixels)
    detector.finder._range = 0.0
    assert detector.finder.candidates(pixels) == []


def test_two_landmarks_are_no_body_that_could_lie_otherwise(encoder, template, upright):
    few = template.landmarks.with_points(template.landmarks.points[:2])
    detector = Detector(Template.create(template.image, few), encoder)
    assert detector.upright
    found = detected(detector, lying(upright, Orientation(mirrored=True)))
    assert found.provenance.orientation == ""


def test_landmarks_of_earlier_versions_say_nothing_of_it():
    assert Provenance.from_json({"method": "instant"}) == Provenance("instant")
