"""What the measurement of a training's parts measures and says."""

import json

import pytest
import torch

from benchmarks import training_parts
from benchmarks.training_parts import IMAGES, TrainingParts, measure_training, training_rows
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.training.preset import Preset

pytestmark = pytest.mark.usefixtures("one_thread")


def test_all_parts_of_a_real_training_are_timed(tmp_path, monkeypatch):
    for name, value in {"LANDMARKS": 3, "EPOCHS": 1, "FINE_STEPS": 2, "WARM_UP": 0}.items():
        monkeypatch.setattr(training_parts, name, value)
    encoder, events = shipped_encoder(torch.device("cpu")), []
    parts = measure_training(encoder, tmp_path, images=2, on_event=lambda: events.append(1))
    times = (parts.image_s, parts.copy_s, parts.step_s, parts.infer_s)
    assert all(0 < seconds < 60 for seconds in (*times, parts.fine_image_s, parts.fine_step_s))
    preset = Preset.load("laptop")
    assert parts.copies == preset.template_copies.count
    assert parts.epochs == preset.training.epochs
    assert parts.steps * preset.training.batch >= IMAGES
    assert len(events) > 8


def test_the_whole_is_the_sum_of_its_parts():
    seconds = {"image_s": 0.4, "copy_s": 0.3, "step_s": 0.5, "infer_s": 0.05}
    seconds |= {"fine_image_s": 0.4, "fine_step_s": 0.4}
    parts = TrainingParts(**seconds, copies=100, steps=38, epochs=8, fine_steps=900)
    fused = IMAGES * 0.4 + 100 * 0.3 + 8 * (38 * 0.5 + IMAGES * 0.05)
    assert parts.fused_s == pytest.approx(fused)
    assert parts.fine_s == pytest.approx(IMAGES * 0.4 + 900 * 0.4)
    content = json.loads(json.dumps(parts.as_dict()))
    slower = {name: 2 * value for name, value in content.items()}
    *_, both = training_rows(content, slower)
    minutes = (parts.fused_s + parts.fine_s) / 60
    assert both[1:] == [f"{minutes:.1f} min", f"{2 * minutes:.1f} min", "2.00"]
    assert all(len(row) == 2 for row in training_rows(content))
