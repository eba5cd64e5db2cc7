"""The comparison of spreads: which are called the best, and a run on little data."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from cli_scene import POINTS, SHIFTS, SPACING_MM, point_rows, save_image, save_table, scene, view

from compare_target_spreads import ADAPTIVE, CHOSEN, Comparison, summary
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.training.preset import Preset

pytestmark = pytest.mark.usefixtures("one_thread")


def run_of(errors_mm: dict[str, list[float]], held_out_px: dict[str, float]) -> pd.DataFrame:
    rows = [
        (f"{i}.png", name, 3.0, error, error, held_out_px[name], 1.0)
        for name, errors in errors_mm.items()
        for i, error in enumerate(errors)
    ]
    names = "image landmark coarse_mm error_mm alone_mm held_out_px seconds"
    return pd.DataFrame(rows, columns=names.split())


def test_the_best_spread_is_chosen_for_each_landmark():
    table = summary(
        {
            "1 px": run_of({"a": [1.0, 1.0], "b": [4.0, 2.0]}, {"a": 0.2, "b": 0.3}),
            "2 px": run_of({"a": [2.0, 2.0], "b": [1.0, 2.0]}, {"a": 0.1, "b": 0.2}),
            # Never a candidate, however good.
            ADAPTIVE: run_of({"a": [0.0, 0.0], "b": [0.0, 0.0]}, {"a": 0.0, "b": 0.0}),
        }
    )
    by_copies, bound = CHOSEN
    assert table.loc["1 px", "MRE mm"] == 2.0
    assert table.loc[by_copies, "MRE mm"] == 1.75
    assert table.loc[bound, "MRE mm"] == 1.25
    assert table.loc[bound, "SDR 2 mm %"] == 75.0
    assert table.loc[ADAPTIVE, "MRE mm"] == 0.0


def test_it_scores_a_training(tmp_path):
    (tmp_path / "images").mkdir()
    shifts = {"t.png": (0, 0), **SHIFTS}
    for name, shift in shifts.items():
        save_image(tmp_path / "images" / name, view(scene(), shift))
    save_table(
        tmp_path / "landmarks.csv", [row for n, s in shifts.items() for row in point_rows(n, s)]
    )
    about = {"template": "t.png", "spacing_mm": SPACING_MM}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    data = Dataset.load(tmp_path)
    comparison = Comparison(
        Detector(data.template(), shipped_encoder(torch.device("cpu"))), data, data
    )
    small = {"pixel": 0.02, "side": 32, "width": 8, "batch": 12, "jitter_px": 4.0, "epochs": 1}
    small |= {"epoch_steps": 1, "renewals": 0}
    changes = {f"fine.{name}": value for name, value in small.items()}
    run = comparison.run(Preset.load("laptop").changed(changes), 1)
    assert set(run["image"]) == set(SHIFTS)
    assert set(run["landmark"]) == set(POINTS)
    # Detection without training is right here, and a look moves points by half of a crop at most.
    assert run["coarse_mm"].max() < 4 * SPACING_MM
    assert (run["spread_px"] == 2.0).all()
    assert run.groupby("landmark")["held_out_px"].nunique().eq(1).all()
