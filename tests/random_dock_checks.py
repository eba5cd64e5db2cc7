"""Compares what the window shows, and what lies on the disk, with the oracle.

Landmark files are written and read with plain csv.
"""

import csv
import hashlib
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Points as PointsLayer
from random_dock import Key, Points, is_manual, is_open, nothing_decided, point
from random_dock_window import FILMS, Window, pixels_of

from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.layers import points as layer_points
from napari_oneshot_lmk.widgets.settings import autosave_folder


def compare(world: Window) -> None:
    """Raise AssertionError where anything disagrees with the oracle."""
    _settle(world)
    _compare_choice(world)
    for key in world.oracle.now:
        _compare_set(world, key)
    _compare_layers(world)
    _compare_tables(world)
    _compare_buttons(world)
    _compare_sidecars(world)
    _compare_unsaved(world)


def _settle(world: Window) -> None:
    """Take positions of the mouse as they are, where they are near enough."""
    for key, now in world.oracle.now.items():
        real = world.session.annotation_of(world.target_of(key)).landmarks
        for name, p in now["points"].items():
            if not p["about"]:
                continue
            assert name in real, f"{key}: {name} is not in the list {real.names}"
            yx = real[name].position_yx
            assert yx is not None, f"{key}: {name} is not placed, but at {p['yx']}"
            assert np.allclose(yx, p["yx"], atol=p["about"], rtol=0), (
                f"{key}: {name} is at {yx}, not at {p['yx']} ± {p['about']}"
            )
            p["yx"], p["about"] = yx, 0.0


# -- the image ------------------------------------------------------------------------


def _compare_choice(world: Window) -> None:
    oracle, session = world.oracle, world.session
    key = oracle.target
    real = world.key_of(session.target)
    assert real == key, f"the dock has image {real}, not {key}"
    assert key is not None or not world.layers, "images are open and none is chosen"
    header = world.dock.header
    assert bool(session.blocking_reason) == world.blocked(), session.blocking_reason
    assert header.blocking_reason.text() == session.blocking_reason
    if session.blocking_reason:
        assert world.annotate.form.prompt.text() == session.blocking_reason
        assert not world.bench.is_placing
    if key is None:
        return
    image = world.layers[key[0]]
    assert header.chooser.currentText() == image.name, "the combo names another image"
    assert header.only_this.isChecked() == session.only_this == oracle.only_this
    if oracle.only_this:
        others = [n for n, la in world.layers.items() if la.visible and n != key[0]]
        assert not others, f"images {others} are visible, too"
    active = world.active
    if active is not None:
        owner = world.owner(active)
        mine = active == image or (owner is not None and owner[0] == key[0])
        foreign = active in [*world.left, *(f["layer"] for f in world.foreign)]
        assert mine or foreign, f"{active.name} is selected, which is not {key}"
        pans = world.viewer.scene.camera.mouse_pan
        assert pans == active.mouse_pan, f"a drag on {active.name} pans: {pans}"
    mm = oracle.spacing(key)
    assert _near(session.spacing.mm_yx, mm), f"spacing {session.spacing} is not {mm}"


