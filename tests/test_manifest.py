"""The plugin as napari sees it: valid, complete, and light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_oneshot_lmk
from napari_oneshot_lmk.widgets.settings import Preferences, preferences

PLUGIN = "napari-oneshot-lmk"
PATH = Path(napari_oneshot_lmk.__file__).with_name("napari.yaml")
HEAVY = ("torch", "torchvision", "monai")
MANIFEST = PluginManifest.from_file(PATH)


def test_npe2_finds_nothing_wrong():
    from npe2.cli import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["validate", str(PATH)])
    assert result.exit_code == 0, result.output
    assert "valid" in result.output


def test_npe2_reads_what_the_hub_and_the_plugin_manager_show(tmp_path):
    from npe2.cli import app
    from typer.testing import CliRunner

    out = tmp_path / "manifest.json"
    result = CliRunner().invoke(app, ["parse", str(PATH), "--output", str(out)])
    assert result.exit_code == 0, result.output
    shown = json.loads(out.read_text(encoding="utf-8"))
    assert shown["name"] == PLUGIN
    assert shown["display_name"] == "One-shot landmarks"
    assert shown["visibility"] == "public"
    assert shown["categories"] == ["Annotation", "Measurement", "IO"]
    contributed = shown["contributions"]
    for kind in ("widgets", "writers", "sample_data"):
        names = [one["display_name"] for one in contributed[kind]]
        assert all(names), kind
        assert len(set(names)) == len(names), f"{kind} that a user cannot tell apart"
    titles = [command["title"] for command in contributed["commands"]]
    assert len(set(titles)) == len(titles)
    for page in contributed["configurations"].values():
        for field in page["properties"].values():
            assert field["title"]
            assert field["description"].endswith(".")


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda c: c.id)
def test_every_command_can_be_imported(command):
    assert command.id.startswith(f"{PLUGIN}.")
    module, _, name = command.python_name.partition(":")
    assert callable(getattr(import_module(module), name))


def test_every_command_is_used():
    contributions = MANIFEST.contributions
    used = {
        c.command
        for kind in ("widgets", "readers", "writers", "sample_data")
        for c in getattr(contributions, kind)
    }
    assert used == {c.id for c in contributions.commands}


def without_heavy_imports(code: str) -> None:
    """Run code in a fresh interpreter and look at what it has imported."""
    check = (
        "\nimport sys\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\nprint('light')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + check],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "light" in done.stdout


def test_importing_what_the_manifest_names_does_not_import_torch():
    names = [c.python_name.partition(":")[0] for c in MANIFEST.contributions.commands]
    without_heavy_imports("\n".join(f"import {name}" for name in sorted(set(names))))


def test_opening_the_docks_does_not_import_torch():
    titles = [widget.display_name for widget in MANIFEST.contributions.widgets]
    without_heavy_imports(
        "import napari, numpy\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.add_image(numpy.random.default_rng(0).random((64, 64)))\n"
        f"for title in {titles!r}:\n"
        f"    _, dock = viewer.window.add_plugin_dock_widget({PLUGIN!r}, title)\n"
        "    print(type(dock).__name__)\n"
        "from napari_oneshot_lmk.landmarks.lists import numbered\n"
        "dock.session.choose_list(numbered(3))\n"
        "viewer.close()\n"
    )


def test_the_preferences_page_and_the_code_agree(npe2pm, plugin_settings):
    npe2pm.register(MANIFEST)
    # What the page starts with is what the code assumes without a page.
    assert preferences() == Preferences()
    from napari.settings import get_plugin_settings

    kept = get_plugin_settings(PLUGIN)
    kept.detection.device = "cpu"
    kept.detection.encoder_weights = " ~/vgg19.safetensors "
    kept.detection.point_text = "numbers"
    kept.annotation.author = "me"
    kept.annotation.point_size_px = 25
    kept.annotation.autosave_beside_image = False
    kept.detection.allow_download = False
    assert preferences() == Preferences(
        device="cpu",
        encoder_weights=Path("~/vgg19.safetensors").expanduser(),
        allow_download=False,
        autosave_beside_image=False,
        point_size_px=25.0,
        point_text="numbers",
        author="me",
    )
    with pytest.raises(ValueError, match="device"):
        kept.detection.device = "abacus"
    with pytest.raises(ValueError, match="point_size_px"):
        kept.annotation.point_size_px = -1.0


def test_without_the_manifest_the_defaults_hold(plugin_settings):
    assert preferences() == Preferences()


def test_a_size_that_an_earlier_version_stored_does_no_harm(npe2pm, plugin_settings, tmp_path):
    (tmp_path / f"{PLUGIN}.yaml").write_text(
        "annotation:\n  author: me\n  point_size_percent: 2.5\n"
    )
    npe2pm.register(MANIFEST)
    assert preferences() == Preferences(author="me")
