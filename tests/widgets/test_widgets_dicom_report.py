"""A DICOM report from the dock: where the image is DICOM, else the button says why not."""

from __future__ import annotations

import numpy as np
from clinic_scene import Clinic, add, detect, film, template
from oblique_image import write_dicom
from qtpy.QtWidgets import QFileDialog

from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.files.dicom_sr import why_no_report


def test_why_there_can_be_no_report(tmp_path):
    assert "opened from no file" in why_no_report(None)
    assert "film.png is none" in why_no_report(film(tmp_path, "film.png", 1))
    assert why_no_report(write_dicom(tmp_path / "image.dcm")) == ""


def test_the_button_writes_a_report_or_says_why_not(
    make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch
):
    clinic = Clinic(make_napari_viewer_proxy(show=True), qtbot)
    clinic.session.load_template(template())
    button = clinic.detect.form.save_report
    clinic.detected()
    assert "opened from no file" in button.toolTip()
    assert not button.isEnabled()
    clinic.dock.tabs.setCurrentWidget(clinic.review)
    clinic.project.create(tmp_path / "study")
    film(tmp_path / "images", "film.png", 1)
    write_dicom(tmp_path / "images" / "image.dcm")
    add(clinic, tmp_path / "images")
    detect(clinic)
    images = clinic.bench.review.images
    by_name = {images.name(key): key for key in images.keys}
    images.turn_to(by_name["film.png"])
    assert "film.png is none" in button.toolTip()
    images.turn_to(by_name["image.dcm"])
    assert button.isEnabled(), button.toolTip()
    asked = []
    out = tmp_path / "out" / "report"
    answer = (str(out), "")
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *shown: asked.append(shown) or answer
    )
    button.click()
    assert asked[0][2] == "image.sr.dcm"
    (report,) = read_landmarks(out.with_name("report.sr.dcm"))
    before = clinic.session.landmarks()
    assert np.allclose(report.positions_yx, before.positions_yx, atol=1e-3, equal_nan=True)
    assert clinic.detect.told_saved.endswith("report.sr.dcm")
    clinic.project.close_project()
