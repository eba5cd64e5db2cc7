"""A training from beginning to end, around a loop that is quick."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import plain_loop
import pytest
from cli_scene import SHAPE_YX, SHIFTS, save_image, scene, view
from learning_scene import SMALL, Job, scene_template, train

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
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
from napari_oneshot_lmk.training.sharpness import IMAGES_IF_STOPPED

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
    return job.but(images=find_images([image_folder(job)]), **changes)


def image_folder(job: Job) -> Path:
    return job.images[0].path.parent


def until(job: Job, enough: Callable[[Event], bool]) -> list[Event]:
    """Train until an event, then vanish as a killed process does."""
    seen, events = [], train(job)
    for event in events:
        seen.append(event)
        if enough(event):
            events.close()
    return seen


def third_epoch(event: Event) -> bool:
    return isinstance(event, Stepped) and event.epoch == 3


def logged(job: Job) -> list[Event]:
    return read_events(job.out / "events.jsonl")


def ended_epochs(events: Iterable[Event]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, EpochEnded)]


def notes(events: Iterable[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Noted))


def assert_finishes(job: Job) -> None:
    *_, end = train(job)
    assert isinstance(end, Finished)


def numbers(job: Job) -> str:
    return (job.out / "model" / "model.json").read_text()


@pytest.fixture
def whole(job: Job) -> str:
    """The model of a training that was never interrupted."""
    other = job.but(out=job.out.with_name("whole"))
    list(train(other))
    return numbers(other)


def test_a_whole_training(job):
    events = list(train(job.but(previews=[Path("a.png")])))
    kinds = [type(event) for event in events]
    assert kinds[:6] == [Preparing] * 6
    assert kinds.count(EpochEnded) == kinds.count(Previewed) == 3
    assert kinds[-1] is Finished
    run = RunFolder.open(job.out)
    assert logged(job) == events
    assert events[-1] == run.finished
    assert Path(events[-1].model) == run.model_path
    assert not run.checkpoint_path.exists()
    assert run.record()["encoder"] == job.encoder.card.identity
    assert run.record()["device"] == "cpu"
    recorded = [(image.name, image.shape_yx) for image in read_images(run.images_path)]
    assert recorded == [(file.name, SHAPE_YX) for file in job.images]


def test_interrupted_and_gone_on_with(job, whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen_before = until(job, third_epoch)
    assert not (job.out / "model").exists()
    events = list(train(again(job)))
    assert ended_epochs(events) == [3]
    assert numbers(job) == whole
    # What was logged before the interruption still is.
    assert logged(job) == seen_before + events
    # Both files are of the same second and process, which no two sessions of a user are: they may
    # be read in either order.
    curves = EventAccumulator(str(job.out / "tensorboard"), purge_orphaned_data=False)
    curves.Reload()
    ended = [e for e in logged(job) if isinstance(e, EpochEnded)]
    assert ended_epochs(ended) == [1, 2, 3]
    drawn = curves.Scalars("loss/template")
    assert sorted((point.step, point.value) for point in drawn) == [
        (e.epoch, pytest.approx(e.losses["template"])) for e in ended
    ]
    names = ["loss/template", "shift of pseudo-labels/mm", "agreement/mm"]
    assert curves.Tags()["scalars"] == names


def test_finished_is_finished(job):
    *_, end = train(job)
    said = (job.out / "events.jsonl").read_bytes()
    assert list(train(again(job))) == [end]
    with pytest.raises(UsageError, match="seed is 1, was 0 before"):
        list(train(again(job, seed=1)))
    assert (job.out / "events.jsonl").read_bytes() == said


def test_begun_anew_keeps_the_model_until_there_is_a_new_one(job):
    list(train(job))
    first = numbers(job)
    until(again(job, seed=1, overwrite=True), third_epoch)
    assert numbers(job) == first
    assert RunFolder.open(job.out).finished is None
    assert_finishes(again(job, seed=1, overwrite=True))
    assert numbers(job) != first
    assert ended_epochs(logged(job)) == [1, 2, 3]


# -- stopping ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["callable", "file"])
def test_stopped_keeps_the_best(job, how):
    asked: list[bool] = []
    kept: list[Event] = []
    for event in train(job, lambda: bool(asked)):
        kept.append(event)
        if third_epoch(event):
            asked.append(True) if how == "callable" else RunFolder(job.out).request_stop()
    assert isinstance(kept[-1], Finished)
    assert (kept[-1].stopped, kept[-1].epoch) == (True, 2)
    assert sum(third_epoch(event) for event in kept) == 1
    assert not RunFolder(job.out).stop_requested
    assert numbers(job)


def test_stopped_while_images_are_read(job):
    (end,) = train(job, lambda: True)
    assert isinstance(end, Failed)
    assert "Nothing was trained" in end.sentence
    until(again(job), third_epoch)
    (end,) = train(again(job), lambda: True)
    assert "trained before is kept" in end.sentence
    assert RunFolder.open(job.out).checkpoint_path.exists()
    said = [event.text for event in train(again(job)) if isinstance(event, Noted)]
    assert "This training was begun before and goes on after epoch 2 of 3." in said


# -- images that are not what they were -------------------------------------------


def test_changed_images_are_named(job):
    until(job, third_epoch)
    folder = image_folder(job)
    save_image(folder / "one.png", view(scene(seed=5), (0, 0)))
    (folder / "two.png").unlink()
    with pytest.raises(ImageError, match=r"one\.png, two\.png") as raised:
        list(train(again(job)))
    assert "three.png" not in str(raised.value)
    assert logged(job)[-1] == Failed(f"{raised.value}.")
    # Nothing is lost: the earlier files bring it back.
    for name in ("one.png", "two.png"):
        save_image(folder / name, view(scene(), SHIFTS[name]))
    assert_finishes(again(job))


def test_moved_images_are_the_same(job):
    until(job, third_epoch)
    moved = image_folder(job).rename(job.out.with_name("moved"))
    assert_finishes(job.but(images=find_images([moved])))


def test_added_images_are_left_out(job, whole):
    until(job, third_epoch)
    save_image(image_folder(job) / "zz.png", view(scene(seed=5), (0, 0)))
    assert "began without: zz.png" in notes(train(again(job)))
    assert numbers(job) == whole


def test_unusable_images_are_told_and_left_out(job):
    (image_folder(job) / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    save_image(image_folder(job) / "twin.png", view(scene(), (0, 0)))
    events = list(train(again(job)))
    assert "broken.png" in notes(events)
    assert "twin.png shows the template" in notes(events)
    assert isinstance(events[-1], Finished)
    assert len(read_images(job.out / "images.csv")) == 3


# -- wrong use and failures -------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "alone"}, "no method 'alone'.*fused, single, joint"),
        ({"landmarks": ("tip", "elbow")}, "does not place elbow.*apex, notch, tip"),
    ],
)
def test_refused_before_anything_is_written(job, changes, says):
    with pytest.raises(UsageError, match=says):
        list(train(job.but(**changes)))
    assert not job.out.exists()
    config = job.but(landmarks=("tip", "apex")).config.resolved(job.template, lambda: False)
    assert config.landmarks == ("apex", "tip")


def test_another_encoder(job):
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
def test_failure_is_in_the_log(job, monkeypatch, error, says):
    def failing(*given: object) -> Iterator[Event]:
        yield Preparing("copies", 1, 1)
        raise error

    monkeypatch.setattr(sys.modules[plain_loop.LOOP], "fit", failing)
    with pytest.raises(type(error)):
        list(train(job))
    last = logged(job)[-1]
    assert isinstance(last, Failed)
    assert says in last.sentence
    for word in ("Traceback", "torch"):
        assert (word not in last.report) == isinstance(error, OneshotError)
    # It has closed the run.
    plain_loop.install()
    assert_finishes(again(job))


# -- with the loop itself ----------------------------------------------------------


@pytest.fixture
def small(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job for the loop itself, as small as can be."""
    monkeypatch.delitem(sys.modules, plain_loop.LOOP)
    preset = Preset.load("laptop").changed({**SMALL, "training.batch": 3})
    return job.but(preset=preset, landmarks=("apex", "tip"), template_stage=False)


