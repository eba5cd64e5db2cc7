"""The ready set for cephalograms, against a computation of its own from the sample's table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from definitions_table import PAGE, page_with_table
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.measure.measurement import measure
from napari_oneshot_lmk.measure.measurement_set import MeasurementSet
from napari_oneshot_lmk.measure.tracing import PERPENDICULARS, tracing_lines
from napari_oneshot_lmk.samples import sample_folder

SET = MeasurementSet.load("lateral_cephalogram")
# What the sample's list lacks, in pixels (x, y) from a landmark that it has: the incisors lean
# forward by about 20 degrees, and the occlusal plane falls towards the front.
ADDED_XY = {
    "upper_incisor_apex": ("upper_incisal_incision", -25, -62),
    "lower_incisor_apex": ("lower_incisal_incision", -24, 58),
    "occlusal_anterior": ("upper_incisal_incision", -14, -1),
    "occlusal_posterior": ("upper_incisal_incision", -150, -24),
}


def positions_xy(image: str) -> dict[str, np.ndarray]:
    with (sample_folder("skull") / "landmarks.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == image]
    found = {r["landmark"]: np.array([float(r["x_px"]), float(r["y_px"])]) for r in rows}
    return found | {name: found[at] + (x, y) for name, (at, x, y) in ADDED_XY.items()}


def spacing_mm_yx(image: str) -> tuple[float, float]:
    text = (sample_folder("skull") / "dataset.json").read_text(encoding="utf-8")
    rows, columns = json.loads(text)["spacing_mm"][image]
    return rows, columns


def direction(a: np.ndarray, b: np.ndarray) -> float:
    """In degrees, anticlockwise from straight ahead; the sample's faces look right."""
    return float(np.degrees(np.arctan2(-(b - a)[1], (b - a)[0])))


def by_hand(at: dict[str, np.ndarray]) -> dict[str, float]:
    s, n, po, orb = at["sella"], at["nasion"], at["porion"], at["orbitale"]
    a, b, pog = at["subspinale_A"], at["supramentale_B"], at["pogonion"]
    me, gn, go, ar = at["menton"], at["gnathion"], at["gonion"], at["articulare"]
    ans, pns = at["anterior_nasal_spine"], at["posterior_nasal_spine"]
    ui, li = at["upper_incisal_incision"], at["lower_incisal_incision"]
    frankfort, sn, mp = direction(po, orb), direction(s, n), direction(go, me)
    upper = direction(at["upper_incisor_apex"], ui)
    lower = direction(at["lower_incisor_apex"], li)
    plane = at["occlusal_anterior"] - at["occlusal_posterior"]
    ahead = (orb - po) / np.linalg.norm(orb - po)

    # The sides of a triangle say its angle (law of cosines), and not the arctangent again.
    def corner(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        u, v, w = (np.linalg.norm(x) for x in (p - q, r - q, r - p))
        return float(np.degrees(np.arccos((u**2 + v**2 - w**2) / (2 * u * v))))

    sna, snb = corner(s, n, a), corner(s, n, b)
    return {
        "SNA": sna,
        "SNB": snb,
        "ANB": sna - snb,
        "Wits": float((a - b) @ plane / np.sqrt(plane @ plane)),
        # From straight back down to the chin, anticlockwise.
        "facial angle": 180 - frankfort + direction(n, pog),
        "convexity": direction(n, a) - direction(a, pog),
        "Y axis": frankfort - direction(s, gn),
        "mandibular plane to Frankfort": frankfort - mp,
        "mandibular plane to SN": sn - direction(go, gn),
        "palatal plane to SN": abs(sn - direction(pns, ans)),
        "gonial angle": corner(ar, go, me),
        "anterior facial height": float(np.hypot(*(n - me))),
        "posterior facial height": float(np.hypot(*(s - go))),
        "facial height ratio": float(100 * np.hypot(*(s - go)) / np.hypot(*(n - me))),
        "lower facial height ratio": float(100 * np.hypot(*(ans - me)) / np.hypot(*(n - me))),
        "overjet": float((ui - li) @ ahead),
        "upper incisor to SN": 180 - sn + upper,
        "lower incisor to mandibular plane": 180 + mp - lower,
        "interincisal angle": lower - upper,
    }


@pytest.mark.parametrize("image", ["skull_02.png", "skull_04.dcm", "skull_11.dcm"])
def test_every_measurement_equals_a_computation_by_hand_to_a_hundredth(image: str) -> None:
    at, spacing = positions_xy(image), spacing_mm_yx(image)
    landmarks = Landmarks.from_positions(
        {name: (y, x) for name, (x, y) in at.items()}, image, Geometry((1000, 1000), spacing)
    )
    values = {v.measurement.name: v for v in measure(landmarks, SET.measurement)}
    hand = by_hand({name: xy * np.array(spacing)[::-1] for name, xy in at.items()})
    assert values.keys() == hand.keys()
    for name, value in hand.items():
        assert values[name].value == pytest.approx(value, abs=0.01), name
    # A face that looks the other way has the same values.
    turned = {name: (y, 1000 - x) for name, (x, y) in at.items()}
    mirrored = Landmarks.from_positions(turned, image, Geometry((1000, 1000), spacing))
    for value in measure(mirrored, SET.measurement):
        assert value.value == pytest.approx(values[value.measurement.name].value)
    # A face: these could not be so if a direction were turned round.
    assert 70 < hand["facial angle"] < 100
    assert hand["upper incisor to SN"] > 90
    assert 110 < hand["interincisal angle"] < 160


def test_each_has_a_definition_and_a_source_and_each_norm_its_population() -> None:
    for each in SET.measurement:
        assert each.definition.endswith(".")
        assert each.source
        if each.norm is not None:
            assert each.norm.population
            assert each.norm.source
    point = dict.fromkeys(SET.landmarks, (0.0, 0.0))
    point |= {name: (y, x) for name, (x, y) in positions_xy("skull_02.png").items()}
    values = measure(Landmarks.from_positions(point), SET.measurement)
    sna, facial = (
        next(v for v in values if v.measurement.name == n) for n in ("SNA", "facial angle")
    )
    assert sna.deviation == pytest.approx(sna.value - 82.0)
    assert sna.deviation_sd is None  # no standard deviation was published with it
    assert facial.deviation_sd == pytest.approx((facial.value - 87.8) / 3.6)


def test_the_documentation_has_the_definitions_of_the_set() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page, SET) == page, "run python scripts/definitions_table.py"


