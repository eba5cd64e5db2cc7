"""What the measurement of detection's costs measures and writes."""

import json
from dataclasses import asdict

import pytest
import torch

from benchmarks import detection_costs
from benchmarks.detection_costs import (
    CC2D,
    ENCODER,
    FINE,
    FUSED,
    INSTANT,
    LANDMARKS,
    PAPER,
    PLAIN,
    SHIPPED,
    SHIPPED_ENCODER,
    costs_content,
    costs_rows,
    draw_costs,
    measure_detection,
)
from napari_oneshot_lmk.encoders.shipped import shipped_encoder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def costs():
    encoder = shipped_encoder(torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection_costs, "WARM_UP", 0)
        return measure_detection(encoder, encoder, landmarks=(1,), batches=(2,), images=1, rounds=1)


def test_every_method_and_number_is_measured(costs):
    methods = {ENCODER, SHIPPED_ENCODER, INSTANT, FUSED, PAPER, FINE, SHIPPED, PLAIN, CC2D}
    assert set(costs.by_method) == methods
    assert {m: set(v) for m, v in costs.by_landmarks.items()} == {
        INSTANT: {1, LANDMARKS},
        FUSED: {1, LANDMARKS},
    }
    assert {m: set(v) for m, v in costs.by_batch.items()} == {
        name: {2} for name in (ENCODER, INSTANT, FUSED)
    }
    # What holds by orders of magnitude, however busy the computer is.
    assert costs.ratio(ENCODER) == 1
    assert costs.by_method[PLAIN] > costs.by_method[PAPER] > costs.by_method[ENCODER] > 0


def test_it_is_written_and_drawn_beside_an_earlier_one(costs, tmp_path):
    content = costs_content(costs, {"instant": 400.0})
    read = json.loads(json.dumps(content))
    assert read["by_method"] == asdict(costs)["by_method"]
    rows = costs_rows(read)
    assert [row[0] for row in rows[: len(costs.by_method)]] == list(costs.by_method)
    assert ["peak memory, instant, MB", "400", ""] in rows
    assert any(row[0] == f"{FUSED}, 1 landmarks" for row in rows)
    draw_costs(read, tmp_path / "costs.webp", before=read)
    assert (tmp_path / "costs.webp").stat().st_size > 2000
