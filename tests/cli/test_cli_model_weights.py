"""A model works where it was made, and elsewhere it says what is missing."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from cli_scene import POINTS, python, refused, succeed
from random_vgg19 import NARROW, saved_weights
from weights_scene import Trained, copied, isolate, trained

from napari_oneshot_lmk.benchmark.trained import encoder_of_run
from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.cluster.detect import DetectorSpec
from napari_oneshot_lmk.detection.model import ENCODER_FILE, TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.vgg19 import parameter_shapes
from napari_oneshot_lmk.encoders.weights import cache_folder
from napari_oneshot_lmk.errors import ModelError, WeightsError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.files import read_landmarks

pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def isolated(folder: Path, *more: object, half: bool = False) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, folder)
        return trained(folder, *more, half=half)


@pytest.fixture(scope="module")
def made(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained on weights in float32, not packed."""
    return isolated(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def half(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained and packed; the weights were in half precision before."""
    return isolated(tmp_path_factory.mktemp("half"), "--pack", half=True)


@pytest.fixture
def away(made: Trained) -> Iterator[Path]:
    """The weights are not where they were."""
    aside = made.weights.rename(made.weights.with_name("aside"))
    yield aside
    made.weights.unlink(missing_ok=True)
    aside.rename(made.weights)


def detect(made: Trained, model: Path, out: Path, *more: object) -> dict[str, object]:
    """Detect, and return the points by their names."""
    succeed("detect", "--model", model, "--out", out, made.world.images / "one.png", *more)
    (found,) = read_landmarks(out)
    return {name: found[name].position_yx for name in POINTS}


def refuses(made: Trained, model: Path, out: Path, *more: object) -> str:
    image = made.world.images / "one.png"
    said = refused(1, "detect", "--model", model, "--out", out, image, *more)
    assert not out.exists()
    return said


def test_the_printed_command_detects(made, tmp_path):
    last = made.result.stdout.splitlines()[-1]
    program, *words = shlex.split(last.partition("To use it: ")[2])
    assert program == "oneshot-lmk"
    words[words.index("IMAGES")] = str(made.world.images)
    (tmp_path / "sitecustomize.py").write_text(NARROW)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = python("-m", "napari_oneshot_lmk", *words, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    (found,) = read_landmarks(tmp_path / "found.csv")
    assert set(found.names) == set(POINTS)
    assert found.provenance.method == "fused"


def test_the_run_remembers_path_and_content(made):
    model = TrainedModel.load(made.run)
    assert model.origin is not None
    assert model.origin.path == model.origin.given == str(made.weights)
    assert len(model.origin.sha256) == 64
    record = json.loads((made.run / "run.json").read_text())
    assert record["encoder_weights"]["sha256"] == model.origin.sha256


def test_a_run_that_was_moved_says_in_one_sentence_what_to_copy_where(made, away, tmp_path):
    model = copied(made, tmp_path / "elsewhere")
    said = refuses(made, model, tmp_path / "found.csv")
    assert f"neither at {made.weights}, where they lay, nor in {cache_folder()}" in said
    assert f"copy the file {made.weights.name} from the computer that trained it" in said


def test_a_run_that_was_moved_finds_its_weights_in_the_cache(made, away, tmp_path):
    model = copied(made, tmp_path / "elsewhere")
    cache_folder().mkdir()
    # Others, under the name that is looked for first, do not mislead it.
    saved_weights(cache_folder() / "vgg19-features.safetensors", seed=5)
    shutil.copy(away, cache_folder() / "from the other computer.safetensors")
    found = detect(made, model, tmp_path / "found.csv")
    named = detect(made, model, tmp_path / "named.csv", "--encoder-weights", away)
    assert found == named


def test_other_content_at_the_remembered_place_is_said(made, away, tmp_path):
    saved_weights(made.weights, seed=7)
    said = refuses(made, made.run, tmp_path / "found.csv")
    assert f"{made.weights} is no longer what the model was trained on" in said
    made.weights.write_bytes(b"nothing of the kind")
    said = refuses(made, made.run, tmp_path / "found.csv")
    assert f"{made.weights}: not a safetensors file" in said
    # It does no harm where the right ones can be had.
    cache_folder().mkdir()
    shutil.copy(away, cache_folder() / "kept.safetensors")
    detect(made, made.run, tmp_path / "found.csv")


def test_wrong_weights_that_are_named_are_refused(made, tmp_path):
    other = saved_weights(tmp_path / "other.safetensors", seed=3)
    said = refuses(made, made.run, tmp_path / "f.csv", "--encoder-weights", other)
    assert "the model was trained on the encoder vgg19+compact-" in said


def test_models_of_earlier_versions_open(made, tmp_path):
    model = copied(made, tmp_path / "elsewhere")
    path = model / "model" / "model.json"
    content = json.loads(path.read_text())
    del content["encoder_weights"]
    path.write_text(json.dumps(content))
    said = refuses(made, model, tmp_path / "found.csv")
    assert "VGG19's weights were not found" in said
    named = detect(made, model, tmp_path / "named.csv", "--encoder-weights", made.weights)
    cache_folder().mkdir(exist_ok=True)
    shutil.copy(made.weights, cache_folder() / "w.safetensors")
    assert detect(made, model, tmp_path / "found.csv") == named


def test_a_packed_run_needs_nothing_else(half, tmp_path):
    with_file = detect(half, half.run, tmp_path / "with.csv")
    aside = half.weights.rename(half.weights.with_name("aside"))
    model = copied(half, tmp_path / "elsewhere")
    packed = detect(half, model / "model", tmp_path / "packed.csv")
    named = detect(half, model, tmp_path / "named.csv", "--encoder-weights", aside)
    aside.rename(half.weights)
    # The weights were in half precision: packing has changed nothing.
    assert packed == with_file == named
    size = (model / "model" / ENCODER_FILE).stat().st_size
    numbers = sum(map(prod, parameter_shapes().values()))
    assert 2 * numbers < size < 2.05 * numbers
    assert not (model / ENCODER_FILE).exists()


def test_half_precision_moves_points_by_next_to_nothing(made, tmp_path):
    before = detect(made, made.run, tmp_path / "before.csv")
    moved = copied(made, tmp_path / "packed")
    succeed(*made.command("--pack", run=moved))
    model = TrainedModel.load(moved)
    assert model.packed
    assert model.origin is not None
    assert model.origin.packed_sha256 != model.origin.sha256
    after = detect(made, moved, tmp_path / "after.csv")
    off = [np.hypot(*np.subtract(after[n], before[n])) for n in POINTS]
    assert 0 < max(off) < 0.05
    # The weights in full precision are still as good as the packed ones.
    named = detect(made, moved, tmp_path / "named.csv", "--encoder-weights", made.weights)
    assert named == before


def test_a_damaged_packed_file_is_said(half, tmp_path):
    ways = {
        "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1000]),
        "missing": Path.unlink,
        "other": lambda file: saved_weights(file, seed=4),
    }
    for how, spoil in ways.items():
        model = copied(half, tmp_path / how) / "model"
        spoil(model / ENCODER_FILE)
        said = refuses(half, model, tmp_path / "found.csv")
        assert "the model's encoder.safetensors is missing, damaged" in said


def test_wrong_weights_are_not_packed(made, tmp_path):
    moved = copied(made, tmp_path / "moved")
    other = saved_weights(tmp_path / "other.safetensors", seed=3)
    command = made.command("--pack", run=moved, weights=other)
    assert "was not trained on these weights" in refused(2, *command)
    assert not TrainedModel.load(moved).packed


@pytest.mark.usefixtures("quick_children")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["remembered", "packed"])
def test_bundles_of_each_detect_alike(kind, made, half, tmp_path, monkeypatch):
    # A bundle computes in float32, the command would in bfloat16 where the hardware can.
    monkeypatch.setattr("napari_oneshot_lmk.encoders.device.fast_bf16", lambda device: False)
    source = made if kind == "remembered" else half
    run_folder = copied(source, tmp_path / "moved")
    if kind == "packed":
        # Packed from weights in full precision: the card names another encoder.
        run_folder = copied(made, tmp_path / "full")
        succeed(*made.command("--pack", run=run_folder))
    bundle = tmp_path / "bundle"
    image = source.world.images / "one.png"
    succeed("export-bundle", "--model", run_folder, "--out", bundle, "--try-on", image)
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in bundle.rglob("*")
        if path.suffix in (".json", ".md", ".txt")
    )
    assert str(made.weights.parent) not in text
    model = load_model(bundle)
    detector = TrainedDetector.from_model(model, device="cpu")
    detector.set_image(read_image(image))
    found = detector.detect()
    expected = detect(source, run_folder, tmp_path / "found.csv")
    for name in POINTS:
        off = np.subtract(found[name].position_yx, expected[name])
        assert np.hypot(*off) < 0.01, name


def test_an_encoder_of_another_program_is_named(made):
    model = TrainedModel.load(made.run)
    strange = replace(model, card=model.card.model_copy(update={"encoder": "resnet50-12345678"}))
    with pytest.raises(ModelError, match="does not have; update"):
        encoder_for(strange, None, "cpu")


def test_the_benchmark_takes_the_weights_of_a_finished_run(made, away, tmp_path):
    card = TrainedModel.load(made.run).card
    runs = copied(made, tmp_path / "runs" / "fused")
    with pytest.raises(WeightsError, match="copy the file"):
        encoder_of_run(runs, None, "cpu")
    assert encoder_of_run(runs, away, "cpu").card.identity == card.encoder
    away.rename(made.weights)
    assert encoder_of_run(runs, None, "cpu").card.identity == card.encoder
    made.weights.rename(away)


@pytest.mark.parametrize("packed", [False, True])
def test_workers_find_the_weights_as_well(made, half, packed, tmp_path):
    source = half if packed else made
    model = TrainedModel.load(source.run)
    detector = TrainedDetector.from_model(model, device="cpu")
    spec = pickle.loads(pickle.dumps(DetectorSpec.of(detector, None, "cpu")))
    image = read_image(source.world.images / "one.png")
    points = []
    for each in (detector, spec.build("a worker")):
        each.set_image(image)
        points.append(each.detect().positions_yx)
    assert np.array_equal(*points)
