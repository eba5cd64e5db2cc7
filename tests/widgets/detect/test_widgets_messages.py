"""The dock "Detect landmarks" says nothing that is true of another image, or not any more."""

from typing import Any

import pytest
from clinic_scene import Clinic, template


@pytest.fixture
def clinic(make_napari_viewer_proxy: Any, qtbot: Any) -> Clinic:
    """Two images on which something was detected; the second lies mirrored."""
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.session.load_template(template())
    clinic.add(1, "one")
    clinic.run(clinic.detect.form.here)
    clinic.fake.orientation = "mirrored"
    clinic.add(2, "two")
    clinic.run(clinic.detect.form.here)
    return clinic


def choose(clinic: Clinic, name: str) -> None:
    clinic.bench.choice.choose(clinic.viewer.layers[name])


def test_a_message_is_about_the_image_that_is_shown(clinic):
    form = clinic.detect.form
    assert "3 landmarks in" in form.message.text()
    assert "mirrored" in form.of_image.text()
    choose(clinic, "one")
    assert form.message.text() == ""
    assert form.of_image.text() == ""
    choose(clinic, "two")
    assert "The image lies mirrored" in form.of_image.text()


def test_images_that_lie_otherwise_are_named(clinic):
    form = clinic.detect.form
    clinic.run(form.everywhere)
    assert form.message.text().endswith("2 of them mirrored or turned: one, two")
    choose(clinic, "one")
    # What was said of all stays true of all.
    assert "2 images done" in form.message.text()
    assert "The image lies mirrored" in form.of_image.text()


def test_a_run_that_ends_on_an_image_that_is_not_shown_names_it(clinic):
    form = clinic.detect.form
    with clinic.qtbot.waitSignal(clinic.detect.finished, timeout=20_000):
        form.here.click()
        choose(clinic, "one")
    assert form.message.text().startswith("two: 3 landmarks in")
    choose(clinic, "two")
    choose(clinic, "one")
    assert form.message.text() == ""


def test_what_was_said_goes_when_it_is_undone(clinic):
    form = clinic.detect.form
    clinic.viewer.layers.remove(clinic.marks)
    clinic.qtbot.wait(20)
    assert "taken off with their layer" in form.message.text()
    assert form.of_image.text() == ""
    form.undo.click()
    assert form.message.text() == ""
    assert "mirrored" in form.of_image.text()


def test_a_complaint_about_a_template_stays(clinic, tmp_path):
    clinic.detect.load_template(tmp_path / "nothing")
    said = clinic.detect.form.message.text()
    assert "nothing" in said
    choose(clinic, "one")
    assert clinic.detect.form.message.text() == said


def test_an_image_whose_points_are_nearly_all_unsure_is_doubted_while_it_is_shown(clinic):
    form = clinic.detect.form
    clinic.fake.unsure = ("a", "b", "c")
    clinic.add(3, "hand")
    clinic.run(form.here)
    assert "look whether this image shows what the template shows" in form.of_image.text()
    choose(clinic, "one")
    assert "what the template shows" not in form.of_image.text()