def _near(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is None and other is None
    return bool(np.allclose(one, other, rtol=1e-6))


# -- the landmarks --------------------------------------------------------------------


def _as_plain(landmarks: Any) -> Points:
    """Landmarks of the package in the oracle's terms."""
    return {
        p.name: point(str(p.state), p.position_yx, p.source and str(p.source), p.score)
        for p in landmarks
    }


def _compare_set(world: Window, key: Key) -> None:
    now = world.oracle.state(key)
    target = world.target_of(key)
    real = world.session.annotation_of(target)
    plain = _as_plain(real.landmarks)
    _compare_points(f"landmarks of {key}", plain, now["points"])
    assert real.current == now["current"], (
        f"{key}: current is {real.current!r}, not {now['current']!r}"
    )
    assert real.passed_over == now["passed"], f"{key}: skipped {real.passed_over}"
    placed = {n: p for n, p in now["points"].items() if p["state"] == "placed"}
    layer = world.landmark_layer(key)
    if layer is None:
        assert not placed, f"the landmarks of {key} are shown nowhere"
        return
    labels = [str(label) for label in layer.features["label"]]
    assert labels == list(placed), f"{layer.name} shows {labels}, not {list(placed)}"
    wanted = np.array([(*key[1], *p["yx"]) for p in placed.values()], dtype=float)
    assert np.array_equal(layer.data, wanted.reshape(len(placed), layer.ndim)), (
        f"{layer.name} is at {layer.data.tolist()}, not {wanted.tolist()}"
    )
    attributes = {"features": layer.features, "metadata": layer.metadata}
    record = _as_plain(layer_points.from_layer(layer.data, attributes))
    _compare_points(f"record of {layer.name}", record, now["points"])


def _compare_points(what: str, real: Points, wanted: Points) -> None:
    assert list(real) == list(wanted), f"{what}: {list(real)}, not {list(wanted)}"
    for name, p in wanted.items():
        assert real[name] == p, f"{what}: {name} is {real[name]}, not {p}"


def _compare_layers(world: Window) -> None:
    owners = [world.owner(layer) for layer in world.viewer.layers]
    owned = [owner for owner in owners if owner is not None]
    assert len(owned) == len(set(owned)), f"two layers for one image: {owned}"
    for layer, owner in zip(world.viewer.layers, owners, strict=True):
        if not isinstance(layer, PointsLayer) or owner is not None:
            continue
        if layer in world.left:
            assert not layer.visible, f"{layer.name} is shown without its image"
            continue
        mine = [f for f in world.foreign if f["layer"] == layer]
        assert mine, f"{layer.name} is a layer that nobody added"
        assert np.array_equal(layer.data, mine[0]["data"]), f"{layer.name} was changed"
        labels = mine[0]["labels"]
        if labels is not None:
            now = [str(label) for label in layer.features["label"]]
            assert now == labels, f"{layer.name} was renamed: {now}"
    for mine in world.foreign:
        assert mine["layer"] in world.viewer.layers, "another layer was removed"


# -- the dock -------------------------------------------------------------------------


def _compare_tables(world: Window) -> None:
    now = world.oracle.state(world.oracle.target)
    points = now["points"]
    for form, scored in ((world.annotate.form, False), (world.detect.form, True)):
        table = form.table
        shown = [
            [table.item(row, column).text() for column in range(table.columnCount())]
            for row in range(table.rowCount())
        ]
        wanted = []
        for number, (name, p) in enumerate(points.items(), start=1):
            score = "" if p["score"] is None else f"{p['score']:.2f}"
            cells = [score] if scored else []
            wanted.append([str(number), name, *cells, _word(now, name)])
        assert shown == wanted, f"table of {type(form).__name__}: {shown}, not {wanted}"
        rows = {index.row() for index in table.selectedIndexes()}
        current = now["current"]
        marked = {list(points).index(current)} if current in points else set()
        assert rows == marked, f"row {rows} is marked, not {marked}"


def _word(now: dict[str, Any], name: str) -> str:
    p = now["points"][name]
    if p["state"] == "absent":
        return texts.STATE_ABSENT
    if p["state"] == "skipped":
        if p["source"] == "corrected":
            return texts.STATE_TAKEN_OFF
        return texts.STATE_OPEN if is_open(now, name) else texts.STATE_SKIPPED
    return str(getattr(texts, f"STATE_{p['source'].upper()}"))


def _compare_buttons(world: Window) -> None:
    oracle, key = world.oracle, world.oracle.target
    past = bool(key is not None and oracle.past.get(key))
    future = bool(key is not None and oracle.future.get(key))
    for undo, redo in (
        (world.annotate.form.buttons["undo"], world.annotate.form.buttons["redo"]),
        (world.detect.form.undo, world.detect.form.redo),
    ):
        assert undo.isEnabled() == past, f"undo: {undo.isEnabled()}, not {past}"
        assert redo.isEnabled() == future, f"redo: {redo.isEnabled()}, not {future}"
    now = oracle.state(key)
    points, form = now["points"], world.detect.form
    manual = bool(now["current"]) and is_manual(points, now["current"])
    assert form.reset_point.isEnabled() == manual, f"reset point: not {manual}"
    any_manual = any(is_manual(points, name) for name in points)
    assert form.reset_image.isEnabled() == any_manual, f"reset image: not {any_manual}"
    count = len(oracle.results())
    text = form.save.text()
    assert text == texts.SAVE_ALL.format(count=count), f"{text!r} of {count} results"
    assert form.save.isEnabled() == bool(count)
    assert form.save_this.isEnabled() == (not nothing_decided(points))


# -- files ----------------------------------------------------------------------------

FOUND = {
    "a": ("placed", 40.5, 30.25, 0.75),
    "b": ("placed", 20.0, 61.0, 0.5),
    "c": ("absent", None, None, None),
    "e": ("skipped", None, None, None),
}


def rows_of_file(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Rows of a table, together where they are about one image."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images: list[tuple[str, list[dict[str, str]]]] = []
    for name, group in groupby(rows, lambda row: row["image"]):
        of_image: list[dict[str, str]] = []
        for row in group:
            if any(row["landmark"] == other["landmark"] for other in of_image):
                # Another image of the same name begins.
                images.append((name, of_image))
                of_image = []
            of_image.append(row)
        images.append((name, of_image))
    return images


def as_read(rows: list[dict[str, str]]) -> Points:
    """Return what a table says, a score standing for a detection where it must."""
    points = {}
    for row in rows:
        score = float(row["score"]) if row["score"] else None
        yx = (float(row["y_px"]), float(row["x_px"])) if row["y_px"] else None
        source = row.get("source") or None
        if source is None and yx is not None:
            source = "placed" if score is None else "detected"
        points[row["landmark"]] = point(row["state"], yx, source, score)
    return points


def write_found(path: Path, image: str, shape: tuple[int, int], with_scores: bool) -> Points:
    """Write landmarks of one image, as a detection or as a person's."""
    columns = ["image", "landmark", "x_px", "y_px", "score", "state"]
    rows = []
    for name, (state, y, x, score) in FOUND.items():
        kept = score if with_scores else None
        cells = ("" if value is None else value for value in (x, y, kept))
        rows.append(dict(zip(columns, [image, name, *cells, state], strict=True)) | _size(shape))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *_size(shape)])
        writer.writeheader()
        writer.writerows(rows)
    ((_, read),) = rows_of_file(path)
    return as_read(read)


