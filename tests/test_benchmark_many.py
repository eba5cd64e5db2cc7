"""The benchmark over many images: its pictures, its count, and itself, small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_scene import run

from napari_oneshot_lmk.benchmark.many import images_once
from napari_oneshot_lmk.benchmark.many_images import template_of, write_images

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes start and are killed: that takes its time on a busy machine.
    pytest.mark.timeout(900),
]


def test_images_are_the_same_for_a_seed_and_differ_among_themselves(tmp_path: Path) -> None:
    for folder, seed in [("a", 0), ("b", 0), ("c", 1)]:
        write_images(tmp_path / folder, 10, seed)
    contents = {
        folder: [path.read_bytes() for path in sorted((tmp_path / folder).iterdir())]
        for folder in "abc"
    }
    assert contents["a"] == contents["b"] != contents["c"]
    assert len(set(contents["a"])) == 10


def test_template_has_as_many_landmarks_as_asked_for() -> None:
    few, many = template_of(1), template_of(38)
    assert len(few.landmarks) == 1
    assert len(many.landmarks) == 38
    assert np.isfinite(many.landmarks.positions_yx).all()


def test_an_image_counts_with_each_landmark_exactly_once(tmp_path: Path) -> None:
    table = tmp_path / "found.csv"
    rows = ["image,landmark", "a,x", "a,y", "b,x", "c,x", "c,y", "c,y"]
    table.write_text("\n".join(rows) + "\n")
    assert images_once(table) == 1


def test_whole_benchmark_small(tmp_path: Path) -> None:
    result = run(
        *("benchmark", "many", "--images", 10, "--few", 2, "--kills", 1),
        *("--rounds", 1, "--workers", "0", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "many.json").read_text())
    assert content["many"]["images_once"] == content["many"]["images"] == 10
    assert content["many"]["processes"] == 2
    assert content["few"]["images_once"] == 2
    assert 100 < content["few"]["peak_mb"] < 5000
    assert content["costs"]["moved_px"] < 1e-3
    assert set(content["costs"]["by_landmarks"]) == {"1", "10", "19", "38"}
    page = (tmp_path / "out" / "many.md").read_text()
    assert "| images that stand in the table exactly once | 10 of 10 |" in page
    assert "Command: `" in page
