"""A trained model leaves as a MONAI bundle that runs where nothing of ours is."""

from __future__ import annotations

import json
import os
import pydoc
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_scene import NEVER, Unrecorded, exported, random_model, trained_model
from bundle_schema import SCHEMA
from cli_scene import run as command
from learning_scene import SMALL
from monai.bundle import verify_metadata
from monai_environment import made_environment

from napari_oneshot_lmk.bundle import export as exporting
from napari_oneshot_lmk.bundle.documents import make_readme, read_metrics
from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.bundle.load import load_model, point_network
from napari_oneshot_lmk.bundle.network import COLUMNS, PointNetwork
from napari_oneshot_lmk.bundle.verify import Comparison
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.training.preset import Preset

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Processes train, export and detect: that takes its time on a busy machine.
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]
LAYOUT = [
    *("LICENSE", "configs/inference.json", "configs/logging.conf"),
    *("configs/metadata.json", "configs/train.json", "docs/README.md"),
    *("docs/data_license.txt", "models/model.pt", "models/model.ts"),
    *("scripts/__init__.py", "scripts/fine_stage.py"),
    *("scripts/images.py", "scripts/points_table.py"),
    *("template/image.npz", "template/template.json"),
]


@pytest.fixture(scope="module")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scene")


@pytest.fixture(scope="module")
def model(scene_folder: Path) -> TrainedModel:
    return trained_model(scene_folder)


@pytest.fixture(scope="module")
def bundle(model: TrainedModel, scene_folder: Path) -> Path:
    out = scene_folder / "out" / "blobs"
    return exported(model, out, scene_folder / "images")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with MONAI and what the bundle's metadata lists."""
    return made_environment(tmp_path_factory.mktemp("stranger") / "env")


