"""What a command imports before it can begin: nothing that it does not need."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_scene import random_model, with_fine_stage
from cli_scene import make_world, python
from random_vgg19 import NARROW, saved_weights

from napari_oneshot_lmk.landmarks.files import read_landmarks

NOT_NEEDED = {"ignite", "matplotlib", "monai", "pandas", "scipy", "SimpleITK", "torchvision"}
OTHER_FORMATS = {"imagecodecs", "nibabel", "nrrd", "pydicom", "tifffile"}
COMMAND = """
import sys
from napari_oneshot_lmk.cli.app import main
sys.argv[0] = "oneshot-lmk"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted(sys.modules))
"""


def modules_after(*words: object, before: str = "") -> set[str]:
    """Run a command in a process of its own and return the names of all loaded modules."""
    done = python("-c", before + COMMAND, *words)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_of_a_command_loads_no_other_command():
    loaded = modules_after("detect", "--help")
    assert not loaded & {"torch", "pandas", *NOT_NEEDED, *OTHER_FORMATS}
    assert "napari_oneshot_lmk.cli.detect" in loaded
    for other in ("train", "project", "morphometrics", "benchmark"):
        assert f"napari_oneshot_lmk.cli.{other}" not in loaded


@pytest.mark.usefixtures("narrow")
def test_detection_loads_what_it_needs(tmp_path: Path):
    world = make_world(tmp_path / "w", template=True)
    weights, out = saved_weights(tmp_path / "weights.safetensors"), tmp_path / "found.csv"
    loaded = modules_after(
        *("detect", world.images / "one.png", "--template", world.template),
        *("--encoder-weights", weights, "--device", "cpu", "--out", out),
        before=NARROW,
    )
    assert len(read_landmarks(out)) == 1
    assert {"torch", "PIL"} <= loaded, "the function above sees what is loaded"
    assert not loaded & (NOT_NEEDED | OTHER_FORMATS)


def test_a_trained_model_with_a_fine_stage_loads_what_it_needs(tmp_path: Path):
    world = make_world(tmp_path / "w", template=True)
    (tmp_path / "scene").mkdir()
    with_fine_stage(random_model(tmp_path / "scene")).save(tmp_path / "model")
    out = tmp_path / "found.csv"
    loaded = modules_after(
        *("detect", world.images / "one.png", "--model", tmp_path / "model"),
        *("--device", "cpu", "--out", out),
    )
    assert len(read_landmarks(out)) == 1
    assert "napari_oneshot_lmk.network.unet_blocks" in loaded
    # The last two are the compiler of PyTorch, which a network on the meta device can wake.
    assert not loaded & (NOT_NEEDED | OTHER_FORMATS | {"torch._dynamo", "sympy"})
