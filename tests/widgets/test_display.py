"""How images are shown: contrast and loupe change the display and nothing else."""

import time

import numpy as np
import pytest
from clinic_scene import POINTS, template
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from widget_scene import canvas, press_key, spot, textured

from napari_oneshot_lmk.review.contrast import Contrast, contrast_limits

KEY = Qt.Key


@pytest.fixture
def two(clinic):
    """Two images with detected points."""
    clinic.session.load_template(template())
    for number in range(2):
        image = clinic.add(seed=3 + number, name=f"image {number}")
        clinic.bench.choice.choose(image)
        clinic.run(clinic.detect.form.here)
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    return clinic


def test_contrast_stays_for_the_next_image_and_pixels_points_and_detection_stay(two):
    images = {la.name: la for la in two.viewer.layers if la.name in ("image 0", "image 1")}
    before = {name: image.data.copy() for name, image in images.items()}
    points = two.session.annotation
    display, entries = two.bench.display, two.review.display.actions_
    assert not entries[Contrast.FULL].isChecked()
    for wanted in (Contrast.PERCENTILES, Contrast.BRIGHT, Contrast.DARK, Contrast.FULL):
        press_key(two.viewer, KEY.Key_G)
        assert display.contrast is wanted
        assert entries[wanted].isChecked()
        limits = contrast_limits(textured(seed=4), wanted)
        assert images["image 1"].contrast_limits == pytest.approx(limits)
        assert wanted.split()[0] in two.review.form.message.text().lower()
    entries[Contrast.BRIGHT].trigger()
    press_key(two.viewer, KEY.Key_I)
    assert images["image 1"].colormap.name == "gray_r"
    assert images["image 0"].colormap.name == "gray"
    press_key(two.viewer, KEY.Key_PageDown)
    assert two.session.target.layer.name == "image 0"
    assert images["image 0"].colormap.name == "gray_r"
    limits = contrast_limits(textured(seed=3), Contrast.BRIGHT)
    assert images["image 0"].contrast_limits == pytest.approx(limits)
    press_key(two.viewer, KEY.Key_I)
    assert images["image 0"].colormap.name == "gray"
    for name, image in images.items():
        assert np.array_equal(image.data, before[name])
    press_key(two.viewer, KEY.Key_PageUp)
    assert two.session.annotation == points
    # What is detected goes by the pixels.
    two.run(two.detect.form.here)
    assert np.array_equal(two.fake.images[-1].pixels, before["image 1"])
    assert two.at("a") == points.landmarks["a"].position_yx


def test_the_loupe_shows_the_pixels_under_the_mouse_and_keeps_out_of_its_way(two):
    display, layer = two.bench.display, two.session.target.layer
    press_key(two.viewer, KEY.Key_L)
    loupe = display.loupe
    assert loupe is not None
    assert display.loupe_zoom == 4
    two.review.display.actions_[8].trigger()
    assert display.loupe is loupe
    widget = canvas(two.viewer)
    at = POINTS["b"]
    QTest.mouseMove(widget, spot(two.viewer, layer, at))
    two.qtbot.waitUntil(lambda: two.viewer.cursor.position[-1] != 1.0)
    two.qtbot.waitUntil(lambda: not loupe._soon.isActive())
    y, x = (round(v) for v in two.viewer.cursor.position[-2:])
    shown = loupe.grab().toImage()
    low, high = layer.contrast_limits
    middle = QPoint(loupe.width() // 2, loupe.height() // 2)
    exact = two.viewer.cursor.position[-2:]
    for rows, columns in ((3, 3), (-4, 2), (5, -5)):
        # The middle of a pixel of the image, 8 pixels of the screen for each.
        off = [8 * (y + rows - exact[0]), 8 * (x + columns - exact[1])]
        grey = shown.pixelColor(middle.x() + round(off[1]), middle.y() + round(off[0])).red()
        value = (layer.data[y + rows, x + columns] - low) / (high - low)
        assert grey == pytest.approx(255 * value, abs=4)
    # A movement costs little: it is drawn later, and not for each event.
    took, drawn = [], []
    draw = loupe.draw
    for n in range(60):
        began = time.process_time()
        loupe._on_moved()
        took.append(time.process_time() - began)
        if n % 10 == 0:
            began = time.process_time()
            draw()
            drawn.append(time.process_time() - began)
    assert np.median(took) < 1e-3
    assert np.median(drawn) < 5e-3
    press_key(two.viewer, KEY.Key_L)
    assert display.loupe is None
    assert two.review.display.actions_[0].isChecked()
    QTest.mouseMove(widget, spot(two.viewer, layer, (20, 20)))
    press_key(two.viewer, KEY.Key_L)
    assert display.loupe_zoom == 8