def python(binary: Path | str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run Python without this package's checkout."""
    env = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    call = [str(binary), *map(str, arguments)]
    return subprocess.run(call, cwd=cwd, env=env, capture_output=True, text=True)


def monai(binary: Path | str, *arguments: object, cwd: Path, code: int = 0) -> str:
    """Run a command of MONAI with a bundle; return its complaints."""
    done = python(binary, "-m", "monai.bundle", *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done.stderr


def metadata(bundle: Path) -> dict:
    return json.loads((bundle / "configs/metadata.json").read_text(encoding="utf-8"))


def test_bundle_holds_what_the_specification_names_and_nothing_else(bundle):
    files = [p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()]
    assert sorted(f for f in files if "__pycache__" not in f) == LAYOUT
    assert [p.name for p in bundle.parent.iterdir()] == [bundle.name]


def test_metadata_names_every_landmark_and_every_coordinate(bundle, model):
    told = metadata(bundle)
    output = told["network_data_format"]["outputs"]["pred"]
    assert (output["type"], output["format"]) == ("tuples", "points")
    placed = [point.name for point in model.template.landmarks.placed]
    assert list(output["channel_def"].values()) == placed
    coordinates = told["coordinate_def"].values()
    assert [c["name"] for c in coordinates if c["meaning"]] == list(COLUMNS)
    assert [e["name"] for e in told["landmarks"] if e["state"] == "absent"] == [NEVER]
    assert told["data_source"] == "generated, free"
    assert all(v == version(name) for name, v in told["required_packages_version"].items())


def test_documents_say_where_the_model_comes_from(bundle, model):
    page = (bundle / "docs/README.md").read_text(encoding="utf-8")
    says = ("3 images without annotation", "Nothing was measured")
    says += ("hand the bundle on only where the template may go",)
    assert all(words in page for words in (*says, *model.template.landmarks.names))
    assert str(bundle.parent) not in page
    assert "Apache License" in (bundle / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:No hash value provided")
def test_metadata_passes_monais_verification_offline(bundle, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    verify_metadata(meta_file=str(bundle / "configs/metadata.json"), filepath=str(schema))
    broken = metadata(bundle)
    broken["network_data_format"]["outputs"]["pred"]["type"] = "guess"
    (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(tmp_path / "broken.json"), filepath=str(schema))


def test_network_passes_monais_verification(bundle, stranger):
    files = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
    monai(stranger, "verify_net_in_out", "network_def", "--device", "cpu", *files, cwd=bundle)


def test_bundle_runs_where_nothing_of_ours_is_installed(bundle, stranger, scene_folder, tmp_path):
    names = ["napari", "napari_oneshot_lmk", "pandas", "torchvision"]
    look = f"import importlib.util as u; print(*map(u.find_spec, {names}))"
    seen = python(stranger, "-c", look, cwd=tmp_path)
    assert seen.stdout.split() == ["None"] * len(names)
    images = shutil.copytree(scene_folder / "images", tmp_path / "images")
    (images / "broken.png").write_bytes(b"\x89PNG and then nothing")
    moved = shutil.copytree(bundle, tmp_path / "moved bundle")
    # The file that cannot be used is named, and the others are there.
    said = monai(
        stranger,
        *("run", "--config_file", "configs/inference.json", "--bundle_root", "."),
        *("--dataset_dir", images, "--output_dir", tmp_path / "theirs", "--spacing_mm", "0.5"),
        cwd=moved,
        code=1,
    )
    assert "broken.png: " in said
    theirs = read_landmarks(tmp_path / "theirs" / "landmarks.csv")
    (images / "broken.png").unlink()
    out = tmp_path / "ours.csv"
    ours = command("detect", "--model", bundle, "--out", out, "--spacing", 0.5, images)
    assert ours.exit_code == 0, ours.output
    found = {each.image: each for each in read_landmarks(out)}
    assert {each.image for each in theirs} == set(found)
    for each in theirs:
        mine = found[each.image]
        assert each.geometry == mine.geometry
        assert each.provenance.method == mine.provenance.method
        for one, other in zip(each, mine, strict=True):
            assert (one.name, one.state, one.unsure) == (other.name, other.state, other.unsure)
            if one.state is State.PLACED:
                np.testing.assert_allclose(one.position_yx, other.position_yx, atol=0.05)
                assert one.score == pytest.approx(other.score, abs=1e-3)
                assert one.shape_residual_mm == pytest.approx(other.shape_residual_mm, abs=0.05)
                assert one.radius_90_px == pytest.approx(other.radius_90_px, rel=0.01)


def noise(seed: int) -> torch.Tensor:
    return torch.rand(1, 1, 384, 384, generator=torch.Generator().manual_seed(seed))


def test_ckpt_export_reproduces_the_recorded_network(bundle, programs, tmp_path):
    # The name in the configurations of older bundles is another.
    assert pydoc.locate(f"{load_model.__module__[:-4]}opening.point_network") is point_network
    out = tmp_path / "again.ts"
    monai(
        programs / "python",
        *("ckpt_export", "network_def", "--filepath", out, "--use_trace", "True"),
        *("--ckpt_file", "models/model.pt", "--input_shape", "[1,1,384,384]"),
        *("--meta_file", "configs/metadata.json", "--config_file", "configs/train.json"),
        cwd=bundle,
    )
    again, ours = torch.jit.load(out), torch.jit.load(bundle / "models/model.ts")
    assert again.state_dict().keys() == ours.state_dict().keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with torch.jit.optimized_execution(False):  # optimising takes longer than computing
        assert torch.equal(ours(noise(0)), again(noise(0)))


def test_recorded_network_follows_each_image(bundle, model, scene_folder):
    """No step may be frozen to what the example image happened to need."""
    network = point_network(str(bundle))
    recorded = torch.jit.load(bundle / "models/model.ts")
    for seed in range(4):
        image = torch.nn.functional.avg_pool2d(noise(seed), 9, 1, 4)
        image = (image - image.min()) / (image.max() - image.min())
        with torch.jit.optimized_execution(seed > 1):
            apart = (network(image) - recorded(image)).abs().max()
        assert apart < 0.01, f"{apart} px on noise {seed}"


@pytest.mark.parametrize(
    "card",
    [
        {"instant_share": 0.0, "search_cells": 0},
        {"anchor": "patch", "patch_px": 96, "instant_share": 1.0, "search_cells": 0},
        {"instant": ("apex",)},
    ],
    ids=["network alone", "patch anchors", "one as without training"],
)
def test_other_kinds_of_models_are_recorded_alike(card, tmp_path):
    model = random_model(tmp_path, **card)
    detector = TrainedDetector(model, model.template, shipped_encoder(), "float32")
    network, image = PointNetwork(detector), noise(7)
    torch.testing.assert_close(network.scripted()(image), network(image), atol=0.01, rtol=0)


def test_opened_bundle_is_the_model_that_was_exported(bundle, model):
    again = load_model(bundle)
    assert (again.card, again.landmarks) == (model.card, model.landmarks)
    assert again.template.content_sha256 == model.template.content_sha256
    detector = TrainedDetector.from_model(again, device="cpu")
    detector.set_image(model.template.image)
    assert detector.detect().names == model.template.landmarks.names
    for one, other in zip(again.parts, model.parts, strict=True):
        for name, value in other.network.state_dict().items():
            assert torch.equal(value, one.network.state_dict()[name]), name


def test_train_configuration_trains_with_our_package(bundle, scene_folder, programs, tmp_path):
    preset = tmp_path / "small.toml"
    small = {**SMALL, "labels.initial": "instant", "training.epochs": 5}
    preset.write_text(Preset.load("laptop").changed(small).to_toml(), encoding="utf-8")
    monai(
        programs / "python",
        *("run", "--config_file", "configs/train.json", "--bundle_root", bundle),
        *("--dataset_dir", scene_folder / "images", "--output_dir", tmp_path / "run"),
        *("--preset", preset, "--max_epochs", "1", "--device", "cpu"),
        cwd=bundle,
    )
    again = TrainedModel.load(tmp_path / "run")
    assert again.card.training.epochs == 1
    assert again.landmarks == load_model(bundle).landmarks


@pytest.mark.usefixtures("quick_children")
def test_export_from_the_command_line_says_that_points_are_identical(model, scene_folder, tmp_path):
    model.save(tmp_path / "model")
    out = tmp_path / "bundle"
    result = command(
        *("export-bundle", "--model", tmp_path / "model", "--out", out),
        *("--authors", "A. Nonymous", "--try-on", scene_folder / "images"),
    )
    assert result.exit_code == 0, result.output
    assert "identical, max 0.00 px on the template and 3 images" in result.stdout
    assert metadata(out)["authors"] == "A. Nonymous"
    again = command("export-bundle", "--model", tmp_path / "model", "--out", out)
    assert again.exit_code == 2


OTHER_POINTS = Comparison(("a", "b"), 0.06, "apex on b")


@pytest.mark.usefixtures("quick_children")
@pytest.mark.parametrize(
    ("what", "replacement", "message"),
    [
        ("verify_bundle", lambda *_: OTHER_POINTS, r"up to 0\.06 px away \(apex on b\)"),
        ("configs.make_inference", lambda _: {"run": ["$1/0"]}, "the bundle does not run, MONAI"),
    ],
)
def test_a_bundle_that_fails_is_not_exported(
    model, tmp_path, monkeypatch, what, replacement, message
):
    monkeypatch.setattr(PointNetwork, "scripted", lambda self: Unrecorded)
    monkeypatch.setattr(f"napari_oneshot_lmk.bundle.export.{what}", replacement)
    with pytest.raises(ModelError, match=message):
        exported(model, tmp_path / "bundle", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_export_leaves_nothing_that_looks_complete(model, tmp_path):
    model.save(tmp_path / "model")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from napari_oneshot_lmk.bundle import export\n"
        "from napari_oneshot_lmk.bundle.configs import About\n"
        "from napari_oneshot_lmk.bundle.load import load_model\n"
        "export.verify_bundle = lambda *_: os.kill(os.getpid(), 9)\n"
        "class Nothing:\n"
        "    def save(self, path): Path(path).write_bytes(b'')\n"
        "export.PointNetwork.scripted = lambda self: Nothing()\n"
        "wanted = export.Export(load_model(sys.argv[1]), Path(sys.argv[2]), About(),"
        " None)\n"
        "list(export.export_bundle(wanted))\n"
    )
    out = tmp_path / "bundles" / "killed"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model", out])
    assert done.returncode == -signal.SIGKILL
    assert not is_bundle(out)
    assert not out.exists()
    assert not [p for p in out.parent.iterdir() if not p.name.startswith(".")]


def test_measured_figures_stand_in_the_documents(tmp_path, model):
    overall = {"mre_mm": 1.685196, "median_mm": 1.2, "n": 57, "sdr_percent": {"2.0": 73.4}}
    (tmp_path / "summary.json").write_text(json.dumps({"native": overall, "images": 3}))
    figures = read_metrics(tmp_path)
    assert figures["MRE mm"] == 1.685
    page = make_readme(model, exporting.About(name="Blobs"), figures)
    assert "- SDR 2.0 mm %: 73.4" in page
    training = model.card.training.model_copy(update={"preset": ""})
    own = replace(model, card=model.card.model_copy(update={"training": training}))
    page = make_readme(own, exporting.About(name="Blobs"), {})
    assert "3 images without annotation, settings of its own, epoch" in page
    missing = command(
        *("export-bundle", "--model", tmp_path, "--out", tmp_path / "b"),
        *("--measured", tmp_path / "nowhere"),
    )
    assert missing.exit_code == 1
