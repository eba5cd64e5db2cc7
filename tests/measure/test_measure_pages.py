"""Pages of measurements: what they say, what is written, what goes wrong."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_scene import one_sentence, run
from PIL import Image

from napari_oneshot_lmk.errors import GeometryError, ImageError, OutputError, UsageError
from napari_oneshot_lmk.imaging.image import GrayImage, SpacingSource
from napari_oneshot_lmk.landmarks.files import write_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
from napari_oneshot_lmk.measure.page import make_page, readable_time
from napari_oneshot_lmk.measure.page_drawing import draw_page
from napari_oneshot_lmk.measure.page_files import PageSource, write_pages
from napari_oneshot_lmk.measure.page_format import PageFormat
from napari_oneshot_lmk.measure.page_layout import elided, name_places, text_width_mm, wrapped
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.project_set import keep_set

NORM = {"mean": 10.0, "sd": 2.0, "population": "twenty wings", "source": "A book"}
WINGS = MeasurementSet.model_validate(
    {
        "title": "Wing",
        "measurement": [
            {"name": "length", "kind": "distance", "points": ["base", "tip"], "norm": NORM},
            {"name": "gone", "kind": "distance", "points": ["base", "nowhere"]},
        ],
    }
)
POINTS = {"base": (10.0, 10.0), "tip": (40.0, 50.0)}
BY = Provenance("instant", "vgg19", "wing_1", "Ann", "2026-01-02T03:04:05+00:00")


def image(name: str = "a.png", spacing: float | None = 0.2, shape: tuple[int, int] = (60, 80)):
    pixels = np.random.default_rng(0).normal(size=shape)
    return GrayImage.from_array(pixels, spacing, name)


def source(name: str = "a.png", **about) -> PageSource:
    return PageSource(name, Landmarks.from_positions(POINTS, name), lambda: image(name, **about))


def unreadable() -> GrayImage:
    raise ImageError("is damaged", remedy="copy it again")


def texts(figures) -> str:
    return "\n".join(t.get_text() for f in figures for axes in f.axes for t in axes.texts)


def test_a_page_says_who_decided_what_and_where_the_spacing_is_from() -> None:
    points = (
        Landmark("base", (10.0, 10.0), source=Source.CORRECTED, author="Bob"),
        Landmark("tip", (40.0, 50.0), score=0.4, unsure=True, source=Source.DETECTED),
        Landmark("edge", (20.0, 50.0), source=Source.ACCEPTED),
        Landmark("notch", state=State.ABSENT, source=Source.CORRECTED),
    )
    known = replace(image(), spacing_source=SpacingSource.IMAGER)
    page = make_page(
        known,
        Landmarks(points, "a.png", None, BY),
        WINGS,
        further=[("Project", "study")],
        now=datetime(2026, 5, 6, 7, 8),
    )
    facts = dict(page.facts)
    assert facts["Image"] == "a.png, 80 x 60 pixels (width x height)"
    assert facts["Pixel spacing"].endswith("ImagerPixelSpacing, in the plane of the detector")
    assert facts["Detected by"] == f"instant, template wing_1, {readable_time(BY.created)}"
    assert re.fullmatch(r"2026-01-0[123] \d\d:\d4", readable_time(BY.created))
    assert readable_time("last week") == "last week"
    assert facts["Corrected by Bob"] == "base"
    assert facts["Accepted by Ann"] == "edge"
    assert facts["Not looked at"] == "tip; 1 of them unsure"
    assert facts["Absent"] == "notch"
    assert facts["Project"] == "study"
    assert facts["Page made"] == "2026-05-06 07:08"
    drawn = texts(draw_page(page))
    for said in ("a.png", "Wing", "10.0 mm", "10 ± 2 ", "+0.0 SD", "nowhere not placed", "tip"):
        assert said in drawn
    assert "1 A book: twenty wings" in drawn


def test_without_a_spacing_lengths_are_in_pixels_and_compared_with_nothing() -> None:
    page = make_page(image(spacing=None), Landmarks.from_positions(POINTS), WINGS)
    assert dict(page.facts)["Pixel spacing"] == "unknown: lengths are in pixels"
    drawn = texts(draw_page(page))
    assert "50.0 px" in drawn
    assert " SD" not in drawn.replace("-2 SD", "").replace("+2 SD", "")
    placed = Landmarks.from_positions(POINTS, "a.png", image().geometry)
    with pytest.raises(GeometryError, match="on 60 x 80 pixels, but the image has 30 x 80"):
        make_page(image(shape=(30, 80)), placed, WINGS)


@pytest.mark.parametrize("shape", [(20, 900), (900, 20)])
def test_odd_images_long_names_and_long_tables_stay_on_the_sheet(shape: tuple[int, int]) -> None:
    names = [f"landmark {i} with $a$ name that goes on and on for ever" for i in range(60)]
    random = np.random.default_rng(1)
    points = {name: tuple(random.uniform(0, np.array(shape) - 1)) for name in names}
    many = [
        {"name": f"{i} {'and so on ' * 9}", "kind": "path", "points": names[:2]} for i in range(90)
    ]
    chosen = MeasurementSet.model_validate({"title": "T" * 200, "measurement": many})
    placed = Landmarks.from_positions(points, "folder/" + "x" * 300 + ".png")
    figures = draw_page(make_page(image("x" * 300, shape=shape), placed, chosen))
    assert len(figures) in (2, 3)
    assert sum(t.get_text().endswith(" mm") for f in figures for t in f.axes[0].texts) >= 90
    for figure in figures:
        sheet = figure.axes[0]
        for text in sheet.texts:
            wide = text_width_mm(
                text.get_text(), text.get_fontsize(), bold=text.get_weight() == "bold"
            )
            x, left = text.get_position()[0], {"left": 0, "center": 0.5, "right": 1}[text.get_ha()]
            assert x - left * wide > 10
            assert x - left * wide + wide < 200
            assert 10 < text.get_position()[1] < 290


def test_texts_are_cut_in_the_middle_and_broken_between_words() -> None:
    cut = elided("a_very_long_file_name_0017.png", 25, 8)
    assert cut.startswith("a_")
    assert cut.endswith(".png")
    assert "…" in cut
    assert text_width_mm(cut, 8) <= 25
    assert elided("short", 25, 8) == "short"
    lines = wrapped("one two three four five six seven eight nine ten", 20, 8, 2)
    assert len(lines) == 2
    assert lines[0].startswith("one two")
    assert lines[1].endswith("ten")
    assert all(text_width_mm(line, 8) <= 20 for line in lines)


def test_names_of_crowded_points_do_not_cover_each_other() -> None:
    points = np.array([[50.0, 50.0], [50.5, 51.0], [51.0, 50.0], [49.0, 51.5], [51.5, 51.5]])
    sizes = [(2.0, 15.0)] * 5
    corners = name_places(points, sizes, (100.0, 100.0), 1.3)
    for a, b in combinations(corners, 2):
        assert abs(a[0] - b[0]) >= 2.0 or abs(a[1] - b[1]) >= 15.0
    in_corner = name_places(np.array([[0.0, 99.0]]), [(2.0, 15.0)], (100.0, 100.0), 1.3)
    assert in_corner[0][0] >= 0
    assert in_corner[0][1] + 15 <= 100


def test_a_bad_image_is_named_and_the_others_have_pages_and_a_table(tmp_path: Path) -> None:
    bad = PageSource("bad.png", Landmarks.from_positions(POINTS, "bad.png"), unreadable)
    sources = [source("f/a.png"), bad, source("g/a.png", spacing=None), source("A.PNG")]
    pages = list(write_pages(sources, WINGS, tmp_path, form=PageFormat.PNG))
    assert [[file.name for file in page.files] for page in pages] == [
        ["f_a.png"],
        [],
        ["g_a.png"],
        ["A.png"],
    ]
    assert str(pages[1].error) == "bad.png: is damaged; copy it again"
    with Image.open(tmp_path / "A.png") as page:
        assert page.size == (1653, 2338)
    table = pd.read_csv(tmp_path / "measurements.csv")
    taken = table[table["measurement"] == "length"].set_index("image")
    assert taken["unit"].to_dict() == {
        "f/a.png": "mm",
        "bad.png": "px",
        "g/a.png": "px",
        "A.PNG": "mm",
    }
    with pytest.raises(OutputError, match="exists already"):
        next(write_pages([source("A.png")], WINGS, tmp_path, form=PageFormat.PNG))
    with pytest.raises(UsageError, match="only a PDF"):
        next(write_pages(sources, WINGS, tmp_path, form=PageFormat.PNG, one_file=True))
    with pytest.raises(UsageError, match="no image has landmarks"):
        next(write_pages([], WINGS, tmp_path))


def test_who_stops_keeps_what_is_written_and_half_a_file_is_never_there(tmp_path: Path) -> None:
    sources = [source("a.png"), source("b.png")]
    with closing(write_pages(sources, WINGS, tmp_path / "each")) as pages:
        next(pages)
    assert [file.name for file in (tmp_path / "each").iterdir()] == ["a.pdf"]
    with closing(write_pages(sources, WINGS, tmp_path / "one", one_file=True)) as pages:
        next(pages)
    assert not (tmp_path / "one").exists() or not list((tmp_path / "one").iterdir())
    list(write_pages(sources, WINGS, tmp_path / "one", one_file=True))
    assert {f.name for f in (tmp_path / "one").iterdir()} == {"pages.pdf", "measurements.csv"}
    written = (tmp_path / "one" / "pages.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b(?!s)", written)) == 2


def save_image(path: Path) -> Path:
    pixels = np.random.default_rng(3).integers(0, 255, (60, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_commands_write_pages_of_a_file_and_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "images" / name)
    WINGS.save(tmp_path / "wing.toml")
    found, own = tmp_path / "found.csv", ("--set", tmp_path / "wing.toml")
    sets = [Landmarks.from_positions(POINTS, name) for name in ("a.png", "b.png", "c.png")]
    write_landmarks(found, sets)
    arguments = ("measure", found, *own, "--images", tmp_path / "images")
    result = run(*arguments, "--report", tmp_path / "pages", "--spacing", 0.2)
    assert result.exit_code == 1
    assert "pages of 2 images" in result.output
    assert "c.png: is not among the images" in result.output
    assert len(list((tmp_path / "pages").glob("*.pdf"))) == 2
    table = pd.read_csv(tmp_path / "pages" / "measurements.csv")
    assert table.set_index(["image", "measurement"]).loc[("a.png", "length"), "value"] == 10.0
    none = run("measure", found, *own, "--report", tmp_path / "none")
    assert none.exit_code == 2
    assert one_sentence(none)
    assert "--images" in none.output

    template = Template.create(image("t.png"), Landmarks.from_positions(POINTS, "t.png"))
    with Project.create(tmp_path / "p", template, [tmp_path / "images"], reader="Ann") as project:
        first, second = (each.id for each in project.images)
        for each in (first, second):
            project.record(each, sets[0], action="place", reader="Ann")
        keep_set(project, WINGS)
    (tmp_path / "images" / "b.png").unlink()
    arguments = ("project", "report", tmp_path / "p", "--out", tmp_path / "study")
    result = run(*arguments, "--format", "png", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [Path(file).name for file in told["pages"]] == ["a.png"]
    assert len(told["failed"]) == 1
    assert "is not where it was" in told["failed"][0]["error"]
    # The project's own set, without being named.
    assert set(pd.read_csv(tmp_path / "study" / "measurements.csv")["measurement"]) == {
        "length",
        "gone",
    }
