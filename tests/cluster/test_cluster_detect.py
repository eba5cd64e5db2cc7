"""Detection handed to real dask workers: the same numbers, whoever dies."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli_scene import SPACING_MM, World, make_world, one_sentence, run, scene, view
from cli_scene import save_image as save
from distributed import Client
from weights_scene import isolate

from napari_oneshot_lmk.cluster.client import Connection, connect
from napari_oneshot_lmk.cluster.detect import DetectorSpec, Reading, detect_across
from napari_oneshot_lmk.detection.batch import DetectionResult, detect_many
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.errors import ClusterError, ImageError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.template import Template

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes start and are killed: that takes its time on a busy machine.
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name == "nt", reason="processes are killed otherwise there"),
]
COUNT = 16


@pytest.fixture(scope="module")
def no_weights(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, tmp_path_factory.mktemp("nowhere"))
        yield


@pytest.fixture(scope="module")
def made(no_weights, tmp_path_factory) -> World:
    world = make_world(tmp_path_factory.mktemp("world") / "w")
    result = run(
        "template",
        *("--image", world.template_image, "--landmarks", world.landmarks),
        *("--spacing", SPACING_MM, "--out", world.template),
    )
    assert result.exit_code == 0, result.output
    for number in range(COUNT - len(list(world.images.iterdir()))):
        shift = (number - 6, 5 - number)
        save(world.images / f"{number}.png", view(scene(), shift))
    return world


@pytest.fixture(scope="module")
def detector(made) -> Detector:
    return Detector.instant(Template.load(made.template), device="cpu")


@pytest.fixture(scope="module")
def images(made) -> tuple[ImageFile, ...]:
    return find_images([made.images])


@pytest.fixture(scope="module")
def spec(detector) -> DetectorSpec:
    return DetectorSpec.of(detector, None, "cpu")


@pytest.fixture(scope="module")
def cluster(no_weights) -> Iterator[Connection]:
    with connect(workers=2) as connection:
        # As this process computes here, for the same numbers to the last bit.
        yield replace(connection, threads=1)


def points(found: list[DetectionResult]) -> dict[str, object]:
    return {one.image.name: one.landmarks and one.landmarks.points for one in found}


def worker_pids(connection: Connection) -> list[int]:
    return list(connection.client.run(os.getpid).values())


def test_workers_take_images_as_they_lie_where_that_is_wanted(detector):
    upright = Detector(detector.template, detector.encoder, upright=True)
    of_both = [DetectorSpec.of(each, None, "cpu") for each in (detector, upright)]
    assert [spec.build("worker").upright for spec in of_both] == [False, True]
    assert of_both[0].key != of_both[1].key


def test_a_worker_is_killed_and_every_number_is_the_same(cluster, detector, spec, images):
    notes, found, victim = [], [], worker_pids(cluster)[0]
    for outcome in detect_across(cluster, spec, images, on_note=notes.append):
        if not found:
            os.kill(victim, signal.SIGKILL)
        found.append(outcome)
    assert sorted(outcome.index for outcome in found) == list(range(COUNT))
    assert all(images[outcome.index] == outcome.image for outcome in found)
    assert points(found) == points(list(detect_many(detector, images)))
    [note] = notes
    assert "done again because worker tcp://" in note
    assert victim not in worker_pids(cluster)


def test_files_that_fail_and_spacing_reach_the_workers(cluster, spec, images, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    some = (*find_images([tmp_path]), images[0])
    reading = Reading(spacing_mm_yx=(0.5, 0.25), batch=2)
    found = {o.index: o for o in detect_across(cluster, spec, some, reading)}
    assert found[0].landmarks is None
    assert "empty.png" in str(found[0].error)
    assert found[1].landmarks.geometry.spacing_mm_yx == (0.5, 0.25)


def test_image_that_kills_workers_fails_alone(cluster, spec, images):
    found = list(detect_across(cluster, _Poisoned(spec), images[:4]))
    [failed] = [outcome for outcome in found if outcome.error is not None]
    assert failed.image.name == _Poisoned.name
    assert isinstance(failed.error, ImageError)
    assert "died again and again" in str(failed.error)
    assert {o.image for o in found} == {*images[:4]}


class _Poisoned:
    """The specification of a detector that ends its process at one image."""

    name, key = "2.png", "poisoned"

    def __init__(self, spec: DetectorSpec) -> None:
        self.spec = spec

    def build(self, worker: str) -> Detector:
        detector = self.spec.build(worker)
        detect_batch = detector.detect_batch

        def detect(images):
            if any(image.name == self.name for image in images):
                os._exit(1)
            return detect_batch(images)

        detector.detect_batch = detect
        return detector


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"identity": "vgg19-0"}, r"has the encoder compact-\w+, not vgg19"),
        ({"version": "9.9"}, "of this program, not 9.9"),
    ],
)
def test_worker_with_another_encoder_or_version_is_refused(cluster, spec, images, change, says):
    other = replace(spec, encoder=replace(spec.encoder, **change))
    with pytest.raises(ClusterError, match=says):
        list(detect_across(cluster, other, images))


def test_folder_that_workers_do_not_see(cluster, spec):
    image = ImageFile(Path("/nowhere/of/ours/a.png"), "a.png")
    with pytest.raises(ClusterError, match="does not see the folder /nowhere/of/ours"):
        list(detect_across(cluster, spec, [image]))


def test_few_tasks_are_out_at_a_time(cluster, images, monkeypatch):
    out, most = 0, 0
    submit = Client.submit

    def counting(self: Client, *args: object, **options: object) -> object:
        nonlocal out, most
        out += len(args[2])
        most = max(most, out)
        return submit(self, *args, **options)

    monkeypatch.setattr(Client, "submit", counting)
    for _ in detect_across(cluster, _Blind(), images * 20):
        out -= 1
    assert most <= 2 * 2 * 16


class _Blind:
    """A detector that sees nothing, and its specification."""

    key = "blind"
    device = torch.device("cpu")

    def build(self, worker: str) -> _Blind:
        return self

    def prepare(self, image):
        raise ImageError("nothing to see")

    def detect_batch(self, images):
        return []


# -- the command line ------------------------------------------------------------------


def detection(made: World, out: Path) -> list[object]:
    return ["detect", "--template", made.template, "--out", out, made.images]


def test_command_with_workers_says_nothing_of_dask(made, tmp_path):
    call = [sys.executable, "-m", "napari_oneshot_lmk"]
    call += map(str, [*detection(made, tmp_path / "found.csv"), "--workers", 2])
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The encoder, how far it is, the spacing.
    lines = done.stderr.splitlines()
    assert len(lines) < 12
    assert {line.split(" ")[0] for line in lines} == {"The", "Detecting:"}, done.stderr
    found = [landmarks.image for landmarks in read_landmarks(tmp_path / "found.csv")]
    assert found == [image.name for image in find_images([made.images])]


def test_scheduler_by_its_file(made, cluster, tmp_path):
    file = tmp_path / "scheduler.json"
    identity = cluster.client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.identity())
    file.write_text(json.dumps(identity, default=str))
    for where in (file, cluster.client.scheduler.address):
        out = tmp_path / f"{Path(str(where)).name.replace(':', '-')}.csv"
        result = run(*detection(made, out), "--scheduler", where)
        assert result.exit_code == 0, result.output
        assert len(read_landmarks(out)) == COUNT


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], 1, "no dask scheduler to be reached"),
        (["--scheduler", "nowhere"], 2, "neither the address of a scheduler nor"),
        (["--scheduler", "a:1", "--workers", "2"], 2, "were both given"),
    ],
)
def test_wrong_cluster(made, tmp_path, monkeypatch, options, code, says):
    monkeypatch.setattr("napari_oneshot_lmk.cluster.client.SECONDS_TO_CONNECT", 0.5)
    result = run(*detection(made, tmp_path / "found.csv"), *options)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not any(tmp_path.glob("found*"))


def test_without_dask_one_sentence_says_what_to_install(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run(*detection(made, tmp_path / "found.csv"), "--workers", "2")
    assert result.exit_code == 2
    assert "napari-oneshot-lmk[cluster]" in one_sentence(result)
    with pytest.raises(UsageError), connect(workers=1):
        pass


def test_errors_travel_whole():
    error = ImageError("is empty", file="a.png", remedy="export it again")
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert str(again) == "a.png: is empty; export it again"
