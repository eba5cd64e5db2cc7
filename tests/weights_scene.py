"""A small model that was trained on weights which the user named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_scene import SPACING_MM, World, make_world, preset_text, succeed
from random_vgg19 import random_weights
from typer.testing import Result

from napari_oneshot_lmk.encoders.weights_file import half_precision, write_weights


def isolate(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """No weights anywhere and none to be had."""
    patch.setenv("ONESHOT_LMK_CACHE", str(folder / "cache"))
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    # A proxy that refuses at once.
    patch.setenv("https_proxy", "http://127.0.0.1:9")


class Trained:
    """What a training on weights of one's own leaves."""

    result: Result
    """What the command printed."""

    def __init__(self, world: World, weights: Path) -> None:
        self.world, self.weights, self.run = world, weights, world.folder / "run"

    def command(self, *more: object, run: Path | None = None, weights: object = None) -> list[Any]:
        """The command that has trained it."""
        world = self.world
        return [
            *("train", "--template", world.template, "--images", world.images),
            *("--device", "cpu", "--preset", world.folder / "preset.toml"),
            *("--spacing", SPACING_MM, "--encoder-weights", weights or self.weights),
            *("--out", run or self.run, *more),
        ]


def trained(folder: Path, *more: object, half: bool = False) -> Trained:
    """Train on random weights, in half precision where asked."""
    world = make_world(folder / "w", template=True)
    for name in ("two.png", "three.png"):
        (world.images / name).unlink()
    (world.folder / "preset.toml").write_text(preset_text(copies=1, epochs=1, selection="last"))
    weights = folder / "my weights.safetensors"
    given = half_precision(random_weights()) if half else random_weights()
    write_weights(weights, given, half=half)
    made = Trained(world, weights)
    made.result = succeed(*made.command(*more))
    return made


def copied(made: Trained, folder: Path) -> Path:
    """Copy the run as to another computer."""
    shutil.copytree(made.run, folder)
    return folder
