"""Spacing from the ruler on an image, in a real window."""

from __future__ import annotations

import pytest
from clinic_scene import Clinic
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from widget_scene import drag, textured


@pytest.fixture
def measuring(make_napari_viewer_proxy, qtbot):
    """A window with two images of unknown spacing and one of known, and the ruler at hand."""
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    for number in range(2):
        clinic.viewer.add_image(textured(seed=number), name=f"image {number}")
    clinic.viewer.add_image(textured(seed=5), name="known", scale=(0.3, 0.3), units="mm")
    clinic.bench.choice.choose(clinic.viewer.layers["image 0"])
    clinic.dock.header.measure.click()
    qtbot.wait(20)
    clinic.ruler = clinic.dock.header.ruler
    return clinic


def line(clinic, start_yx, end_yx, length=""):
    drag(clinic.viewer, clinic.viewer.layers["image 0"], start_yx, end_yx)
    line_length(clinic, length)


def line_length(clinic, length):
    QTest.keyClicks(clinic.ruler.length, length)
    QTest.keyClick(clinic.ruler.length, Qt.Key.Key_Return)


def spacing(clinic, name):
    clinic.bench.choice.choose(clinic.viewer.layers[name])
    return clinic.session.spacing.mm_yx


def test_a_line_and_its_length_give_the_spacing_of_all_that_have_none(measuring):
    assert "ruler" in [layer.name for layer in measuring.viewer.layers]
    assert not measuring.ruler.use.isEnabled()
    line(measuring, (40, 30), (40, 130), "20")
    assert "1 line: 0.2" in measuring.ruler.say.text()
    measuring.ruler.use.click()
    assert "ruler" not in [layer.name for layer in measuring.viewer.layers]
    mm = spacing(measuring, "image 0")
    assert mm == pytest.approx((0.2, 0.2), rel=0.02)
    assert spacing(measuring, "image 1") == mm
    assert spacing(measuring, "known") == pytest.approx((0.3, 0.3))


def test_several_lines_are_averaged_and_only_this_image_gets_it(measuring):
    line(measuring, (40, 30), (40, 130), "20")
    line(measuring, (60, 20), (200, 20))
    assert "2 lines" in measuring.ruler.say.text()
    measuring.ruler.for_all.setChecked(False)
    measuring.ruler.use.click()
    assert spacing(measuring, "image 0") == pytest.approx((40 / 240,) * 2, rel=0.02)
    assert spacing(measuring, "image 1") is None


def test_it_ends_with_the_image_with_its_layer_and_on_cancel(measuring):
    measuring.bench.choice.choose(measuring.viewer.layers["image 1"])
    assert not measuring.ruler.measuring
    measuring.dock.header.measure.click()
    measuring.viewer.layers.remove(measuring.viewer.layers["ruler"])
    assert not measuring.ruler.measuring
    measuring.dock.header.measure.click()
    measuring.ruler.cancel.click()
    assert not measuring.ruler.measuring
    assert measuring.session.spacing.mm_yx is None


def test_a_wrong_length_is_corrected_a_comma_is_read_and_lines_keep_theirs(measuring):
    line(measuring, (40, 30), (40, 130), "200")
    measuring.ruler.length.clear()
    line_length(measuring, "20,5")
    assert measuring.ruler.lines[0].length_mm == 20.5
    measuring.ruler.length.clear()
    line(measuring, (60, 20), (200, 20), "10")
    layer = measuring.viewer.layers["ruler"]
    layer.selected_data = {0}
    layer.remove_selected()
    assert [each.length_mm for each in measuring.ruler.lines] == [10.0]
    measuring.ruler.length.clear()
    line_length(measuring, "1e")
    assert "number of millimetres" in measuring.ruler.say.text()
    measuring.ruler.use.click()
    assert measuring.ruler.measuring
