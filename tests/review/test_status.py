"""What is to be looked at on an image, from its landmarks alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.detection.orientation import ORIENTATIONS
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.review.status import (
    Filter,
    Reason,
    ReviewState,
    count,
    decided_landmarks,
    names_to_look_at,
    status_of,
    worst_first,
)

PLACES = {
    "top": (20.0, 50.0),
    "left": (50.0, 20.0),
    "right": (50.0, 80.0),
    "bottom": (80.0, 50.0),
    "rim": (40.0, 0.5),
}
PIXELS = np.arange(100.0)[:, None] + np.arange(100.0)
TEMPLATE = Template.create(
    GrayImage.from_array(PIXELS, 0.5, "template.png"),
    Landmarks.from_positions(PLACES).with_landmark(Landmark("gone", None, State.ABSENT)),
)


def found(**changes: dict[str, object]) -> Landmarks:
    """What a detection gives on an image as large as the template, with some changes."""
    points = [
        Landmark(name, yx, score=0.9, source=Source.DETECTED, shape_residual_mm=0.1)
        for name, yx in PLACES.items()
    ]
    points = [replace(p, **changes.get(p.name, {})) for p in points]
    gone = Landmark("gone", None, State.ABSENT)
    return Landmarks((*points, gone), "image.png", TEMPLATE.image.geometry)


def test_an_image_goes_from_to_do_to_accepted():
    assert status_of(None, TEMPLATE).state is ReviewState.TO_DO
    assert status_of(Landmarks(), TEMPLATE).state is ReviewState.TO_DO
    here = Annotation.adopt(found(top={"unsure": True, "score": 0.2}))
    status = status_of(here.landmarks, TEMPLATE)
    assert (status.state, status.unsure, status.reviewers) == (ReviewState.DETECTED, 1, ())
    assert status.reasons == {"top": (Reason.UNSURE,)}
    here = here.place("top", (21, 51), "Ada")
    status = status_of(here.landmarks, TEMPLATE)
    assert (status.state, status.unsure, status.reasons) == (ReviewState.CORRECTED, 0, {})
    here = here.accept(["left", "right", "bottom"], "Bo").clear(["rim"], "Ada")
    status = status_of(here.landmarks, TEMPLATE)
    assert (status.state, status.reviewers) == (ReviewState.ACCEPTED, ("Ada", "Bo"))
    # Going back to the detection opens a landmark again.
    assert status_of(here.reset(["top"], found()).landmarks, TEMPLATE).state is (
        ReviewState.CORRECTED
    )


def test_points_of_a_person_alone_are_accepted_once_all_are_there():
    placed = Landmarks.from_positions(PLACES, "image.png", provenance=Provenance(author="Ada"))
    status = status_of(placed, TEMPLATE)
    assert (status.state, status.reviewers, status.badness) == (ReviewState.ACCEPTED, ("Ada",), 0)
    some = status_of(placed.with_points(placed.points[:2]), TEMPLATE)
    assert some.state is ReviewState.CORRECTED
    assert set(some.reasons) == {"right", "bottom", "rim"}


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"left": {"unsure": True}}, {"left": (Reason.UNSURE,)}),
        ({"left": {"shape_residual_mm": 5.0}}, {"left": (Reason.SHAPE,)}),
        # They have changed places; both are named, as either may be wrong.
        (
            {"left": {"position_yx": (50, 80)}, "right": {"position_yx": (50, 20)}},
            {"left": (Reason.ORDER,), "right": (Reason.ORDER,)},
        ),
        (
            {"top": {"position_yx": (99, 50)}},
            {"top": (Reason.ORDER, Reason.BORDER), "bottom": (Reason.ORDER,)},
        ),
        ({"right": {"position_yx": (50, 99.5)}}, {"right": (Reason.BORDER,)}),
        (
            {"right": {"position_yx": None, "state": State.SKIPPED, "source": None}},
            {"right": (Reason.ABSENT,)},
        ),
        # On the template it lies at the border, too.
        ({"rim": {"position_yx": (40, 0)}}, {}),
    ],
)
def test_every_reason_is_named(changes, reasons):
    assert status_of(found(**changes), TEMPLATE).reasons == reasons


def test_landmarks_with_any_reason_are_to_be_looked_at():
    here = found(left={"unsure": True}, top={"shape_residual_mm": 9.0})
    assert names_to_look_at(here, TEMPLATE) == ("top", "left")
    assert names_to_look_at(found(), TEMPLATE) == ()


def test_what_a_person_has_decided_has_no_reason():
    swapped = Annotation.adopt(found()).place("left", (50, 80), "Ada").place("right", (50, 20))
    assert status_of(swapped.landmarks, TEMPLATE).reasons == {}
    here = Annotation.adopt(found(left={"shape_residual_mm": 9.0, "unsure": True}))
    assert status_of(here.accept(["left"]).landmarks, TEMPLATE).reasons == {}


def test_a_turned_image_is_in_order():
    angle = np.radians(40)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = {
        name: {"position_yx": tuple((np.array(yx) - 50) @ turn.T + 50)}
        for name, yx in PLACES.items()
    }
    reasons = status_of(found(**turned), TEMPLATE).reasons
    assert not any(Reason.ORDER in each for each in reasons.values())


@pytest.mark.parametrize("lies", ORIENTATIONS, ids=str)
def test_an_image_that_was_recognised_as_turned_is_in_order(lies):
    points = lies.points_applied(torch.tensor(list(PLACES.values())), (100, 100)).tolist()
    places = {name: {"position_yx": tuple(yx)} for name, yx in zip(PLACES, points, strict=True)}
    turned = replace(found(**places), provenance=Provenance(orientation=str(lies)))
    assert not any(Reason.ORDER in each for each in status_of(turned, TEMPLATE).reasons.values())
    # Mirrored, all pairs of columns are reversed: that is no point's fault.
    unknown = status_of(replace(turned, provenance=Provenance()), TEMPLATE).reasons.values()
    assert any(Reason.ORDER in each for each in unknown) == ("turned" in str(lies))


def test_points_that_lie_close_together_may_change_sides():
    rows = {name: PLACES[name][0] for name in ("left", "right")}
    swapped = {
        "left": {"position_yx": (rows["left"], 52.0)},
        "right": {"position_yx": (rows["right"], 48.0)},
    }
    reasons = status_of(found(**swapped), TEMPLATE).reasons.values()
    assert not any(Reason.ORDER in each for each in reasons)


def test_without_millimetres_there_is_no_residual():
    bare = Template.create(GrayImage.from_array(PIXELS), TEMPLATE.landmarks.with_geometry(None))
    far = found(left={"shape_residual_mm": None}).with_geometry(None)
    assert status_of(far, bare).reasons == {}


def test_images_are_sorted_filtered_and_counted():
    statuses = {
        "good": status_of(found(), TEMPLATE),
        "bad": status_of(found(top={"unsure": True}, left={"unsure": True}), TEMPLATE),
        "lower": status_of(found(top={"score": 0.5}), TEMPLATE),
        "new": status_of(None, TEMPLATE),
        "done": status_of(Landmarks.from_positions(PLACES), TEMPLATE),
    }
    assert worst_first(statuses) == ("bad", "lower", "good", "new", "done")

    def shown(**wanted):
        return [name for name, each in statuses.items() if Filter(**wanted).lets_through(each)]

    assert shown() == list(statuses)
    assert shown(states=frozenset({ReviewState.TO_DO, ReviewState.ACCEPTED})) == ["new", "done"]
    assert shown(reasons=frozenset({Reason.UNSURE})) == ["bad"]
    assert shown(landmark="left") == ["bad"]
    assert shown(landmark="left", reasons=frozenset({Reason.SHAPE})) == []
    numbers = count(statuses.values())
    assert (numbers.images, numbers.unsure) == (5, 2)
    assert numbers.states[ReviewState.DETECTED] == 3
    assert numbers.reasons[Reason.UNSURE] == 2
    assert numbers.landmarks == {"top": 1, "left": 1}


def test_only_what_was_decided_is_left():
    here = Annotation.adopt(found()).place("top", (21, 51)).accept(["left"]).clear(["right"])
    left = decided_landmarks(here.landmarks)
    assert {point.name for point in left.placed} == {"top", "left"}
    assert left["right"] == here.landmarks["right"]
    assert left["bottom"].state is State.SKIPPED
