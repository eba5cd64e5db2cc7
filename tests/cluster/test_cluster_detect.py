"""Detection handed to real dask workers: the same numbers, whoever dies."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_scene import SPACING_MM, World, make_world, one_sentence, run, scene, view
from cli_scene import save_image as save

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
def no_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    nowhere = str(tmp_path_factory.mktemp("nowhere"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONESHOT_LMK_CACHE", nowhere)
        patch.setenv("TORCH_HOME", nowhere)
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def made(no_weights: None, tmp_path_factory: pytest.TempPathFactory) -> World:
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
def detector(made: World) -> Detector:
    return Detector.instant(Template.load(made.template), device="cpu")


@pytest.fixture(scope="module")
def images(made: World) -> tuple[ImageFile, ...]:
    return find_images([made.images])


@pytest.fixture(scope="module")
def spec(detector: Detector) -> DetectorSpec:
    return DetectorSpec.of(detector, None, "cpu")


@pytest.fixture(scope="module")
def cluster(no_weights: None) -> Iterator[Connection]:
    with connect(workers=2) as connection:
        # As this process computes here, for the same numbers to the last bit.
        yield replace(connection, threads=1)


def points(outcomes: list[DetectionResult]) -> dict[str, object]:
    return {
        outcome.image.name: outcome.landmarks and outcome.landmarks.points for outcome in outcomes
    }


def worker_pids(connection: Connection) -> list[int]:
    return list(connection.client.run(os.getpid).values())


def test_workers_take_images_as_they_lie_where_that_is_wanted(detector: Detector) -> None:
    upright = Detector(detector.template, detector.encoder, upright=True)
    of_both = [DetectorSpec.of(each, None, "cpu") for each in (detector, upright)]
    assert [spec.build("worker").upright for spec in of_both] == [False, True]
    assert of_both[0].key != of_both[1].key


def test_a_worker_is_killed_and_every_number_is_the_same(
    cluster: Connection, detector: Detector, spec: DetectorSpec, images: tuple[ImageFile, ...]
) -> None:
    notes: list[str] = []
    victim = worker_pids(cluster)[0]
    found = []
    for outcome in detect_across(cluster, spec, images, on_note=notes.append):
        if not found:
            os.kill(victim, signal.SIGKILL)
        found.append(outcome)
    alone = list(detect_many(detector, images))
    assert sorted(outcome.index for outcome in found) == list(range(COUNT))
    assert all(images[outcome.index] == outcome.image for outcome in found)
    assert points(found) == points(alone)
    assert len(notes) == 1
    assert "done again because worker tcp://" in notes[0]
    assert victim not in worker_pids(cluster)


def test_files_that_fail_and_spacing_reach_the_workers(
    cluster: Connection, spec: DetectorSpec, images: tuple[ImageFile, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    some = (*find_images([tmp_path]), images[0])
    reading = Reading(spacing_mm_yx=(0.5, 0.25), batch=2)
    found = {o.index: o for o in detect_across(cluster, spec, some, reading)}
    assert found[0].landmarks is None
    assert "empty.png" in str(found[0].error)
    assert found[1].landmarks.geometry.spacing_mm_yx == (0.5, 0.25)


def test_image_that_kills_workers_fails_alone(
    cluster: Connection, spec: DetectorSpec, images: tuple[ImageFile, ...]
) -> None:
    found = list(detect_across(cluster, _Poisoned(spec), images[:4]))
    failed = [outcome for outcome in found if outcome.error is not None]
    assert [outcome.image.name for outcome in failed] == [_Poisoned.name]
    assert isinstance(failed[0].error, ImageError)
    assert "died again and again" in str(failed[0].error)
    assert {o.image for o in found} == {*images[:4]}


class _Deadly:
    """A detector that ends its process at one image."""

    def __init__(self, whole: Detector) -> None:
        self._whole = whole
        self.device = whole.device

    def prepare(self, image):  # type: ignore[no-untyped-def]
        return self._whole.prepare(image)

    def detect_batch(self, images):  # type: ignore[no-untyped-def]
        if any(image.name == _Poisoned.name for image in images):
            os._exit(1)
        return self._whole.detect_batch(images)


class _Poisoned:
    name = "2.png"

    def __init__(self, spec: DetectorSpec) -> None:
        self.spec, self.key = spec, "poisoned"

    def build(self, worker: str) -> _Deadly:
        return _Deadly(self.spec.build(worker))


def test_worker_with_another_encoder_or_version_is_refused(
    cluster: Connection, spec: DetectorSpec, images: tuple[ImageFile, ...]
) -> None:
    about = spec.encoder
    for other, says in [
        (replace(about, identity="vgg19-0"), "has the encoder orientation, not vgg19"),
        (replace(about, version="9.9"), "of this program, not 9.9"),
    ]:
        with pytest.raises(ClusterError, match=says):
            list(detect_across(cluster, replace(spec, encoder=other), images))


def test_folder_that_workers_do_not_see(cluster: Connection, spec: DetectorSpec) -> None:
    image = ImageFile(Path("/nowhere/of/ours/a.png"), "a.png")
    with pytest.raises(ClusterError, match="does not see the folder /nowhere/of/ours"):
        list(detect_across(cluster, spec, [image]))


def test_few_tasks_are_out_at_a_time(
    cluster: Connection,
    spec: DetectorSpec,
    images: tuple[ImageFile, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import Client

    out, most = 0, 0
    submit = Client.submit

    def counting(self: Client, *args: object, **options: object) -> object:
        nonlocal out, most
        out += len(args[2])
        most = max(most, out)
        return submit(self, *args, **options)

    monkeypatch.setattr(Client, "submit", counting)
    asked = images * 20
    for _ in detect_across(cluster, _Instant(), asked):
        out -= 1
    assert most <= 2 * 2 * 16


class _Nothing:
    device = None

    def prepare(self, image):  # type: ignore[no-untyped-def]
        raise ImageError("nothing to see")

    def detect_batch(self, images):  # type: ignore[no-untyped-def]
        return []


class _Instant:
    key = "instant"

    def build(self, worker: str) -> _Nothing:
        import torch

        nothing = _Nothing()
        nothing.device = torch.device("cpu")
        return nothing


# -- the command line ------------------------------------------------------------------


def test_command_with_workers_says_nothing_of_dask(made: World, tmp_path: Path) -> None:
    call = [sys.executable, "-m", "napari_oneshot_lmk", "detect", "--workers", "2"]
    call += ["--template", str(made.template), "--out", str(tmp_path / "found.csv")]
    done = subprocess.run([*call, str(made.images)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    beginnings = {line.split(" ")[0] for line in done.stderr.splitlines()}
    # The encoder, how far it is, the spacing.
    assert len(done.stderr.splitlines()) < 12
    assert beginnings == {"The", "Detecting:"}, done.stderr
    found = [landmarks.image for landmarks in read_landmarks(tmp_path / "found.csv")]
    assert found == [image.name for image in find_images([made.images])]


def test_scheduler_by_its_file(made: World, cluster: Connection, tmp_path: Path) -> None:
    import json

    file = tmp_path / "scheduler.json"
    identity = cluster.client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.identity())
    file.write_text(json.dumps(identity, default=str))
    for where in (file, cluster.client.scheduler.address):
        out = tmp_path / f"{Path(str(where)).name.replace(':', '-')}.csv"
        result = run(
            *("detect", "--template", made.template, "--out", out),
            *(made.images, "--scheduler", where),
        )
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
def test_wrong_cluster(
    made: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr("napari_oneshot_lmk.cluster.client.SECONDS_TO_CONNECT", 0.5)
    out = tmp_path / "found.csv"
    call = ["detect", "--template", made.template, "--out", out, made.images]
    result = run(*call, *options)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not any(tmp_path.glob("found*"))


def test_without_dask_one_sentence_says_what_to_install(
    made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    out = tmp_path / "found.csv"
    call = ["detect", "--template", made.template, "--out", out, made.images]
    result = run(*call, "--workers", "2")
    assert result.exit_code == 2
    assert "napari-oneshot-lmk[cluster]" in one_sentence(result)
    with pytest.raises(UsageError), connect(workers=1):
        pass


def test_errors_travel_whole() -> None:
    error = ImageError("is empty", file="a.png", remedy="export it again")
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.file, again.remedy) == ("is empty", "a.png", error.remedy)
    assert str(again) == str(error)
