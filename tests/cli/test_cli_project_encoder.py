"""A project remembers the encoder that it was detected with, and uses no other by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_scene import World, make_world, one_sentence, run, succeed
from random_vgg19 import saved_weights
from weights_scene import isolate

from napari_oneshot_lmk.review.project import Project

pytestmark = pytest.mark.usefixtures("narrow", "one_thread")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    isolate(monkeypatch, tmp_path)
    made = make_world(tmp_path / "w", template=True)
    succeed("project", "create", made.folder / "p", made.images, "--template", made.template)
    return made


def encoders(folder: Path) -> set[str]:
    works = [work for _, work in Project.open(folder).works() if work.detected is not None]
    return {work.detected.provenance.encoder for work in works}


def test_weights_that_were_named_once_are_used_from_then_on(world, tmp_path):
    folder, weights = world.folder / "p", saved_weights(tmp_path / "my.safetensors")
    succeed("project", "detect", folder, "one.png", "--encoder-weights", weights)
    succeed("project", "detect", folder)
    succeed("project", "accept", folder, "one.png", "two.png")
    succeed("project", "settle", folder, "one.png")
    succeed("project", "learn", folder, "--apply", "further templates")
    (encoder,) = encoders(folder)
    assert encoder.startswith("vgg19")
    weights.rename(tmp_path / "elsewhere.safetensors")
    for command in (["detect", folder, "--again"], ["settle", folder, "one.png"]):
        result = run("project", *command)
        assert result.exit_code == 1
        sentence = one_sentence(result)
        assert f"{folder}: was detected with VGG19 (my.safetensors) and " in sentence
        assert f"({weights}), whose weights are not there any more" in sentence
        assert "--encoder-weights" in sentence
    succeed(
        *("project", "detect", folder, "--again"),
        *("--encoder-weights", tmp_path / "elsewhere.safetensors"),
    )


def test_the_shipped_encoder_is_used_on_when_other_weights_have_come(world, tmp_path):
    folder = world.folder / "p"
    succeed("project", "detect", folder, "one.png")
    weights = saved_weights(tmp_path / "cache/vgg19-features.safetensors")
    succeed("project", "detect", folder, "two.png")
    assert len(encoders(folder)) == 1
    said = succeed("project", "detect", folder, "three.png", "--encoder-weights", weights).stderr
    assert "The images before were detected with" in said
    assert "--again" in said
    succeed("project", "detect", folder, "--again")
    (encoder,) = encoders(folder)
    assert encoder.startswith("vgg19")
