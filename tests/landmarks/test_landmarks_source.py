"""Where each point comes from, and who has corrected it, in every file."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import run, succeed
from landmark_sets import refuses
from oblique_image import cephalogram, geometry, on, write_dicom

from napari_oneshot_lmk.landmarks.files import read_landmarks, unsupported_fields, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State

FOUND = Provenance("instant", "vgg19", "T1", "", "2026-11-21T10:00:00")


def corrected(author: str = "") -> Landmarks:
    """One detection after a person has been over it."""
    return Landmarks(
        (
            Landmark("kept", (5.5, 6.25), score=0.75, source=Source.DETECTED),
            Landmark("moved", (7.0, 8.0), source=Source.CORRECTED, author="B. Two"),
            Landmark("added", (9.0, 1.5), source=Source.PLACED, author="C. Three"),
            Landmark("taken", None, State.ABSENT, source=Source.CORRECTED),
            Landmark("open", None, State.SKIPPED),
        ),
        "film.dcm",
        geometry(),
        replace(FOUND, author=author),
    )


# -- what a landmark says ---------------------------------------------------------


def test_a_persons_point_has_no_score_and_only_it_has_an_author():
    point = Landmark("a", (1, 2), score=0.9, unsure=True, source=Source.DETECTED)
    moved = replace(point, source="corrected", author="B")
    assert (moved.score, moved.unsure, moved.author) == (None, False, "B")
    assert replace(moved, source=None).author == ""
    assert replace(moved, source=Source.DETECTED).author == ""


def test_the_author_of_the_set_is_not_repeated_on_its_points():
    point = Landmark("a", (1, 2), source=Source.PLACED, author="B")
    assert Landmarks((point,), provenance=Provenance(author="B"))["a"].author == ""
    assert Landmarks((point,), provenance=Provenance(author="C"))["a"].author == "B"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *((Source.DETECTED, Source.CORRECTED), (Source.CORRECTED, Source.CORRECTED)),
        *((Source.PLACED, Source.PLACED), (None, None)),
    ],
)
def test_a_point_that_was_changed_elsewhere(before, after):
    point = Landmark("a", (1, 2), score=0.5, description="d", source=before)
    moved = point.edited_at((3.0, 4.0))
    assert (moved.position_yx, moved.score, moved.source) == ((3, 4), None, after)
    taken = point.edited_at(None)
    assert (taken.state, taken.source, taken.description) == ("skipped", after, "d")


# -- every format -------------------------------------------------------------------


@pytest.mark.parametrize("author", ["", "A. One"])
@pytest.mark.parametrize("suffix", [".csv", ".mrk.json", ".json", ".sr.dcm"])
def test_sources_and_authors_come_back(tmp_path, suffix, author):
    film = write_dicom(tmp_path / "film.dcm")
    path = tmp_path / f"found{suffix}"
    write_landmarks(path, [corrected(author)], source=film)
    assert read_landmarks(path) == (corrected(author),)
    assert unsupported_fields(path, [corrected(author)]) == ()


def test_sources_and_authors_come_back_from_tps(tmp_path):
    path = tmp_path / "found.tps"
    write_landmarks(path, [corrected()])
    (back,) = read_landmarks(path)
    assert [p.source for p in back] == [p.source for p in corrected()]
    assert [p.author for p in back] == ["", "B. Two", "C. Three", "", ""]
    assert "sources" not in unsupported_fields(path, [corrected()])


def test_the_challenges_file_has_no_place_for_sources():
    points = [replace(p, source=Source.CORRECTED) for p in cephalogram()]
    assert "sources" in unsupported_fields("film.txt", [cephalogram().with_points(points)])
    assert "sources" not in unsupported_fields("film.txt", [cephalogram()])


def test_napari_points_with_the_columns_of_a_layer(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(
        "index,axis-0,axis-1,label,source,author\n"
        "0,1,2,a,corrected,B\n1,3,4,b,detected,B\n2,5,6,c,film 12,\n"
    )
    a, b, c = read_landmarks(path)[0]
    assert (a.source, a.author) == (Source.CORRECTED, "B")
    assert (b.source, b.author) == (Source.DETECTED, "")
    assert c.source is None


# -- the table ----------------------------------------------------------------------


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["landmark"]: row for row in csv.DictReader(file)}


def test_a_persons_rows_say_manual_and_by_whom(tmp_path):
    path = tmp_path / "found.csv"
    write_landmarks(path, [corrected("A. One")])
    table = rows(path)
    columns = ("source", "method", "author", "score", "encoder", "template")
    assert {name: tuple(row[c] for c in columns) for name, row in table.items()} == {
        "kept": ("detected", "instant", "A. One", "0.75", "vgg19", "T1"),
        "moved": ("corrected", "manual", "B. Two", "", "vgg19", "T1"),
        "added": ("placed", "manual", "C. Three", "", "vgg19", "T1"),
        "taken": ("corrected", "manual", "A. One", "", "vgg19", "T1"),
        "open": ("", "instant", "A. One", "", "vgg19", "T1"),
    }


def test_the_column_is_only_there_where_it_says_something(tmp_path):
    write_landmarks(tmp_path / "a.csv", [on()])
    assert "source" not in (tmp_path / "a.csv").read_text().splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("authors", "of_the_set", "of_points"),
    [(("B", "B"), "B", ("", "")), (("B", "C"), "", ("B", "C")), (("", ""), "", ("", ""))],
)
def test_where_a_person_has_set_all_points(tmp_path, authors, of_the_set, of_points):
    path = tmp_path / "found.csv"
    points = [
        Landmark(name, (1.0, 2.0), source=Source.PLACED, author=author)
        for name, author in zip("ab", authors, strict=True)
    ]
    write_landmarks(path, [Landmarks(tuple(points), "a.png", provenance=FOUND)])
    (back,) = read_landmarks(path)
    assert back.provenance == replace(FOUND, method="manual", author=of_the_set)
    assert tuple(point.author for point in back) == of_points
    assert back.manual == back.points


def test_a_column_of_the_users_own_may_be_called_source(tmp_path):
    path = tmp_path / "a.csv"
    head = "image,landmark,x_px,y_px,source\na.png,s,1,2,"
    path.write_text(head + "archive 7\n")
    assert read_landmarks(path)[0]["s"].source is None
    # Beside words that are ours, another one is a slip.
    path.write_text(head + "Corrected\na.png,n,3,4,corected\n")
    refuses("line 3: source is 'corected'; use one of", path)


def test_other_rows_still_have_to_agree(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "image,landmark,x_px,y_px,source,method\n"
        "a.png,s,1,2,detected,instant\na.png,n,3,4,corrected,manual\n"
        "a.png,m,3,4,detected,fused\n"
    )
    refuses("line 4: method is 'fused', but 'instant'", path)


# -- changed in other programs --------------------------------------------------------


def test_a_detected_point_that_was_moved_in_slicer_is_corrected(tmp_path):
    path = tmp_path / "film.mrk.json"
    write_landmarks(path, [corrected()])
    document = json.loads(path.read_text())
    kept, moved, added, *_ = document["markups"][0]["controlPoints"]
    # Slicer shows the description: what is ours stays out of it.
    assert kept["description"] == moved["description"] == ""
    for control in (kept, moved):
        control["position"] = added["position"]
    path.write_text(json.dumps(document))
    (back,) = read_landmarks(path)
    assert (back["kept"].source, back["kept"].score) == (Source.CORRECTED, None)
    assert (back["moved"].source, back["moved"].author) == (Source.CORRECTED, "B. Two")
    assert back["added"] == corrected()["added"]


def test_a_detected_keypoint_that_was_moved_or_removed_elsewhere_is_corrected(tmp_path):
    path = tmp_path / "found.json"
    write_landmarks(path, [corrected()])
    document = json.loads(path.read_text())
    keypoints = document["annotations"][0]["keypoints"]
    keypoints[:3] = [40, 41, 2]
    path.write_text(json.dumps(document))
    moved = Landmark("kept", (41.0, 40.0), source=Source.CORRECTED)
    assert read_landmarks(path)[0]["kept"] == moved
    keypoints[:3] = [0, 0, 0]
    path.write_text(json.dumps(document))
    removed = Landmark("kept", None, State.SKIPPED, source=Source.CORRECTED)
    assert read_landmarks(path)[0]["kept"] == removed


def test_a_persons_point_is_no_finding_of_the_algorithm_in_a_report(tmp_path):
    import highdicom

    film = write_dicom(tmp_path / "film.dcm")
    path = tmp_path / "found.sr.dcm"
    write_landmarks(path, [corrected()], source=film)
    report = highdicom.sr.srread(path)
    by_algorithm = {
        group.tracking_identifier: any(
            item.ConceptNameCodeSequence[0].CodeValue == "111001"
            for item in group[0].ContentSequence
        )
        for group in report.content.get_planar_roi_measurement_groups()
    }
    assert by_algorithm == {"kept": True, "moved": False, "added": False}


# -- on the command line --------------------------------------------------------------


def test_the_commands_pass_sources_through(tmp_path):
    table = tmp_path / "found.csv"
    write_landmarks(table, [corrected()])
    for name in ("a.json", "b.mrk.json", "c.csv"):
        succeed("convert", table, tmp_path / name)
        table = tmp_path / name
    assert read_landmarks(table) == (corrected(),)
    call = ("evaluate", "--predicted", table, "--truth", tmp_path / "found.csv")
    summary = json.loads(run(*call, "--json").stdout)
    assert summary["predicted_sources"] == {"detected": 1, "corrected": 2, "placed": 1}
    assert "Predicted landmarks of a person, not of a detector: 3" in run(*call).stdout