def _size(shape: tuple[int, int]) -> dict[str, int]:
    return {"height_px": shape[0], "width_px": shape[1]}


def _compare_sidecars(world: Window) -> None:
    known = {(f["folder"], f["name"], f["seed"]): f for f in FILMS}
    for identity, film in known.items():
        slices = [(n,) for n in range(3)] if film["kind"] == "stack" else [()]
        for index in slices:
            path = sidecar_of(world, film, index)
            wanted = world.oracle.sidecars.get((identity, index))
            if wanted is None:
                earlier = (identity, index) in world.oracle.sidecar_spacing
                assert path is None or earlier, f"{path} was written"
                continue
            assert path is not None, f"no autosave of {identity} {index}"
            ((_, rows),) = rows_of_file(path)
            mm = world.oracle.sidecar_spacing[identity, index]
            compare_rows(path, rows, wanted, mm)


def sidecar_of(world: Window, film: dict[str, Any], index: Any) -> Path | None:
    """Find the autosave of an image, the newest where it was renamed."""
    if film["folder"]:
        path = world.folder / film["folder"] / f"{film['name']}.landmarks.csv"
        return path if path.is_file() else None
    pixels = np.ascontiguousarray(pixels_of(film)[index])
    mark = hashlib.sha256(pixels.tobytes()).hexdigest()[:10]
    found = list(autosave_folder().glob(f"*-{mark}.landmarks.csv"))
    # Under another name, an image without a file has another autosave.
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def compare_rows(path: Path, rows: list[dict[str, str]], wanted: Points, mm_yx: Any) -> None:
    """Compare the rows of one image with what they should say."""
    read = as_read(rows)
    told = "source" in rows[0]
    assert list(read) == list(wanted), f"{path.name}: {list(read)}, not {list(wanted)}"
    for row, (name, p) in zip(rows, wanted.items(), strict=True):
        real = read[name]
        if not told:
            # The column is yet to come.
            real = {**real, "source": p["source"]}
        assert real == p, f"{path.name}: {name} is {real}, not {p}"
        for axis, cell in enumerate((row["y_mm"], row["x_mm"])):
            if p["yx"] is None or mm_yx is None:
                assert cell == "", f"{path.name}: {name} has millimetres {cell}"
            else:
                assert cell, f"{path.name}: {name} has no millimetres, not {mm_yx}"
                assert np.isclose(float(cell), p["yx"][axis] * mm_yx[axis]), (
                    f"{path.name}: {name} has {cell} mm with spacing {mm_yx}"
                )


def _compare_unsaved(world: Window) -> None:
    """What does not count as unsaved must stand in a file just so."""
    unsaved = {
        (la.image, tuple(_positions(_as_plain(la)).items())) for la in world.session.unsaved()
    }
    held = [*world.written, *world.oracle.files]
    for key, now in world.oracle.now.items():
        if nothing_decided(now["points"]):
            continue
        mine = _positions(now["points"])
        if (world.oracle.name(key), tuple(mine.items())) in unsaved:
            continue
        assert any(_positions(points) == mine for points in held), (
            f"{key} counts as saved, and no file holds {mine}: {unsaved}"
        )


def _positions(points: Points) -> dict[str, Any]:
    return {name: (p["state"], p["yx"]) for name, p in points.items()}
