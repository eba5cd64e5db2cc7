"""A trained detector looks for points from where detection without training has found them."""

from dataclasses import replace

import pytest
import torch
from bundle_scene import random_model

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.landmarks import Source
from napari_oneshot_lmk.matching.shape import ShapeModel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def starts(monkeypatch):
    seen, whole = [], ShapeModel.fit

    def fit(self, *given, **named):
        seen.append(named.get("start_yx"))
        return whole(self, *given, **named)

    monkeypatch.setattr(ShapeModel, "fit", fit)
    return seen


def in_windows(model, cells=24):
    card = model.card.model_copy(update={"search_cells": cells, "instant_share": 0.5})
    return replace(model, card=card)


def test_it_starts_from_the_first_solution(model, starts):
    detector = TrainedDetector.from_model(in_windows(model), upright=True)
    pyramid = detector.encoder(prepare_image(model.template.image))
    instant = Detector(model.template, detector.encoder)
    with torch.inference_mode():
        first = instant.shape.fit_points(instant.log_maps(pyramid), 2)[0]
        found = detector.match(pyramid)
        again = detector.shape.fit(detector.log_maps(pyramid), 2, start_yx=first)[0]
    assert torch.equal(starts[0], first)
    assert torch.equal(found[:, :2], again)


def test_where_everything_is_searched_it_starts_anywhere(model, starts):
    detector = TrainedDetector.from_model(in_windows(model, 0), upright=True)
    detector.set_image(model.template.image)
    detector.detect()
    assert starts == [None]


def test_what_a_person_has_decided_may_lead_elsewhere(model, starts):
    detector = TrainedDetector.from_model(in_windows(model), upright=True)
    detector.set_image(model.template.image)
    found = detector.detect()
    first, *others = found
    starts.clear()
    detector.settle(found.with_points([replace(first, source=Source.ACCEPTED), *others]))
    assert starts == [None]
