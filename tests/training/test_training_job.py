"""A training from beginning to end, around a loop that is quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import plain_loop
import pytest
from cli_scene import SHAPE_YX, SHIFTS, save_image, scene, view
from learning_scene import SMALL, Job, scene_template, train

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.orientation import shipped_encoder
from napari_oneshot_lmk.errors import ImageError, ModelError, OneshotError, UsageError
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import read_images
from napari_oneshot_lmk.training.events import (
    EpochEnded,
    Event,
    EventLog,
    Failed,
    Finished,
    Noted,
    Preparing,
    Previewed,
    Stepped,
    read_events,
)
from napari_oneshot_lmk.training.preset import Preset
from napari_oneshot_lmk.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def quick_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, plain_loop.LOOP, ModuleType(plain_loop.LOOP))
    plain_loop.install()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        template=scene_template(tmp_path),
        images=find_images([tmp_path / "images"]),
        out=tmp_path / "run",
        config=TrainingConfig(preset=Preset().changed({"training.epochs": 3})),
        encoder=shipped_encoder("cpu"),
    )


def again(job: Job, **changes: object) -> Job:
    """The same command once more: files are looked for again."""
    folder = job.images[0].path.parent
    return job.but(images=find_images([folder]), **changes)


def until(job: Job, enough: Callable[[Event], bool]) -> None:
    """Train until an event, then vanish as a killed process does."""
    events = train(job)
    for event in events:
        if enough(event):
            events.close()


def third_epoch(event: Event) -> bool:
    return isinstance(event, Stepped) and event.epoch == 3


def numbers(job: Job) -> str:
    return (job.out / "model" / "model.json").read_text()


def test_a_whole_training(job: Job) -> None:
    events = list(train(job.but(previews=[Path("a.png")])))
    kinds = [type(event) for event in events]
    assert kinds[:6] == [Preparing] * 6
    assert kinds.count(EpochEnded) == 3
    assert kinds.count(Previewed) == 3
    assert kinds[-1] is Finished
    run = RunFolder.open(job.out)
    assert read_events(run.events_path) == events
    assert events[-1] == run.finished
    assert Path(events[-1].model) == run.model_path
    assert not run.checkpoint_path.exists()
    assert run.record()["encoder"] == job.encoder.card.identity
    assert run.record()["device"] == "cpu"
    recorded = read_images(run.images_path)
    assert [image.name for image in recorded] == [file.name for file in job.images]
    assert {image.shape_yx for image in recorded} == {SHAPE_YX}
    assert list(run.tensorboard_path.glob("events.out.tfevents.*"))


def test_interrupted_and_gone_on_with(job: Job) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    list(train(job.but(out=job.out.with_name("whole"))))
    until(job, third_epoch)
    assert not (job.out / "model").exists()
    seen_before = read_events(job.out / "events.jsonl")
    events = list(train(again(job)))
    assert [e.epoch for e in events if isinstance(e, EpochEnded)] == [3]
    assert numbers(job) == numbers(job.but(out=job.out.with_name("whole")))
    # What was logged before the interruption still is.
    logged = read_events(job.out / "events.jsonl")
    assert logged == seen_before + events
    curves = EventAccumulator(str(job.out / "tensorboard"))
    curves.Reload()
    ended = [e for e in logged if isinstance(e, EpochEnded)]
    assert [e.epoch for e in ended] == [1, 2, 3]
    drawn = curves.Scalars("loss/template")
    assert [(point.step, point.value) for point in drawn] == [
        (e.epoch, pytest.approx(e.losses["template"])) for e in ended
    ]
    names = ["loss/template", "shift of pseudo-labels/mm", "agreement/mm"]
    assert curves.Tags()["scalars"] == names


def test_finished_is_finished(job: Job) -> None:
    *_, end = train(job)
    said = (job.out / "events.jsonl").read_bytes()
    assert list(train(again(job))) == [end]
    assert (job.out / "events.jsonl").read_bytes() == said
    with pytest.raises(UsageError, match="seed is 1, was 0 before"):
        list(train(again(job, seed=1)))
    assert (job.out / "events.jsonl").read_bytes() == said


def test_begun_anew_keeps_the_model_until_there_is_a_new_one(job: Job) -> None:
    list(train(job))
    first = numbers(job)
    until(again(job, seed=1, overwrite=True), third_epoch)
    assert numbers(job) == first
    assert RunFolder.open(job.out).finished is None
    *_, end = train(again(job, seed=1, overwrite=True))
    assert isinstance(end, Finished)
    assert numbers(job) != first
    starts = [
        event for event in read_events(job.out / "events.jsonl") if isinstance(event, EpochEnded)
    ]
    assert [event.epoch for event in starts] == [1, 2, 3]


# -- stopping ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["callable", "file"])
def test_stopped_keeps_the_best(job: Job, how: str) -> None:
    asked: list[bool] = []
    kept: list[Event] = []
    for event in train(job, lambda: bool(asked)):
        kept.append(event)
        if third_epoch(event) and how == "callable":
            asked.append(True)
        elif third_epoch(event):
            RunFolder(job.out).request_stop()
    end = kept[-1]
    assert isinstance(end, Finished)
    assert (end.stopped, end.epoch) == (True, 2)
    assert sum(third_epoch(event) for event in kept) == 1
    assert not RunFolder(job.out).stop_requested
    assert numbers(job)


def test_stopped_while_images_are_read(job: Job) -> None:
    events = train(job, lambda: True)
    (end,) = events
    assert isinstance(end, Failed)
    assert "Nothing was trained" in end.sentence
    until(again(job), third_epoch)
    (end,) = train(again(job), lambda: True)
    assert isinstance(end, Failed)
    assert "trained before is kept" in end.sentence
    assert RunFolder.open(job.out).checkpoint_path.exists()


# -- images that are not what they were -------------------------------------------


def test_changed_images_are_named(job: Job) -> None:
    until(job, third_epoch)
    folder = job.images[0].path.parent
    save_image(folder / "one.png", view(scene(seed=5), (0, 0)))
    (folder / "two.png").unlink()
    with pytest.raises(ImageError, match=r"one\.png, two\.png") as raised:
        list(train(again(job)))
    assert "three.png" not in str(raised.value)
    last = read_events(job.out / "events.jsonl")[-1]
    assert last == Failed(f"{raised.value}.")
    # Nothing is lost: the earlier files bring it back.
    for name in ("one.png", "two.png"):
        save_image(folder / name, view(scene(), SHIFTS[name]))
    *_, end = train(again(job))
    assert isinstance(end, Finished)


def test_moved_images_are_the_same(job: Job) -> None:
    until(job, third_epoch)
    folder = job.images[0].path.parent
    moved = folder.rename(folder.with_name("moved"))
    *_, end = train(job.but(images=find_images([moved])))
    assert isinstance(end, Finished)


def test_images_on_top_are_left_out(job: Job) -> None:
    list(train(job.but(out=job.out.with_name("whole"))))
    until(job, third_epoch)
    folder = job.images[0].path.parent
    save_image(folder / "zz.png", view(scene(seed=5), (0, 0)))
    events = list(train(again(job)))
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert any("began without: zz.png" in note for note in notes)
    assert numbers(job) == numbers(job.but(out=job.out.with_name("whole")))


def test_unusable_images_are_told_and_left_out(job: Job) -> None:
    folder = job.images[0].path.parent
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    save_image(folder / "twin.png", view(scene(), (0, 0)))
    events = list(train(again(job)))
    notes = " ".join(event.text for event in events if isinstance(event, Noted))
    assert "broken.png" in notes
    assert "twin.png shows the template" in notes
    assert isinstance(events[-1], Finished)
    assert len(read_images(job.out / "images.csv")) == 3


def test_no_usable_image(job: Job) -> None:
    for image in job.images:
        image.path.write_bytes(b"")
    with pytest.raises(UsageError, match="no image to train on"):
        list(train(job))
    last = read_events(job.out / "events.jsonl")[-1]
    assert isinstance(last, Failed)
    assert "no image to train on" in last.sentence


# -- wrong use and failures -------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "alone"}, "no method 'alone'.*fused, single, joint"),
        ({"landmarks": ("tip", "elbow")}, "does not place elbow.*apex, notch, tip"),
    ],
)
def test_refused_before_anything_is_written(
    job: Job, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        list(train(job.but(**changes)))
    assert not job.out.exists()
    config = job.but(landmarks=("tip", "apex")).config.resolved(job.template, lambda: False)
    assert config.landmarks == ("apex", "tip")


def test_another_encoder(job: Job) -> None:
    until(job, third_epoch)
    card = replace(job.encoder.card, weights_sha256="0" * 64)
    other = SimpleNamespace(device=job.encoder.device, card=card)
    with pytest.raises(UsageError, match=f"here is {card.identity}"):
        list(train(again(job, encoder=other)))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("shapes do\n not fit"), "RuntimeError: shapes do not fit"),
        (MemoryError(), "not enough memory"),
        (OneshotError("too little memory", remedy="close programs"), "close programs."),
    ],
)
def test_failure_is_in_the_log(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def failing(*given: object) -> Iterator[Event]:
        yield Preparing("copies", 1, 1)
        raise error

    monkeypatch.setattr(sys.modules[plain_loop.LOOP], "fit", failing)
    with pytest.raises(type(error)):
        list(train(job))
    last = read_events(job.out / "events.jsonl")[-1]
    assert isinstance(last, Failed)
    assert says in last.sentence
    expected = isinstance(error, OneshotError)
    assert ("Traceback" not in last.report) == expected
    assert ("torch" not in last.report) == expected
    # It let go of the run.
    plain_loop.install()
    *_, end = train(again(job))
    assert isinstance(end, Finished)


# -- with the loop itself ----------------------------------------------------------


@pytest.fixture
def small(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job for the loop itself, as small as can be."""
    monkeypatch.delitem(sys.modules, plain_loop.LOOP)
    preset = Preset.load("laptop").changed({**SMALL, "training.batch": 3})
    return job.but(preset=preset, landmarks=("apex", "tip"), template_stage=False)


