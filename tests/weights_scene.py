"""A small model that was trained on weights which the user named."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_scene import SPACING_MM, World, make_world, run
from random_vgg19 import random_weights
from typer.testing import Result

from napari_oneshot_lmk.encoders.weights_file import half_precision, write_weights

PRESET = """
[network]
width = 0.05
adapter_channels = 2
embedding_channels = 8
lateral_channels = 8
rfb = false
[template_copies]
count = 1
[labels]
initial = "instant"
[detection]
instant_share = 1.0
[training]
anchor = "template"
together = true
epochs = 1
batch = 3
learning_rate = 1e-3
selection = "last"
"""


def isolate(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """No weights anywhere and none to be had."""
    patch.setenv("ONESHOT_LMK_CACHE", str(folder / "cache"))
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    # A proxy that refuses at once.
    patch.setenv("https_proxy", "http://127.0.0.1:9")


@dataclass(frozen=True)
class Trained:
    """What a training on weights of one's own leaves.

    Parameters
    ----------
    world : World
        Its images and template.
    weights : Path
        The file of the weights.
    result : Result
        What the command printed.
    """

    world: World
    weights: Path
    result: Result

    @property
    def run(self) -> Path:
        return self.world.folder / "run"

    def command(self, *more: object) -> list[object]:
        """The command that has trained it."""
        world = self.world
        return [
            *("train", "--template", world.template, "--images", world.images),
            *("--device", "cpu", "--preset", world.folder / "preset.toml"),
            *("--spacing", SPACING_MM, "--encoder-weights", self.weights),
            *("--out", self.run, *more),
        ]


def trained(folder: Path, *more: object, half: bool = False) -> Trained:
    """Train on random weights, in half precision where asked."""
    world = make_world(folder / "w")
    for name in ("two.png", "three.png"):
        (world.images / name).unlink()
    result = run(
        "template",
        *("--image", world.template_image, "--landmarks", world.landmarks),
        *("--spacing", SPACING_MM, "--out", world.template),
    )
    assert result.exit_code == 0, result.output
    (world.folder / "preset.toml").write_text(PRESET)
    weights = folder / "my weights.safetensors"
    given = half_precision(random_weights()) if half else random_weights()
    write_weights(weights, given, half=half)
    made = Trained(world, weights, result)
    result = run(*made.command(*more))
    assert result.exit_code == 0, result.output
    return Trained(world, weights, result)


def copied(made: Trained, folder: Path) -> Path:
    """Copy the run as to another computer."""
    shutil.copytree(made.run, folder)
    return folder
