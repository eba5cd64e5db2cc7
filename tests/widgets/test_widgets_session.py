"""The state that docks share, and docks that come and go, in a real viewer."""

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from widget_scene import begin, placed, textured, type_spacing

from napari_oneshot_lmk.errors import GeometryError, TemplateError, UsageError
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM, parse_landmark_list
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.widgets.annotate.list_menu import NamesDialog
from napari_oneshot_lmk.widgets.annotate.widget import AnnotateWidget
from napari_oneshot_lmk.widgets.detect.widget import DetectWidget
from napari_oneshot_lmk.widgets.dock import STEPS, OneshotDock
from napari_oneshot_lmk.widgets.layers.image_view import ImageView
from napari_oneshot_lmk.widgets.layers.points import METADATA
from napari_oneshot_lmk.widgets.session import Session
from napari_oneshot_lmk.widgets.viewer_session import session_of


def test_docks_of_a_viewer_share_a_session(viewer):
    image = viewer.add_image(textured(), name="image")
    annotate, detect = AnnotateWidget(viewer), DetectWidget(viewer)
    assert annotate.session is detect.session is session_of(viewer)
    assert annotate.bench is AnnotateWidget(viewer).bench
    assert annotate.session.target.layer == image
    layer = begin(annotate, "a,b", (10, 10))
    annotate.form.use_template.click()
    assert detect.form.here.isEnabled()
    assert "1 landmark<" in detect.form.template.text()
    assert not annotate.form.use_template.isEnabled()
    assert annotate.form.use_template.text() == "Template in use"
    layer.add((20, 10))
    assert annotate.form.use_template.text() == "Update template"


def test_a_closed_dock_loses_nothing(viewer, qtbot):
    viewer.add_image(textured(), name="image")
    dock = OneshotDock(viewer)
    assert list(dock.steps) == list(STEPS)
    inner = viewer.window.add_dock_widget(dock)
    layer = begin(dock.steps["Annotate"], "a,b,c", (10, 10))
    dock.steps["Annotate"].form.use_template.click()
    template = dock.session.template
    gone = weakref.ref(dock)
    viewer.window.remove_dock_widget(inner)
    dock.deleteLater()
    del dock, inner
    qtbot.wait(50)
    gc.collect()
    assert gone() is None
    # The layer goes on working, and what it gets is still saved.
    layer.add((20, 10))
    viewer.add_image(textured(seed=3), name="next")
    again = OneshotDock(viewer)
    assert again.session.template is template
    viewer.layers.selection.active = viewer.layers["image"]
    assert again.steps["Annotate"].form.progress.format() == "2 of 3"


def test_each_image_has_its_own_annotation(viewer):
    one = viewer.add_image(textured(seed=1), name="one")
    two = viewer.add_image(textured(seed=2), name="two")
    dock = AnnotateWidget(viewer)
    assert dock.session.target.layer == two
    begin(dock, "a,b", (10, 10))
    viewer.layers.selection.active = one
    assert len(dock.session.annotation.landmarks) == 0
    begin(dock, "a,b", (50, 60))
    viewer.layers.selection.active = two
    assert placed(dock) == {"a": (10, 10)}
    assert viewer.layers["landmarks – two"].data.tolist() == [[10, 10]]
    assert viewer.layers["landmarks – one"].data.tolist() == [[50, 60]]
    # A removed image takes its annotation along; the other stays.
    viewer.layers.remove(one)
    assert placed(dock) == {"a": (10, 10)}
    viewer.layers.remove(two)
    assert dock.session.target is None
    assert dock.form.prompt.text() == "Open an image to annotate it."


