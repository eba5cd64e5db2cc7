"""What the tab "Train" computes without a window: times, curves, choices."""

from pathlib import Path

import pytest
from training_scene import template

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training import events
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.widgets.qt.config_form import to_plain
from napari_oneshot_lmk.widgets.settings import Preferences
from napari_oneshot_lmk.widgets.train import remembered
from napari_oneshot_lmk.widgets.train.advanced import ADVANCED
from napari_oneshot_lmk.widgets.train.progress import KEPT_POINTS, LossTrace, TrainingProgress
from napari_oneshot_lmk.widgets.train.request import TrainingRequest, requests_in, write_request
from napari_oneshot_lmk.widgets.train.training_texts import duration, memory_needed
from napari_oneshot_lmk.widgets.train.view import epoch_ticks, loss_range


def test_times_and_room_are_said_as_people_say_them():
    seconds = (0.2, 89, 100, 25 * 60, 5400, 7190, 12 * 3600, 5 * 86400)
    said = ["1 s", "89 s", "2 min", "25 min", "1 h 30 min", "2 h", "12 h", "5 days"]
    assert [duration(each) for each in seconds] == said
    assert [memory_needed(each) for each in (3e8, 1.25e9)] == ["300 MB", "1.2 GB"]


def test_a_million_losses_take_little_room_and_keep_their_course():
    trace = LossTrace()
    steps = 200_000
    for step in range(1, steps + 1):
        trace.add(step / steps, 1 - step / steps)
    points = trace.points
    assert KEPT_POINTS <= len(points) <= 2 * KEPT_POINTS
    assert [epoch for epoch, _ in points] == sorted(epoch for epoch, _ in points)
    # Each point is the mean of the steps before it.
    assert all(loss == pytest.approx(1 - epoch, abs=2e-3) for epoch, loss in points)
    assert points[-1][0] == pytest.approx(1.0, abs=2e-3)


def stepped(model: str, epoch: int, step: int) -> events.Stepped:
    return events.Stepped(model, epoch, 2, step, 5, 1.0, 10.0)


def test_progress_counts_epochs_and_models():
    progress = TrainingProgress(models=2)
    progress.take(events.Preparing("images", 1, 3))
    assert progress.fraction == 0.0
    progress.take(stepped("a", 1, 5))
    assert progress.preparing is None
    assert progress.fraction == pytest.approx(1 / 4)
    progress.take(events.EpochEnded("a", 1, 2, {"template": 2.0}, 3.0, "mm", None, True, 9.0))
    assert progress.best_epoch == 1
    for model, epoch, fraction in (("a", 2, 1 / 2), ("b", 1, 3 / 4)):
        progress.take(stepped(model, epoch, 5))
        assert progress.fraction == pytest.approx(fraction)
    # Each model has a curve of its own.
    assert (progress.best_epoch, len(progress.trace.points), progress.stages) == (0, 1, {})
    progress.take(stepped("b", 2, 5))
    assert progress.fraction == 1.0


def test_a_resumed_run_tells_its_steps_again():
    progress = TrainingProgress()
    for step in (1, 2, 3, 2, 3):
        progress.take(stepped("", 1, step))
    epochs = [epoch for epoch, _ in progress.trace.points]
    assert epochs == sorted(set(epochs))


def test_progress_remembers_what_was_said_once():
    progress = TrainingProgress()
    for _ in range(2):
        progress.take(events.Noted("the batch was halved", serious=True))
    assert len(progress.notes) == 1
    assert not progress.ended
    progress.take(events.Failed("no", ""))
    assert progress.ended
    progress.take(events.Finished("model", 1, False, 2.0))
    assert progress.finished is not None


def test_one_wild_first_step_does_not_flatten_the_curve():
    losses = [1000.0, *(2 - i / 100 for i in range(100))]
    low, high = loss_range(losses)
    assert low < 1.01
    assert 2.0 <= high < 3.0
    low, high = loss_range([1.0])
    assert low < 1.0 < high


@pytest.mark.parametrize("epochs", [1, 3, 9, 60, 300, 12345])
def test_ticks_are_few_and_end_with_the_last_epoch(epochs):
    ticks = epoch_ticks(epochs)
    assert ticks[0] == 0
    assert ticks[-1] == epochs
    assert len(ticks) <= 8
    assert list(ticks) == sorted(set(ticks))


def test_an_order_is_read_back_as_it_was_placed(tmp_path):
    config = TrainingConfig(template_stage=False, seed=3, spacing_mm_yx=(0.1, 0.2))
    wanted = Preferences(device="cpu", encoder_weights=Path("weights.safetensors"))
    base = tmp_path / "trainings"
    request = write_request(base, template(), [tmp_path], config, wanted, False)
    assert TrainingRequest.load(request.folder) == request
    told = " ".join(request.arguments)
    for words in ("--no-template-stage", "--seed 3", "--spacing 0.1x0.2", "--device cpu"):
        assert words in told
    assert "--encoder-weights weights.safetensors" in told
    second = write_request(base, template(), [tmp_path], config, wanted, False)
    assert second.folder != request.folder
    assert {o.folder for o in requests_in(base)} == {request.folder, second.folder}
    # Whatever else lies there is left alone.
    (base / "something").mkdir()
    (second.folder / "order.json").write_text("{")
    assert list(requests_in(base)) == [request]


def test_an_order_that_cannot_be_written_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="trainings cannot be kept here"):
        write_request(tmp_path / "file", template(), [], TrainingConfig(), Preferences(), False)
    with pytest.raises(UsageError, match="neither a preset nor"):
        TrainingConfig(preset="nonsense").resolve_preset(lambda: False)


def test_the_settings_page_keeps_every_setting_with_its_default():
    kept = remembered._section()
    assert remembered.remembered().config == TrainingConfig()
    for name in ADVANCED:
        field = TrainingConfig.model_fields[name]
        assert getattr(kept, name) == to_plain(field, field.default)