def networks(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "model").glob("*.safetensors")}


def test_single_landmarks_go_on_where_they_were(small):
    job = small.but(method="single")
    complete = job.but(out=job.out.with_name("complete"))
    list(train(complete))
    until(job, lambda e: isinstance(e, Stepped) and (e.model, e.epoch) == ("tip", 2))
    assert RunFolder(job.out).part_path(0).exists()
    seen = list(train(again(job)))
    # The first is done and stays as it is.
    assert {e.model for e in seen if isinstance(e, EpochEnded)} == {"tip"}
    assert networks(job.out).keys() == {"network-000.safetensors", "network-001.safetensors"}
    assert networks(job.out) == networks(complete.out)
    assert not RunFolder(job.out).part_path(0).exists()
    boards = [p.name for p in (job.out / "tensorboard").iterdir()]
    assert sorted(boards) == ["apex", "tip"]


def test_missing_part_is_said(small):
    job = small.but(method="single")
    until(job, lambda e: isinstance(e, Stepped) and e.model == "tip")
    RunFolder(job.out).part_path(0).write_bytes(b"half")
    with pytest.raises(ModelError, match=r"missing or damaged.*--overwrite"):
        list(train(again(job)))


def test_stopped_within_the_first_epoch(small):
    asked: list[Event] = []
    after: list[Event] = []
    for event in train(small, lambda: bool(asked)):
        if asked:
            after.append(event)
        if isinstance(event, Stepped):
            asked.append(event)
    # No step more, and few images until the model is there.
    assert [type(each) for each in after[:-1]] == [Preparing] * IMAGES_IF_STOPPED
    assert isinstance(event, Finished)
    assert event.stopped
    assert TrainedModel.load(small.out).landmarks == ("apex", "tip")


def test_an_epochs_end_is_reported_once_wherever_it_was_killed(small, monkeypatch):
    append = EventLog.append

    def killed(log: EventLog, event: Event) -> bool:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt
        return append(log, event)

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            list(train(small))
    # The checkpoint holds what was not logged: the next session reports it, a later one not.
    sessions = [until(again(small), lambda e: isinstance(e, Stepped)) for _ in range(2)]
    sessions.append(list(train(again(small))))
    assert [ended_epochs(events) for events in sessions] == [[1], [], [2]]
    assert ended_epochs(logged(small)) == [1, 2]


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_number_outside_its_limits_is_refused_when_it_is_given(seed):
    with pytest.raises(UsageError, match=f"seed is {seed}"):
        TrainingConfig(seed=seed)
