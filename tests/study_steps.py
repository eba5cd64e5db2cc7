"""Learning and measuring in a study's window, and what of them must not differ afterwards."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from widget_scene import click

from napari_oneshot_lmk.measure.page import make_page
from napari_oneshot_lmk.review.learnt import Way
from napari_oneshot_lmk.review.pages import page_sources
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.project_set import own_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from study_window import Study

PATIENCE_S = 240
DISTANCE, ANGLE = ("sella", "nasion"), ("sella", "nasion", "menton")
MEASURED = {"S-N": ("distance", DISTANCE), "SNMe": ("angle", ANGLE)}


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Let the window work until something holds."""
    loop, look, end = QEventLoop(), QTimer(), time.monotonic() + PATIENCE_S

    def on_look() -> None:
        if done() or time.monotonic() > end:
            loop.quit()

    look.timeout.connect(on_look)
    look.start(20)
    loop.exec()
    # Wherever it is deleted: a timer that runs may only be deleted in its own thread.
    look.stop()
    if not done():
        raise SystemExit(f"waited in vain for {what}")


def learn(study: Study, way: Way) -> None:
    """Press "Learn from corrections…", choose a way, and let the others be detected with it."""
    panel = study.project.learn
    study.act("learn", panel.run)
    assert panel.apply.isVisible()
    assert "→" in panel.ways[way].text(), "what it gains is said"
    panel.ways[way].click()
    panel.apply.click()
    wait_until(lambda: not study.project.busy, "detection with what was learnt")
    QTest.qWait(100)
    assert study.project.images.project.learnt.way is way


def forget(study: Study) -> None:
    """Press "Forget what was learnt"."""
    study.project.learn.forget.click()
    QTest.qWait(100)
    assert study.project.images.project.learnt is None


def measure(study: Study) -> None:
    """Define measurements by clicks; values in the tab, in the table and beside the pages."""
    study.dock.tabs.setCurrentWidget(study.measure)
    form = study.measure.form
    study.viewer.reset_view()
    for called, (kind, names) in MEASURED.items():
        form.define.click()
        definition = form.definition
        definition.kind.setCurrentIndex(definition.kind.findData(kind))
        for name in names:
            click(study.viewer, study.session.target.layer, study.at(name))
        assert definition.draft.names == names
        QTest.keyClicks(definition.name, called)
        definition.add.click()
    compare_values(study)
    table, pages = study.folder / "measured.csv", study.folder / "pages"
    QFileDialog.getSaveFileName = lambda *_, **__: (str(table), "")
    run = study.measure.run
    form.all_images.click()
    wait_until(lambda: not run.running, "the table of all images")
    pages.mkdir()
    QFileDialog.getExistingDirectory = lambda *_, **__: str(pages)
    form.page_format.setCurrentIndex(form.page_format.findData("pdf"))
    form.pages.click()
    wait_until(lambda: not run.running, "the pages")
    images = study.project.images
    written = {path.stem for path in pages.glob("*/*.pdf")}
    assert written == {Path(images.name(key)).stem for key in images.keys}
    (beside,) = pages.glob("*/measurements.csv")
    rows = pd.read_csv(table, index_col="image")
    values = pd.read_csv(beside).set_index(["image", "measurement"])["value"]
    for key in images.keys:
        image = images.name(key)
        for called, (value, unit) in by_hand(study, key).items():
            for found in (rows.loc[image, f"{called} [{unit}]"], values[image, called]):
                assert abs(found - value) < 0.01, (image, called, found, value)


def compare_values(study: Study) -> None:
    """Stop where the tab shows other values than points and spacing give."""
    # Beside the ready set that is proposed for these landmarks.
    shown = {row.name: row.value for row in study.measure.form.table.rows}
    for name, (value, unit) in by_hand(study, study.project.images.current).items():
        assert shown[name] == f"{value:.1f} {unit}", f"{name} is {shown[name]}, not {value} {unit}"


def by_hand(study: Study, key: str) -> dict[str, tuple[float, str]]:
    """Work out the measurements of an image from its points and spacing."""
    landmarks = study.project.images.landmarks(key)
    mm = landmarks.geometry.spacing_mm_yx
    assert mm is not None
    at = {p.name: (p.position_yx[0] * mm[0], p.position_yx[1] * mm[1]) for p in landmarks.placed}
    a, b, c = (at[name] for name in ANGLE)
    to_a, to_c = (math.atan2(p[0] - b[0], p[1] - b[1]) for p in (a, c))
    angle = abs(math.degrees(to_a - to_c)) % 360
    return {"S-N": (math.dist(a, b), "mm"), "SNMe": (min(angle, 360 - angle), "°")}


def held(project: Project) -> dict[str, Any]:
    """Return what was learnt, what is measured, and what the pages say but when they are made."""
    own, learnt = own_set(project), project.learnt
    pages = {}
    for source in () if own is None else page_sources(project):
        page = make_page(source.read(), source.landmarks, own, further=source.further)
        facts = [fact for fact in page.facts if fact[0] != "Page made"]
        pages[source.name] = facts, [(v.measurement.name, v.value, v.unit) for v in page.values]
    return {
        "learnt": None if learnt is None else learnt.model_dump(mode="json"),
        "measurements": None if own is None else own.model_dump(mode="json"),
        "pages": pages,
    }