def test_earlier_work_is_offered_and_continued(make_napari_viewer_proxy):
    viewer, again = make_napari_viewer_proxy(), make_napari_viewer_proxy()
    for one in (viewer, again):
        one.add_image(textured(seed=11), name="image")
    dock = AnnotateWidget(viewer)
    dock.follow_list(ISBI19_CEPHALOGRAM)
    dock.place()
    for number in range(17):
        viewer.layers[-1].add((10 + number, 20))
    before = dock.session.landmarks()
    dock = AnnotateWidget(again)
    assert not dock.form.offer.isHidden()
    assert "17 of 19" in dock.form.offer.text.text()
    dock.form.offer.take.click()
    assert dock.form.offer.isHidden()
    assert dock.session.landmarks().points == before.points
    assert dock.form.list_title.text() == ISBI19_CEPHALOGRAM.title
    assert dock.session.annotation.current == before.names[17]
    assert len(again.layers[-1].data) == 17
    sidecar = dock.bench.autosave.sidecar.path
    again.layers[-1].add((40, 20))
    kept = sidecar.name.removesuffix(".landmarks.csv")
    assert [p.name for p in sidecar.parent.glob(f"{kept}*")] == [sidecar.name]


def test_starting_afresh_keeps_the_earlier_file(make_napari_viewer_proxy):
    for number in range(2):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(textured(seed=12), name="image")
        dock = AnnotateWidget(viewer)
        if number:
            dock.form.offer.leave.click()
            assert dock.form.offer.isHidden()
            viewer.add_points([(1, 1)])
            assert dock.form.offer.isHidden()
        begin(dock, "a,b", (10 + number, 20))
    sidecar = dock.bench.autosave.sidecar.path
    assert len(list(sidecar.parent.glob(f"{sidecar.name.split('.')[0]}*"))) == 2


def test_a_points_layer_becomes_a_template(viewer):
    viewer.add_image(textured(seed=13), name="image", scale=(0.5, 0.5), units="mm")
    marks = viewer.add_points(
        [(5, 10), (20, 30)], features={"label": ["a", "b"]}, units="mm", name="marks"
    )
    dock = AnnotateWidget(viewer)
    # Only landmarks that are known to be this image's are offered unasked.
    assert dock.form.offer.isHidden()
    marks.metadata = {METADATA: {"image": "image"}}
    dock._on_target()
    assert not dock.form.offer.isHidden()
    assert "2 landmarks" in dock.form.offer.text.text()
    dock.adopt(marks)
    assert dock.form.offer.isHidden()
    assert dock.form.prompt.text() == "All landmarks are decided."
    dock.form.use_template.click()
    template = dock.session.template
    assert template.landmarks["b"].position_yx == (40, 60)
    assert template.image.geometry.spacing_mm_yx == (0.5, 0.5)


def test_the_spacing_field(viewer):
    viewer.add_image(textured(seed=14), name="image")
    dock = AnnotateWidget(viewer)
    header = dock.header
    assert header.spacing_note.text() == "spacing unknown"
    for wrong in ("abc", "0", "-1", "1000", "nan"):
        type_spacing(dock, wrong)
        assert header.spacing_note.text().startswith("not a spacing")
        assert dock.session.spacing.mm_yx is None
    type_spacing(dock, "0.1 x 0.12")
    assert dock.session.spacing.mm_yx == (0.1, 0.12)
    assert header.spacing_note.text() == ""
    begin(dock, "a", (10, 10))
    assert dock.session.make_template().image.geometry.spacing_mm_yx == (0.1, 0.12)
    type_spacing(dock, "")
    assert dock.session.spacing.mm_yx is None
    other = viewer.add_image(textured(seed=15), name="other", scale=(0.2, 0.2))
    viewer.layers.selection.active = other
    assert header.spacing.text() == "0.2"
    assert header.spacing_note.text() == "no unit: taken as mm"
    # A wrong one is forgotten after a right one, the same as before or another.
    for right in ("0.2", "0.3"):
        type_spacing(dock, "abc")
        assert header.spacing_note.text().startswith("not a spacing")
        type_spacing(dock, right)
        assert not header.spacing_note.text().startswith("not a spacing")