def test_the_tracing_leaves_out_what_is_absent() -> None:
    at = positions_xy("skull_02.png")
    whole = Landmarks.from_positions({name: (y, x) for name, (x, y) in at.items()})
    names = [line.name for line in tracing_lines(whole, SET)]
    assert {tracing.name for tracing in SET.tracing} <= set(names)
    assert names.count("SNA") == 1
    # Gonion to menton is drawn once, however many angles are measured to it.
    lines = tracing_lines(whole, SET)
    ends = [frozenset(line.points_yx) for line in lines if line.name != PERPENDICULARS]
    assert len(ends) == len(set(ends))
    few = Landmarks.from_positions({n: (y, x) for n, (x, y) in at.items() if n != "nasion"})
    left = {line.name for line in tracing_lines(few, SET)}
    assert "sella–nasion" not in left
    assert "SNA" not in left
    assert "Frankfort horizontal" in left
    assert tracing_lines(Landmarks(), SET) == ()


def test_a_perpendicular_is_one_in_millimetres() -> None:
    chosen = MeasurementSet.model_validate(
        {"measurement": [{"name": "m", "kind": "offset", "points": ["a", "b", "c", "a"]}]}
    )
    points = {"a": (0.0, 20.0), "b": (0.0, 0.0), "c": (10.0, 10.0)}
    for spacing, foot in (((1.0, 1.0), (10.0, 10.0)), ((0.1, 0.2), (16.0, 16.0))):
        landmarks = Landmarks.from_positions(points, geometry=Geometry((50, 50), spacing))
        dropped = [x for x in tracing_lines(landmarks, chosen) if x.name == PERPENDICULARS]
        assert [x.points_yx[1] for x in dropped] == [pytest.approx(foot)]


def test_a_saved_set_is_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    SET.save(path)
    assert MeasurementSet.load(path) == SET
    odd = {"name": 'a "b"\\ é\t\x7f', "kind": "distance", "points": ["x", "y"]}
    own = MeasurementSet.model_validate({"title": "own", "measurement": [odd]})
    own.save(path, overwrite=True)
    assert MeasurementSet.load(path) == own
