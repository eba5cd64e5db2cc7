"""What must hold after every random action on a project: window, disk and oracle agree."""

import json
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Points as PointsLayer
from random_project import Moment, Point
from random_project_window import Review

from napari_oneshot_lmk.review.project_set import own_set
from napari_oneshot_lmk.review.status import Reason, ReviewState


def compare(world: Review) -> None:
    """Raise AssertionError where the window or the disk disagrees with the oracle."""
    study, session = world.study, world.session
    keys = world.keys()
    assert sorted(keys) == study.names
    _compare_canvas(world)
    for image, key in keys.items():
        wanted = study.now[image].points
        _same(f"{image} in the window", _plain(world.images.landmarks(key)), wanted)
        _compare_disk(world, image, key)
    if study.shown is not None:
        real, now = session.annotation, study.here
        assert real.current == now.current, f"current is {real.current!r}, not {now.current!r}"
        assert real.passed_over == now.passed, f"passed over {real.passed_over}, not {now.passed}"
        history = session.history
        assert history.can_undo == bool(study.past[study.shown]), "undo"
        assert history.can_redo == bool(study.future[study.shown]), "redo"
        assert _near(session.spacing.mm_yx, study.mm(study.shown)), session.spacing
    assert session.unsaved() == []
    _compare_list(world)
    _compare_learnt(world)
    own = own_set(world.images.project)
    measured = [] if own is None else [each.name for each in own.measurement]
    assert measured == list(study.measured), f"{measured} is measured, not {list(study.measured)}"


def _compare_learnt(world: Review) -> None:
    learnt, wanted = world.images.project.learnt, world.study.learnt
    assert (learnt is None) == (wanted is None), f"{learnt} is learnt"
    if learnt is None or wanted is None:
        assert world.session.further == ()
        return
    assert learnt.way == wanted[0]
    names = {world.images.name(key) for key in learnt.before}
    assert names == set(wanted[1]), f"before learning {names} are kept, not {set(wanted[1])}"
    # A correction moves the others with the same templates as the detection.
    assert bool(world.session.further) == (learnt.way.templates and bool(learnt.images))


def _compare_canvas(world: Review) -> None:
    study, layers = world.study, list(world.viewer.layers)
    images = [la for la in layers if isinstance(la, Image)]
    points = [la for la in layers if isinstance(la, PointsLayer)]
    if study.shown is None:
        assert not images
        return
    assert [la.name for la in images] == [study.shown], [la.name for la in images]
    assert np.array_equal(images[0].data, world.pixels[study.shown]), "the pixels of another image"
    placed = {n: p.yx for n, p in study.here.points.items() if p.yx is not None}
    drawn = {
        str(label): tuple(yx)
        for la in points
        for label, yx in zip(la.features["label"], la.data.tolist(), strict=True)
    }
    assert drawn == placed, f"on the canvas {drawn}, not {placed}"


def _compare_disk(world: Review, image: str, key: str) -> None:
    file, study = world.folder / "images" / f"{key}.json", world.study
    if not file.exists():
        assert study.now[image] == Moment(), f"{image} has no file"
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    _same(f"{image} on the disk", _from_json(content["landmarks"]), study.now[image].points)
    found = _from_json(content["detected"])
    _same(f"{image} as detected, on the disk", found, study.found.get(image, {}))


def _compare_list(world: Review) -> None:
    study, form = world.study, world.form
    rows = {row.name: row.state.partition(" by ")[0] for row in form.table.rows}
    for name, state in rows.items():
        assert state == study.state(name), f"{name} is {state}, not {study.state(name)}"
    chosen = form.filter.currentData()
    if not form.landmark.currentData() and chosen not in set(Reason):
        wanted = [i for i in study.names if chosen is None or study.state(i) == chosen]
        assert sorted(rows) == wanted, f"the list has {sorted(rows)}, not {wanted}"
    counts = {str(s): sum(study.state(i) == s for i in study.names) for s in ReviewState}
    text = form.counters.text()
    assert all(f"{count} {state}" in text for state, count in counts.items()), text


def _plain(landmarks: Any) -> dict[str, Point]:
    return {
        p.name: Point(str(p.state), p.position_yx, p.source and str(p.source), p.unsure)
        for p in landmarks
    }


def _from_json(content: dict[str, Any] | None) -> dict[str, Point]:
    return {
        p["name"]: Point(
            p["state"],
            tuple(p["position_yx"]) if "position_yx" in p else None,
            p.get("source"),
            p.get("unsure", False),
        )
        for p in (content or {"points": []})["points"]
    }


def _same(what: str, real: dict[str, Point], wanted: dict[str, Point]) -> None:
    assert list(real) == list(wanted), f"{what}: {list(real)}, not {list(wanted)}"
    for name, point in wanted.items():
        assert real[name] == point, f"{what}: {name} is {real[name]}, not {point}"


def _near(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is None and other is None
    return bool(np.allclose(one, other, rtol=1e-6))