def test_the_header_follows_the_viewer(viewer):
    dock = OneshotDock(viewer)
    header = dock.header
    assert "Open Sample" in header.size.text()
    one = viewer.add_image(textured((60, 50)), name="one")
    assert header.chooser.currentText() == "one"
    assert header.size.text() == "60 × 50 px"
    stack = viewer.add_image(np.stack([textured()] * 5), name="stack")
    assert header.size.text() == "240 × 200 px · slice 1 of 5"
    viewer.dims.set_current_step(0, 4)
    assert header.size.text() == "240 × 200 px · slice 5 of 5"
    stack.name = "renamed"
    assert header.chooser.currentText() == "renamed"
    viewer.dims.ndisplay = 3
    assert "3-D" in header.size.text()
    assert dock.session.target is None
    viewer.dims.ndisplay = 2
    assert dock.session.target == ImageView(stack, (4,))
    # Choosing an image here hides the others, and their landmarks.
    header.chooser.activated.emit(0)
    assert dock.session.target.layer == one
    assert (one.visible, stack.visible) == (True, False)


def test_another_list_says_what_it_drops(viewer):
    viewer.add_image(textured(seed=16), name="image")
    dock = AnnotateWidget(viewer)
    layer = begin(dock, "a,b", (10, 10))
    dock.follow_list(parse_landmark_list("b,c"))
    assert "a is not in this list" in dock.form.message.text()
    assert len(layer.data) == 0
    dock.session.undo()
    assert layer.data.tolist() == [[10, 10]]


def test_names_are_typed_or_read(qtbot, viewer, tmp_path):
    dialog = NamesDialog()
    qtbot.addWidget(dialog)
    ok = dialog.buttons.button(dialog.buttons.StandardButton.Ok)
    assert not ok.isEnabled()
    dialog.text.setPlainText("a\na")
    assert not ok.isEnabled()
    assert "twice" in dialog.problem.text()
    dialog.text.setPlainText("a: first\nb")
    assert ok.isEnabled()
    assert dialog.names.names == ("a", "b")

    viewer.add_image(textured(seed=17), name="image")
    dock = AnnotateWidget(viewer)
    (tmp_path / "names.txt").write_text("x\ny\n")
    dock.lists.choose_file(tmp_path / "names.txt")
    assert dock.session.annotation.landmarks.names == ("x", "y")
    dock.lists.choose_file(tmp_path / "missing.txt")
    assert "missing.txt" in dock.form.message.text()


def test_template_and_landmarks_are_saved(viewer, tmp_path, monkeypatch):
    viewer.add_image(textured(seed=18), name="image")
    dock = AnnotateWidget(viewer)
    form = dock.form
    assert form.save_template.toolTip() == "Place at least one landmark first."
    begin(dock, "a,b", (10, 10))
    target, markups, other = (tmp_path / n for n in ("a.template", "a.mrk.json", "thesis"))

    def saved(button, path):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        button.click()
        return form.message.text()

    for _ in range(2):
        assert str(target) in saved(form.save_template, target)
    assert Template.load(target).landmarks["a"].position_yx == (10, 10)
    # Markups need millimetres; the message says so and nothing is written.
    assert "spacing" in saved(form.save_landmarks, markups)
    assert not markups.exists()
    # A folder of something else is not replaced.
    other.mkdir()
    (other / "chapter1.txt").write_text("years of work")
    assert "thesis" in saved(form.save_template, other)
    assert (other / "chapter1.txt").read_text() == "years of work"


def test_a_session_without_an_image_refuses_in_words():
    session = Session()
    with pytest.raises(UsageError, match="no image"):
        session.use_as_template()
    with pytest.raises(UsageError, match="no image"):
        session.set_spacing(0.1)
    assert session.why_no_template == "no image is open"


def test_a_template_needs_content(viewer):
    viewer.add_image(np.zeros((50, 50)), name="blank")
    dock = AnnotateWidget(viewer)
    begin(dock, "a,b", (10, 10))
    dock.form.use_template.click()
    assert "same value" in dock.form.message.text()
    assert dock.session.template is None


def test_an_absurd_spacing_is_refused(viewer):
    viewer.add_image(textured(seed=19))
    session = AnnotateWidget(viewer).session
    with pytest.raises(GeometryError):
        session.set_spacing((0.1, -0.1))
    with pytest.raises(TemplateError):
        session.make_template()
