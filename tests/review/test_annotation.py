"""One image's annotation and its history, without a window."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM, parse_landmark_list
from napari_oneshot_lmk.review.annotation import DEPTH, Annotation, DetectionMerge, History

ABCD = parse_landmark_list("a: first\nb\nc\nd")


def test_it_goes_through_the_list_and_then_waits():
    here = Annotation.begin(ABCD, "film.png")
    for number, name in enumerate("abcd"):
        assert here.current == name
        assert here.done == number
        here = here.place_current((number, 2.0 * number))
    assert here.current == ""
    assert here.done == 4
    assert here.landmarks.image == "film.png"
    assert here.landmarks["a"].description == "first"


def test_what_was_skipped_is_not_offered_again_but_can_be_gone_to():
    here = Annotation.begin(ABCD).skip()
    assert here.landmarks["a"].state is State.SKIPPED
    assert not here.is_open("a")
    for number in range(3):
        here = here.place_current((number, number))
    assert here.current == ""
    here = here.go_to("a").place_current((9, 9))
    assert here.landmarks["a"].position_yx == (9, 9)
    assert here.passed_over == frozenset()


def test_what_was_skipped_survives_a_file():
    here = Annotation.begin(ABCD).skip().place_current((1, 1))
    again = Annotation.adopt(here.landmarks.with_points(here.kept))
    assert again.passed_over == {"a"}
    assert again.landmarks == here.landmarks
    assert again.current == "c"
    # It is no decision: a detection may find it.
    assert not again.is_manual("a")
    assert not any(point.is_manual for point in here.kept if point.name == "a")


def test_skipping_keeps_a_position_and_takes_back_an_absence():
    here = Annotation.begin(ABCD).place_current((1, 1)).go_to("a").skip()
    assert here.landmarks["a"].position_yx == (1, 1)
    here = here.mark_absent()
    assert here.landmarks["b"].state is State.ABSENT
    here = here.go_to("b").skip()
    assert here.landmarks["b"].state is State.SKIPPED
    assert not here.is_open("b")


def test_absent_drops_the_position_and_placing_takes_it_back():
    here = Annotation.begin(ABCD).place_current((1, 1)).go_to("a").mark_absent()
    assert here.landmarks["a"].state is State.ABSENT
    assert here.current == "b"
    assert here.place("a", (2, 2)).landmarks["a"].state is State.PLACED


def test_next_and_previous_go_round_the_end():
    here = Annotation.begin(ABCD)
    assert here.step(-1).current == "d"
    assert here.step(1).step(1).current == "c"
    assert here.go_to("d").step(1).current == "a"


def test_clearing_makes_the_first_one_current():
    here = Annotation.begin(ABCD)
    for number in range(4):
        here = here.place_current((number, number))
    here = here.clear(["c", "b", "unknown"])
    assert here.current == "c"
    assert [p.name for p in here.landmarks.placed] == ["a", "d"]


def test_another_list_keeps_points_of_the_same_name():
    here = Annotation.begin(ABCD).place_current((1, 1)).place_current((2, 2))
    other, lost = here.follow(parse_landmark_list("b: second\ne"))
    assert lost == ("a",)
    assert other.landmarks.names == ("b", "e")
    assert other.landmarks["b"].position_yx == (2, 2)
    assert other.landmarks["b"].description == "second"
    assert other.current == "e"


def test_landmarks_of_a_known_list_get_its_title_and_descriptions():
    names = ISBI19_CEPHALOGRAM.names
    known = Annotation.adopt(Landmarks.from_positions(dict.fromkeys(names, (1, 1))))
    assert known.title == ISBI19_CEPHALOGRAM.title
    assert known.landmarks["menton"].description
    assert known.current == ""
    other = Annotation.adopt(Landmarks.from_positions({"mine": (1, 1)}))
    assert other.title == ""


def test_a_landmark_that_is_not_in_the_list_is_refused():
    with pytest.raises((LandmarkError, KeyError)):
        Annotation.begin(ABCD).place("z", (1, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["place", "skip", "absent", "next", "previous", "clear", "undo", "redo"]),
        max_size=40,
    )
)
def test_any_sequence_of_edits_can_be_taken_back(steps):
    history = History(Annotation.begin(ABCD))
    start = history.value
    for number, step in enumerate(steps):
        here = history.value
        if step == "place" and here.current:
            history.record(here.place_current((number, number)))
        elif step == "skip":
            history.record(here.skip())
        elif step == "absent":
            history.record(here.mark_absent())
        elif step == "clear":
            history.record(here.clear([here.current]))
        elif step in ("next", "previous"):
            history.replace(here.step(1 if step == "next" else -1))
        elif step == "undo":
            history.undo()
        elif step == "redo":
            history.redo()
        # Whatever happened, every landmark is there, and the next one is known.
        assert history.value.landmarks.names == start.landmarks.names
        assert history.value.current in ("", *start.landmarks.names)
    end = history.value
    undone = 0
    while history.can_undo:
        history.undo()
        undone += 1
    assert history.value.landmarks == start.landmarks
    for _ in range(undone):
        history.redo()
    assert history.value == end


def test_the_history_forgets_what_is_very_old_only():
    history = History(0)
    for number in range(1, DEPTH + 10):
        history.record(number)
    taken_back = 0
    while history.can_undo:
        history.undo()
        taken_back += 1
    assert taken_back == DEPTH
    assert history.value == 9


def detected_abc() -> Annotation:
    points = (
        Landmark("a", (1, 1), score=0.9, source=Source.DETECTED),
        Landmark("b", (2, 2), score=0.1, unsure=True, source=Source.DETECTED),
        Landmark("c", (3, 3), score=0.2, unsure=True, source=Source.DETECTED),
        Landmark("d", None, State.ABSENT),
    )
    return Annotation().take_detection(Landmarks(points))


def test_an_accepted_point_stays_where_it_is_and_keeps_its_score() -> None:
    here = detected_abc().accept(["a", "b"], "Dr. A")
    assert [p.source for p in here.landmarks] == ["accepted", "accepted", "detected", None]
    assert here.landmarks["b"].score == 0.1
    assert not here.landmarks["b"].unsure
    assert here.landmarks["b"].author == "Dr. A"
    elsewhere = Landmarks(tuple(Landmark(name, (9, 9), score=0.5) for name in "abc"))
    again = here.take_detection(elsewhere)
    assert [p.position_yx for p in again.landmarks.placed] == [(1, 1), (2, 2), (9, 9)]
    moved = here.place("a", (4, 4), "Dr. B")
    assert moved.landmarks["a"].source is Source.CORRECTED


def test_what_stays_in_a_new_detection_is_one_policy() -> None:
    here = detected_abc().accept(["a"]).place("b", (4, 4)).place("d", (5, 5))
    here = replace(here, landmarks=here.landmarks.with_landmark(Landmark("own", (6, 6))))
    here = here.place("own", (7, 7))
    found = Landmarks(tuple(Landmark(name, (9, 9), score=0.5) for name in "abc"))
    kept = here.take_detection(found, DetectionMerge.KEEP_CORRECTED)
    assert kept == here.take_detection(found)
    assert [p.position_yx for p in kept.landmarks] == [(1, 1), (4, 4), (9, 9), (5, 5), (7, 7)]
    renewed = here.take_detection(found, DetectionMerge.REPLACE_DETECTED)
    assert {p.name: p.position_yx for p in renewed.landmarks if p.name in "abc"} == dict.fromkeys(
        "abc", (9, 9)
    )
    assert renewed.landmarks["own"].position_yx == (7, 7)


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: a.place("a", (8, 8)),
        lambda a: a.clear(["b"]),
        lambda a: a.go_to("c").mark_absent(),
        lambda a: a.go_to("d").skip(),
        lambda a: a.accept(a.landmarks.names),
        lambda a: a.reset(["a"], None),
        lambda a: a.follow(ABCD)[0],
        lambda a: a.take_detection(Landmarks((Landmark("a", (3, 2), score=0.5),))),
    ],
)
def test_whatever_the_edit_one_undo_takes_it_back_and_one_redo_does_it_again(edit) -> None:
    history = History(detected_abc())
    before, after = history.value, edit(history.value)
    history.record(after)
    history.undo()
    assert history.value == before
    history.redo()
    assert history.value == after


def test_what_a_person_did_and_what_is_open_is_not_accepted() -> None:
    here = detected_abc().place("a", (4, 4)).clear(["b"])
    accepted = here.accept("abcd", "Dr. A")
    assert [str(p.source) for p in accepted.landmarks] == [
        "corrected",
        "corrected",
        "accepted",
        "accepted",
    ]
    assert accepted.landmarks["d"].state is State.ABSENT


def test_the_next_of_some_landmarks_goes_round_the_end() -> None:
    here = detected_abc()
    assert [here.next_of("cb", after) for after in ("", "b", "c", "?")] == ["b", "c", "b", "b"]
    assert here.next_of("") == ""


def test_undo_goes_back_through_what_was_undone_before() -> None:
    history = History(0)
    for value in (1, 2):
        history.record(value)
    history.undo()
    history.undo()
    history.record(3)
    seen = []
    while history.can_undo:
        history.undo()
        seen.append(history.value)
    assert seen == [0, 1, 2, 1, 0]
    while history.can_redo:
        history.redo()
    assert history.value == 3