def networks(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "model").glob("*.safetensors")}


def test_single_landmarks_go_on_where_they_were(small: Job) -> None:
    whole = small.but(method="single", out=small.out.with_name("whole"))
    list(train(whole))
    job = whole.but(out=small.out)

    def second(event: Event) -> bool:
        return isinstance(event, Stepped) and (event.model, event.epoch) == ("tip", 2)

    until(job, second)
    part = RunFolder(job.out).part_path(0).read_bytes()
    seen = list(train(again(job)))
    # The first is done and stays as it is.
    assert {e.model for e in seen if isinstance(e, EpochEnded)} == {"tip"}
    assert networks(job.out).keys() == {"network-000.safetensors", "network-001.safetensors"}
    assert networks(job.out) == networks(whole.out)
    assert not RunFolder(job.out).part_path(0).exists()
    assert part
    boards = [p.name for p in (job.out / "tensorboard").iterdir()]
    assert sorted(boards) == ["apex", "tip"]


def test_missing_part_is_said(small: Job) -> None:
    job = small.but(method="single")
    until(job, lambda e: isinstance(e, Stepped) and e.model == "tip")
    RunFolder(job.out).part_path(0).write_bytes(b"half")
    with pytest.raises(ModelError, match=r"missing or damaged.*--overwrite"):
        list(train(again(job)))


def test_stopped_within_the_first_epoch(small: Job) -> None:
    asked: list[float] = []
    ended = 0.0
    for event in train(small, lambda: bool(asked)):
        if isinstance(event, Stepped):
            asked.append(time.monotonic())
        ended = time.monotonic()
    assert isinstance(event, Finished)
    assert event.stopped
    assert ended - asked[0] < 2
    assert TrainedModel.load(small.out).landmarks == ("apex", "tip")


def test_an_epochs_end_is_logged_once_wherever_it_was_killed(
    small: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = EventLog.append

    def killed(log: EventLog, event: Event) -> bool:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt
        return append(log, event)

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            list(train(small))
    # The checkpoint knows what the log has not been told.
    for _ in range(2):
        until(again(small), lambda e: isinstance(e, Stepped))
    list(train(again(small)))
    logged = read_events(small.out / "events.jsonl")
    assert [e.epoch for e in logged if isinstance(e, EpochEnded)] == [1, 2]
