"""Marks and labels of landmarks: what a points layer holds and what a window draws."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest
from widget_scene import drag

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Source, State
from napari_oneshot_lmk.widgets.layers import label_text, labels, marks, points, style
from napari_oneshot_lmk.widgets.layers.labels import FIRST, LabelDeclutter, choose_labels, text_size
from napari_oneshot_lmk.widgets.settings import preferences

SHAPE = (400, 300)
COLUMNS = [*("label", "number", "score", "unsure", "shape_residual_mm", "source", "author")]


def random_landmarks(rng: np.random.Generator, count: int) -> Landmarks:
    """Landmarks of every source and state, under names in random order."""
    out = []
    for name in rng.permutation([f"n{i}" for i in range(count)]):
        kind = rng.integers(5)
        at = tuple(rng.uniform(0, SHAPE))
        score = float(rng.random())
        out.append(
            [
                Landmark(name, at, score=score, source=Source.DETECTED),
                Landmark(name, at, score=score, unsure=True, source=Source.DETECTED),
                Landmark(name, at, source=Source.CORRECTED, author="me"),
                Landmark(name, at, source=Source.PLACED),
                Landmark(name, None, State(rng.choice(["absent", "skipped"]))),
            ][kind]
        )
    return Landmarks(tuple(out), "film", Geometry(SHAPE))


def shows(layer: Any, landmarks: Landmarks) -> None:
    """Assert that a layer shows exactly these landmarks."""
    fresh = style.landmark_style(landmarks, points.placed_yx(landmarks))
    count = len(landmarks.placed)
    assert np.array_equal(np.asarray(layer.data).reshape(-1, 2), fresh["data"])
    assert list(layer.features.columns) == COLUMNS
    for column in COLUMNS:
        wanted = fresh["features"][column].to_list()
        assert str(layer.features[column].to_list()) == str(wanted)
    assert list(layer.features["label"].cat.categories) == list(landmarks.names)
    assert len(layer.size) == len(layer.symbol) == len(layer.shown) == count
    assert len(layer.face_color) == len(layer.border_color) == count
    if count:
        assert np.allclose(layer.face_color, fresh["face_color"])
        assert np.allclose(layer.border_color, fresh["border_color"])
        assert [str(s) for s in layer.symbol] == list(fresh["symbol"])
        assert np.allclose(layer.border_width, fresh["border_width"])
        assert len(np.unique(layer.size)) == 1
    texts = [str(t) for t in np.atleast_1d(layer.text.values)][:count]
    assert texts == [str(t) for t in fresh["text"]["string"]["array"]]
    assert layer.metadata[points.METADATA] == points.to_metadata(landmarks)
    assert all(row < count for row in layer.selected_data)


# -- the layer -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_landmark_sets_is_shown_as_it_is(seed):
    from napari.layers import Points

    rng = np.random.default_rng(seed)
    first = random_landmarks(rng, int(rng.integers(0, 4)))
    layer = Points(**style.landmark_style(first, points.placed_yx(first)), ndim=2)
    shows(layer, first)
    for _ in range(25):
        landmarks = random_landmarks(rng, int(rng.integers(0, 7)))
        picked = set()
        if len(layer.data):
            picked = {int(rng.integers(len(layer.data)))}
            layer.selected_data = picked
        names = {str(layer.features["label"].iloc[row]) for row in picked}
        style.apply_style(layer, landmarks, points.placed_yx(landmarks))
        shows(layer, landmarks)
        # What was selected stays selected, under its name.
        kept = {str(layer.features["label"].iloc[r]) for r in layer.selected_data}
        assert kept == names & {p.name for p in landmarks.placed}
        if rng.random() < 0.3:
            layer.add([10.0, 10.0])  # as a click in napari's add mode does
        elif rng.random() < 0.3 and len(layer.data):
            layer.remove([0])


def test_a_layer_coloured_by_a_cycle_takes_new_names():
    from napari.layers import Points

    layer = Points(
        np.zeros((2, 2)),
        features=points.label_table(["a", "b"], ["a", "b"]),
        face_color="label",
        border_color="label",
        face_color_cycle={"a": "red", "b": "blue"},
        border_width_is_relative=False,
    )
    landmarks = Landmarks(tuple(Landmark(n, (1.0, 2.0)) for n in "abcd"))
    style.apply_style(layer, landmarks, points.placed_yx(landmarks))
    shows(layer, landmarks)
    # None yet of a list, and no list at all.
    waiting = Landmarks(tuple(Landmark(n, None, State.SKIPPED) for n in "xy"))
    for few in (waiting, Landmarks()):
        empty = Points(**style.landmark_style(few, np.empty((0, 2))), ndim=2)
        shows(empty, few)
        style.apply_style(empty, landmarks, points.placed_yx(landmarks))
        shows(empty, landmarks)
    style.apply_style(layer, waiting, np.empty((0, 2)))
    shows(layer, waiting)
    style.apply_style(layer, Landmarks(), np.empty((0, 2)))
    shows(layer, Landmarks())
    style.apply_style(layer, landmarks, points.placed_yx(landmarks))
    shows(layer, landmarks)


def test_what_is_shown_already_tells_nobody():
    from napari.layers import Points

    landmarks = random_landmarks(np.random.default_rng(3), 9)
    data = points.placed_yx(landmarks)
    layer = Points(**style.landmark_style(landmarks, data), ndim=2)
    style.apply_style(layer, landmarks, data)
    told: list[str] = []
    layer.events.connect(lambda event: told.append(event.type))
    layer.text.events.connect(lambda event: told.append(event.type))
    style.apply_style(layer, landmarks, data)
    assert told == []
    # Another source is another colour, no change of the data.
    name = landmarks.placed[0].name
    point = replace(landmarks[name], source=Source.CORRECTED, author="she", unsure=False)
    style.apply_style(layer, landmarks.with_landmark(point), data)
    assert "features" in told
    assert "data" not in told
    shows(layer, landmarks.with_landmark(point))


def test_each_source_has_a_look_of_its_own_and_all_are_open():
    kinds = Landmarks(
        (
            Landmark("sure", (1.0, 1.0), score=0.9, source=Source.DETECTED),
            Landmark("doubt", (2, 2), score=0.9, unsure=True, source=Source.DETECTED),
            Landmark("moved", (3.0, 3.0), source=Source.CORRECTED),
            Landmark("placed", (4.0, 4.0), source=Source.PLACED),
        )
    )
    look = style.landmark_style(kinds, points.placed_yx(kinds))
    seen = [
        (symbol, tuple(face), tuple(border))
        for symbol, face, border in zip(
            look["symbol"], look["face_color"], look["border_color"], strict=True
        )
    ]
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]
    # napari's ring is open in the middle, other forms where their face is clear.
    assert all(symbol == "ring" or face[3] == 0 for symbol, face, _ in seen)
    assert look["text"]["string"]["array"].tolist() == [*("sure", "doubt?", "moved", "placed")]
    alone = Landmarks(tuple(replace(p, source=Source.PLACED, score=None) for p in kinds))
    look = style.landmark_style(alone, points.placed_yx(alone))
    assert len({tuple(colour) for colour in look["face_color"]}) == 4


# -- the window ------------------------------------------------------------------------

SCALES: list[dict[str, Any]] = [
    {},
    {"scale": (0.1, 0.1)},
    {"scale": (0.2, 0.1)},
    {"affine": np.diag([0.1, 0.1, 1.0])},
    {"affine": np.diag([-0.1, -0.1, 1.0])},
]


def canvas_of(viewer: Any) -> np.ndarray:
    """What the canvas shows, its brightest channel."""
    QTest.qWait(120)
    shot = viewer.window.screenshot(canvas_only=True, flash=False)
    return np.asarray(shot[..., :3].max(axis=-1), dtype=float)


def centred(viewer: Any, layer: Any, position_yx: Any, zoom: float) -> None:
    camera = viewer.scene.camera
    camera.zoom = zoom
    full = [*np.asarray(viewer.dims.point)[: layer.ndim - 2], *position_yx]
    camera.center = (0.0, *np.asarray(layer.data_to_world(full))[-2:])


@pytest.mark.parametrize("where", SCALES)
def test_a_mark_has_the_same_size_at_every_zoom_and_can_be_taken_hold_of(
    make_napari_viewer_proxy, where
):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(900, 700)
    declutter = LabelDeclutter(viewer)
    viewer.add_image(np.zeros((2000, 1600)), contrast_limits=(0, 1), **where)
    one = Landmarks(
        (
            Landmark("W", (1000.0, 800.0), source=Source.PLACED),
            Landmark("x", None, State.ABSENT, score=0.5, source=Source.DETECTED),
        )
    )
    look = style.landmark_style(one, points.placed_yx(one))
    layer = viewer.add_points(**look, **where)
    layer.mode = "select"
    viewer.fit_to_view()
    fitting = viewer.scene.camera.zoom
    px = preferences().point_size_px
    for factor in (0.5, 1, 4, 60):
        centred(viewer, layer, (1000, 800), fitting * factor)
        shot = canvas_of(viewer)
        row, column = np.array(shot.shape) // 2
        half = int(px)
        mark = shot[row - half : row + half, column - half : column + 11] > 100
        height = np.ptp(np.nonzero(mark)[0]) + 1
        width = np.ptp(np.nonzero(mark)[1]) + 1
        assert height == pytest.approx(px, abs=2)
        assert width == pytest.approx(px, abs=2)
        # Open: under the middle lies the image.
        assert shot[row - 2 : row + 2, column - 2 : column + 2].max() < 40
        # The label stands right of it, level with it, within its estimated box.
        beside = shot[row - 30 : row + 30, column + 11 : column + 80] > 80
        rows, columns = np.nonzero(beside)
        w, h = text_size("W")
        assert columns.min() + 11 >= px / 2
        assert columns.max() + 11 <= px / 2 + 2 + w
        assert np.abs(rows - 30).max() <= h / 2
        # napari's select mode takes hold of it where it is seen, and nowhere else.
        zoom = viewer.scene.camera.zoom
        world = np.asarray(layer.data_to_world((1000, 800)))
        step = np.array([0, 1]) / zoom
        assert layer.get_value(world + 0.5 * px * step, world=True) == 0
        assert layer.get_value(world + 1.2 * px * step, world=True) is None
        scale = marks.px_per_data(layer, zoom)
        for far, hit in ((0, 0), (9, 0), (11, None)):
            at = layer.world_to_data(world + far * step)
            assert style.marker_hit(layer, scale, at) == hit
    del declutter


@pytest.mark.parametrize("factor", [0.5, 1, 12])
def test_a_mark_is_dragged_in_the_select_mode_of_napari(make_napari_viewer_proxy, factor):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(900, 700)
    declutter = LabelDeclutter(viewer)
    kwargs = {"scale": (0.2, 0.1)}
    viewer.add_image(np.zeros((500, 900)), contrast_limits=(0, 1), **kwargs)
    one = Landmarks.from_positions({"a": (200, 400), "b": (100, 100)})
    layer = viewer.add_points(**style.landmark_style(one, points.placed_yx(one)), **kwargs)
    layer.mode = "select"
    viewer.fit_to_view()
    centred(viewer, layer, (200, 400), viewer.scene.camera.zoom * factor)
    QTest.qWait(120)
    # Taken hold of beside its middle, moved by 30 pixels of the screen to the right.
    px = 10.0 / viewer.scene.camera.zoom
    start = np.array([200.0, 400 + 5 * px])
    drag(viewer, layer, tuple(start), (start[0], start[1] + 30 * px))
    assert np.allclose(layer.data[0], (200, 400 + 30 * px), atol=2 * px)
    assert np.array_equal(layer.data[1], (100, 100))
    assert layer.selected_data == {0}
    del declutter


def test_the_nearest_mark_is_hit_in_its_own_slice():
    from napari.layers import Points

    layer = Points([[0, 10, 10], [0, 10, 14], [3, 10, 11]], ndim=3)
    assert style.marker_hit(layer, 2.0, (0, 10, 11)) == 0
    assert style.marker_hit(layer, 2.0, (0, 10, 12.5)) == 1
    assert style.marker_hit(layer, 2.0, (3, 10, 14)) == 2
    assert style.marker_hit(layer, 2.0, (2, 10, 10)) is None
    # Columns twice as long as rows: 6 pixels down are nearer than 8 across.
    assert style.marker_hit(layer, (1.0, 2.0), (0, 16, 14), 6.5) == 1
    assert style.marker_hit(layer, (1.0, 2.0), (0, 16, 14), 5.5) is None
    assert style.marker_hit(Points(ndim=2), 1.0, (0, 0)) is None


def test_points_of_other_slices_are_neither_drawn_nor_in_the_way_of_labels(
    make_napari_viewer_proxy,
):
    viewer = make_napari_viewer_proxy(show=True)
    declutter = LabelDeclutter(viewer)
    viewer.add_image(np.zeros((5, 200, 200)), contrast_limits=(0, 1))
    two = Landmarks.from_positions({"a": (100, 100), "b": (100, 101)})
    data = [[0, 100, 100], [3, 100, 101]]
    layer = viewer.add_points(**style.landmark_style(two, data), ndim=3)
    viewer.dims.set_current_step(0, 1)
    viewer.fit_to_view()
    assert canvas_of(viewer).max() < 40
    for slice_index, wanted in ((0, ["a", ""]), (3, ["", "b"])):
        viewer.dims.set_current_step(0, slice_index)
        assert canvas_of(viewer).max() > 100
        declutter.refresh()
        assert list(layer.text.values) == wanted


def overlaps(boxes: np.ndarray) -> int:
    """How many pairs of boxes overlap, one by one."""
    count = 0
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            across = min(a[3], b[3]) - max(a[1], b[1])
            along = min(a[2], b[2]) - max(a[0], b[0])
            count += across > 0 and along > 0
    return count


@pytest.mark.parametrize("seed", range(20))
def test_labels_that_are_shown_do_not_overlap_and_the_important_come_first(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 60))
    corner = rng.uniform(0, 400, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(5, 80, (count, 2))])
    marks = np.hstack([corner - np.array([0, 15]), corner + np.array([15, 0])])
    priority = rng.integers(0, 3, count)
    shown = choose_labels(boxes, priority, marks)
    assert np.array_equal(shown, choose_labels(boxes, priority, marks))
    assert overlaps(boxes[shown]) == 0
    for row in np.flatnonzero(~shown):
        # Who is hidden had no room: a mark, or a label that comes before it.
        rank = (priority[row], row)
        before = [i for i in np.flatnonzero(shown) if (priority[i], i) < rank]
        in_the_way = [*boxes[before]]
        if priority[row] != FIRST:
            in_the_way += [mark for i, mark in enumerate(marks) if i != row]
        assert any(overlaps(np.array([boxes[row], other])) for other in in_the_way)
    # Without neighbours, all are shown.
    assert choose_labels(boxes[:1], priority[:1], marks[:1]).all()
    apart = np.arange(count)[:, None] * 100 + np.array([0, 0, 20, 50])
    assert choose_labels(apart, priority).all()


def test_labels_follow_the_zoom_the_selection_and_what_is_unsure(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    declutter = LabelDeclutter(viewer)
    viewer.add_image(np.zeros(SHAPE), contrast_limits=(0, 1))
    close = [
        Landmark(name, (200.0, 150.0 + 3 * i), score=0.5, source=Source.DETECTED)
        for i, name in enumerate("abc")
    ]
    close[1] = replace(close[1], unsure=True)
    landmarks = Landmarks((*close, Landmark("far", (50.0, 50.0))))
    data = points.placed_yx(landmarks)
    layer = viewer.add_points(**style.landmark_style(landmarks, data))

    def shown() -> list[str]:
        QTest.qWait(100)
        return [str(text) for text in layer.text.values if text]

    viewer.scene.camera.zoom = 1.0
    # Their marks overlap: only the last has nothing to its right.
    assert shown() == ["c", "far"]
    layer.selected_data = {0}
    assert shown() == ["a", "far"]
    layer.selected_data = set()
    viewer.scene.camera.zoom = 40.0
    assert shown() == ["a", "b?", "c", "far"]
    # Back again, and what is shown is kept when the landmarks change.
    viewer.scene.camera.zoom = 1.0
    assert shown() == ["c", "far"]
    style.apply_style(layer, landmarks, data + 1.0)
    assert [str(text) for text in layer.text.values if text] == ["c", "far"]
    # Two layers share the room; one that is hidden takes none.
    other = viewer.add_points(**style.landmark_style(landmarks, data + 1.0))
    assert shown() == ["c", "far"]
    assert "far" not in list(other.text.values)
    layer.visible = False
    QTest.qWait(100)
    assert [str(text) for text in other.text.values if text] == ["c", "far"]
    viewer.layers.remove(other)
    viewer.layers.remove(layer)
    QTest.qWait(100)
    assert declutter is not None


def test_no_label_at_all_can_be_drawn(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.zeros(SHAPE), contrast_limits=(0, 1))
    two = Landmarks.from_positions({"a": (200, 150), "b": (100, 100)})
    layer = viewer.add_points(**style.landmark_style(two, points.placed_yx(two)))
    with_text = (canvas_of(viewer) > 60).sum()
    label_text.show_texts(layer, ["", ""])
    assert 0 < (canvas_of(viewer) > 60).sum() < with_text
    label_text.show_texts(layer, ["a", "b"])
    assert (canvas_of(viewer) > 60).sum() == pytest.approx(with_text, rel=0.1)


def test_200_labels_are_decided_at_once(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((2000, 2000)))
    many = Landmarks.from_positions(
        {f"landmark {i}": tuple(rng.uniform(0, 2000, 2)) for i in range(200)}
    )
    layer = viewer.add_points(**style.landmark_style(many, points.placed_yx(many), "names"))
    declutter = LabelDeclutter(viewer)
    declutter.refresh()
    assert 0 < sum(bool(text) for text in layer.text.values) < 200
    began = time.process_time()
    for _ in range(20):
        declutter.refresh()
    # 3 ms where it was measured; a slow machine may take its time.
    assert (time.process_time() - began) / 20 < 0.03


def test_a_closed_viewer_is_left_alone(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    declutter = LabelDeclutter(viewer)
    one = Landmarks.from_positions({"a": (10, 10)})
    viewer.add_points(**style.landmark_style(one, points.placed_yx(one)))
    viewer.scene.camera.zoom *= 2
    viewer.close()
    QTest.qWait(100)
    assert declutter is not None


# -- the colour of labels ---------------------------------------------------------


def test_labels_read_on_every_grey():
    greys = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    behind = labels.luminance_of(greys)
    text = labels.luminance_of(labels.text_colours(behind))
    high, low = np.maximum(behind, text), np.minimum(behind, text)
    # Large text asks for 3 : 1 (WCAG); these letters differ in hue besides.
    assert ((high + 0.05) / (low + 0.05)).min() > 3.4


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_label_takes_its_colour_from_what_lies_under_it(make_napari_viewer_proxy, theme):
    viewer = make_napari_viewer_proxy()
    viewer.theme = theme
    declutter = LabelDeclutter(viewer)
    bone = np.zeros(SHAPE)
    bone[:, 150:] = 1000.0
    image = viewer.add_image(bone, contrast_limits=(0, 1000), scale=(0.5, 0.5))
    where = {"dark": (50, 20), "bone": (100, 200), "outside": (50, 600)}
    landmarks = Landmarks.from_positions(where)
    layer = viewer.add_points(
        **style.landmark_style(landmarks, points.placed_yx(landmarks)), scale=(0.5, 0.5)
    )
    viewer.scene.camera.zoom = 4.0

    def light() -> list[bool]:
        declutter.refresh()
        colours = np.asarray(layer.text.color.array)
        return [bool(np.allclose(c, labels.ON_DARK, atol=0.01)) for c in colours]

    assert light() == [True, False, theme == "dark"]
    image.colormap = "gray_r"
    assert light() == [False, True, theme == "dark"]
    image.visible = False
    assert light() == [theme == "dark"] * 3
