"""The table: nothing is lost, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from landmark_sets import example, in_a_table, landmark_sets, refuses, same

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State

HEADER = "image,landmark,x_px,y_px"


def read(tmp_path: Path, text: str | bytes) -> tuple[Landmarks, ...]:
    path = tmp_path / "truth.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_landmarks(path)


# -- round trip -----------------------------------------------------------------


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(landmark_sets(), min_size=1, max_size=3, unique_by=lambda s: s.image))
def test_nothing_is_lost(tmp_path, images):
    path = tmp_path / "found.csv"
    write_landmarks(path, images, overwrite=True)
    back = read_landmarks(path)
    assert len(back) == len(images)
    for before, after in zip(images, back, strict=True):
        assert same(in_a_table(before), after)


def test_the_columns_that_are_always_there_come_first(tmp_path):
    path = tmp_path / "found.csv"
    write_landmarks(path, [Landmarks.from_positions({"sella": (70.25, 100)}, "001.png")])
    assert path.read_text() == (
        "image,landmark,x_px,y_px,x_mm,y_mm,score,state\n001.png,sella,100.0,70.25,,,,placed\n"
    )


def test_a_whole_table_by_hand(tmp_path):
    path = tmp_path / "found.csv"
    write_landmarks(path, [example()])
    header, sella, nasion, porion, menton = path.read_text().splitlines()
    assert header.startswith("image,landmark,x_px,y_px,x_mm,y_mm,score,state,")
    assert sella.startswith(
        "images/001.png,sella,100.125,70.25,20.025000000000002,21.075,0.75,placed"
    )
    assert nasion.startswith("images/001.png,nasion,,,,,,skipped,,,,,,,,300,200,instant,vgg19")
    assert "0.75,placed,,,1.25,3.5," in sella
    assert porion.startswith("images/001.png,porion,,,,,,absent,,true,")
    assert menton.startswith("images/001.png,menton,5.0,0.30000000000000004,1.0,")


def test_spacing_survives_where_no_point_tells_it(tmp_path):
    geometry = Geometry((10, 20), (0.1, 0.3))
    points = (Landmark("a", (0.0, 0.0)), Landmark("b", None, State.ABSENT))
    path = tmp_path / "found.csv"
    write_landmarks(path, [Landmarks(points, "1.png", geometry)])
    assert read_landmarks(path)[0].geometry == geometry


# -- what spreadsheets make of it -------------------------------------------------


def test_four_columns_are_enough_in_any_order_beside_others(tmp_path):
    (images,) = read(
        tmp_path,
        "note,Y_PX,image, landmark ,x_px,x_junior_px\n"
        "hello,330.833,001.jpg,sella,277.0,276\n"
        ",343.667,001.jpg,nasion,489.333,488\n",
    )
    assert images.image == "001.jpg"
    assert images["sella"].position_yx == (330.833, 277.0)
    assert images.names == ("sella", "nasion")
    assert images.geometry is None


@pytest.mark.parametrize(
    ("start", "encoding"),
    [("\ufeff", "utf-8"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be"), ("", "utf-8")],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_marks_separators_and_line_ends(tmp_path, start, encoding, separator, line_end):
    rows = [HEADER.split(","), ["Ä.png", "größe", "1.5", "2.25"], [], ["b.png", "a", "3", "4"]]
    text = start + line_end.join(separator.join(row) for row in rows) + line_end
    first, second = read(tmp_path, text.encode(encoding))
    assert first.image == "Ä.png"
    assert first["größe"].position_yx == (2.25, 1.5)
    assert second["a"].position_yx == (4.0, 3.0)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(tmp_path, separator):
    text = f"{HEADER}\n1.png,sella,100;5,70;25\n".replace(",", separator)
    (images,) = read(tmp_path, text.replace(f"100;5{separator}70;25", f"100,5{separator}70,25"))
    assert images["sella"].position_yx == (70.25, 100.5)


def test_rows_of_an_image_need_not_stand_together(tmp_path):
    first, second = read(tmp_path, f"{HEADER}\nb,1,1,1\na,1,2,2\nb,2,3,3\n")
    assert (first.image, first.names) == ("b", ("1", "2"))
    assert (second.image, second.names) == ("a", ("1",))


def test_names_that_look_like_something_else_stay_text(tmp_path):
    (images,) = read(tmp_path, f"{HEADER}\n007,01,1,1\n007,NA,2,2\n007,nan,3,3\n")
    assert (images.image, images.names) == ("007", ("01", "NA", "nan"))


def test_a_missing_position_is_skipped_unless_the_state_says_otherwise(tmp_path):
    (images,) = read(tmp_path, f"{HEADER},state\na,1,,,\na,2,,,absent\na,3,1,1,\na,4,1,1,Placed\n")
    assert [point.state for point in images] == ["skipped", "absent", "placed", "placed"]


def test_the_given_geometry_is_used_where_the_table_has_none(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text(f"{HEADER}\na,1,1,1\n")
    geometry = Geometry((10, 20), (0.1, 0.1))
    assert read_landmarks(path, geometry=geometry)[0].geometry == geometry


def test_millimetres_from_elsewhere_are_refused(tmp_path):
    columns = f"{HEADER},x_mm,y_mm,height_px,width_px"
    (images,) = read(tmp_path, f"{columns}\na,1,10,20,1.001,2.0,50,60\na,2,30,40,3,4.001,50,60\n")
    assert images.geometry.spacing_mm_yx == pytest.approx((0.1, 0.1), rel=1e-3)
    text = f"{columns}\na,1,10,20,51,2,50,60\na,2,30,40,53,4,50,60\n"
    with pytest.raises(LandmarkError, match=r"line 2: .* of '1' .*; .* empty x_mm and y_mm"):
        read(tmp_path, text)


# -- what a person has changed in a spreadsheet ------------------------------------


def detected(count: int, spacing_mm: float = 0.3) -> Landmarks:
    points = (
        Landmark(
            *(f"l{n}", (7.31 * n + 5, 90 - 11.7 * n), State.PLACED, 0.9),
            source=Source.DETECTED,
            predicted_error_px=2.0,
        )
        for n in range(count)
    )
    return Landmarks(tuple(points), "a.png", Geometry((100, 120), (spacing_mm, spacing_mm)))


def written(tmp_path: Path, landmarks: Landmarks) -> list[list[str]]:
    write_landmarks(tmp_path / "found.csv", [landmarks], overwrite=True)
    return [line.split(",") for line in (tmp_path / "found.csv").read_text().splitlines()]


def read_again(tmp_path: Path, rows: list[list[str]]) -> tuple[Landmarks, list[str]]:
    told: list[str] = []
    (tmp_path / "found.csv").write_text("\n".join(map(",".join, rows)))
    (images,) = read_landmarks(tmp_path / "found.csv", tell=told.append)
    return images, told


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("digits", [None, 1, 2])
def test_a_moved_point_is_corrected_and_costs_no_millimetres(tmp_path, count, digits):
    rows = written(tmp_path, detected(count))
    for row in rows[1:]:
        if digits is not None:
            row[2:6] = [f"{float(cell):.{digits}f}" for cell in row[2:6]]
    rows[1][2] = "64.5"
    images, told = read_again(tmp_path, rows)
    assert images.geometry.spacing_mm_yx == pytest.approx((0.3, 0.3), rel=1e-2)
    moved, *others = images
    assert (moved.position_yx[1], moved.source, moved.score) == (64.5, Source.CORRECTED, None)
    assert moved.predicted_error_px is None
    assert {point.source for point in others} <= {Source.DETECTED}
    (sentence,) = told
    assert "found.csv: line 2 (l0 of a.png): the millimetres do not follow" in sentence
    assert "the pixels count, and the point is taken as corrected" in sentence


@pytest.mark.parametrize(
    ("digits", "spacing_mm"),
    [
        *((f".{n}g", mm) for n in range(5, 16) for mm in (0.3, 0.1371, 0.0025)),
        *((f".{n}f", mm) for n in (1, 2, 3) for mm in (0.3, 0.1371)),
    ],
)
def test_a_rounded_table_is_not_taken_for_a_changed_one(tmp_path, digits, spacing_mm):
    rows = written(tmp_path, detected(8, spacing_mm))
    for row in rows[1:]:
        row[2:6] = [f"{float(cell):{digits}}" for cell in row[2:6]]
    images, told = read_again(tmp_path, rows)
    assert told == []
    assert images.geometry.spacing_mm_yx == pytest.approx((spacing_mm, spacing_mm), rel=1e-2)


def test_an_unchanged_table_is_read_without_a_word(tmp_path):
    images, told = read_again(tmp_path, written(tmp_path, detected(5)))
    assert (images, told) == (detected(5), [])


def test_an_emptied_point_is_removed_by_a_person(tmp_path):
    rows = written(tmp_path, detected(5))
    rows[2][2:4], rows[2][7] = ["", ""], "absent"
    images, told = read_again(tmp_path, rows)
    assert (images["l1"].state, images["l1"].source) == (State.ABSENT, Source.CORRECTED)
    assert "line 3 (l1 of a.png)" in told[0]


def test_where_no_spacing_is_that_of_most_rows_a_line_is_named(tmp_path):
    rows = written(tmp_path, detected(4))
    rows[1][2], rows[2][2] = "64.5", "11"
    with pytest.raises(LandmarkError, match=r"csv: line \d: the millimetres of 'l\d' of"):
        read_again(tmp_path, rows)


def test_a_spacing_that_was_changed_alone_is_refused(tmp_path):
    rows = written(tmp_path, detected(4))
    for row, cell in zip(rows, ["spacing_mm_yx", *["0.2 0.2"] * 4], strict=True):
        row.append(cell)
    with pytest.raises(LandmarkError, match=r"line 2: .* do not follow .* spacing_mm_yx 0.2 0.2"):
        read_again(tmp_path, rows)


# -- what is wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("\ufeff \n\n", "is empty"),
        (b"\xff\xd8\xff\xe0\x01\x10JFIF", "is not UTF-8 text"),
        (b"image\0landmark", "is not a text file"),
        (HEADER, "holds no landmarks"),
        ("image,landmark,x,y\na,1,2,3\n", "has no column x_px, y_px in its first line"),
        ("a,1,2,3\n", "has no column image, landmark, x_px, y_px"),
        (HEADER.replace(",", "|") + "\na|1|2|3\n", "not separated by commas, semicolons"),
        (HEADER.replace(",", " ") + "\na 1 2 3\n", "not separated by commas, semicolons"),
        (f"{HEADER},x_px\na,1,2,3,4\n", "has two columns x_px"),
        (f"{HEADER}\na,1,2,3\na,1,4,5\n", "line 3: landmark '1' of image 'a' .* line 2"),
        (f"{HEADER}\na,1,2,three\n", "line 2: y_px is 'three', which is not a number"),
        (f"{HEADER}\na,1,nan,3\n", "line 2: x_px is empty; give both coordinates, or none"),
        (f"{HEADER}\na,1,inf,3\n", "line 2: x_px is 'inf'"),
        (f"{HEADER}\na,1,2,3\na,2,1e99,3\n", "line 3: landmark '2' has .* beyond any image"),
        (f"{HEADER}\na,1,1e999,3\n", "line 2: x_px is '1e999'"),
        (f"{HEADER}\na,1,1_0,3\n", "line 2: x_px is '1_0'"),
        (f'{HEADER}\na,1,"1,5",3\n', "line 2: x_px is '1,5'"),
        (f"{HEADER}\na,1,1,5,2,5\n", "line 2: 6 fields .* 4; write numbers with a dot"),
        ("image;landmark;x_px;y_px\na;1;1.234,5;3\n", "line 2: x_px is '1.234,5'"),
        (f"{HEADER}\na,1,2,3\na,2,4\n", "line 3: 3 fields where the first line has 4"),
        (f"{HEADER}\na,1,2,\n", "line 2: y_px is empty"),
        (f"{HEADER}\na,,2,3\n", "line 2: names no landmark"),
        (f"{HEADER}\na,1,2,3\n,1,2,3\n", "line 3 names no image"),
        (f"{HEADER},state\na,1,2,3,gone\n", "line 2: state is 'gone'; use one of absent"),
        (f"{HEADER},state\na,1,2,3,absent\n", "line 2: .* is absent but has a position"),
        (f"{HEADER},state\na,1,,,placed\n", "line 2: .* is placed but has no position"),
        (f"{HEADER},score\na,1,2,3,1.5\n", "line 2: score is 1.5; .* between 0 and 1"),
        (f"{HEADER},unsure\na,1,2,3,perhaps\n", "line 2: unsure is 'perhaps'"),
        (f"{HEADER},method\na,1,2,3,x\na,2,2,3,y\n", "line 3: method is 'y', but 'x'"),
        (f"{HEADER},height_px,width_px\na,1,2,3,ten,5\n", "size, spacing or orientation"),
        (f"{HEADER},height_px,width_px\na,1,2,3,0,5\n", "size, spacing or orientation"),
        (f'{HEADER}\n"a,1,2,3\n', "is not a line of a table"),
    ],
)
def test_every_mistake_is_named(tmp_path, text, match):
    path = tmp_path / "truth.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refuses(match, path)


def test_lines_are_counted_as_an_editor_does(tmp_path):
    text = f'{HEADER},description\n\na,1,2,3,"two\nlines"\na,2,x,3,\n'
    with pytest.raises(LandmarkError, match="line 5: x_px is 'x'"):
        read(tmp_path, text)
