"""The plugin as napari sees it: valid, complete, and light to open."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
from commands import succeed
from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from npe2.cli import app
from typer.testing import CliRunner

import napari_oneshot_lmk
from napari_oneshot_lmk.widgets.settings import Preferences, preferences

PLUGIN = "napari-oneshot-lmk"
PATH = Path(napari_oneshot_lmk.__file__).with_name("napari.yaml")
HEAVY = ("torch", "torchvision", "monai")
MANIFEST = PluginManifest.from_file(PATH)


def npe2(*arguments: str) -> str:
    """Run npe2's command; return its output."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_npe2_finds_nothing_wrong():
    assert "valid" in npe2("validate", str(PATH))


def test_npe2_reads_what_the_hub_and_the_plugin_manager_show(tmp_path):
    out = tmp_path / "manifest.json"
    npe2("parse", str(PATH), "--output", str(out))
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
    kinds = ("widgets", "readers", "writers", "sample_data")
    used = {c.command for kind in kinds for c in getattr(MANIFEST.contributions, kind)}
    assert used == {c.id for c in MANIFEST.contributions.commands}


def test_opening_the_docks_does_not_import_torch():
    titles = [widget.display_name for widget in MANIFEST.contributions.widgets]
    code = f"""
import sys
import napari, numpy
viewer = napari.Viewer(show=False)
viewer.add_image(numpy.random.default_rng(0).random((64, 64)))
for title in {titles!r}:
    _, dock = viewer.window.add_plugin_dock_widget({PLUGIN!r}, title)
    print(type(dock).__name__)
from napari_oneshot_lmk.landmarks.lists import numbered
dock.session.choose_list(numbered(3))
viewer.close()
print("loaded", {set(HEAVY)} & set(sys.modules))
"""
    said = succeed(sys.executable, "-W", "ignore", "-c", code)
    assert said.endswith("loaded set()\n")


def test_the_preferences_page_and_the_code_agree(npe2pm, plugin_settings):
    npe2pm.register(MANIFEST)
    # What the page starts with is what the code assumes without a page.
    assert preferences() == Preferences()
    kept = get_plugin_settings(PLUGIN)
    values = {
        "detection": {"device": "cpu", "allow_download": False, "point_text": "numbers"},
        "annotation": {"author": "me", "point_size_px": 25.0, "autosave_beside_image": False},
    }
    for page, entries in values.items():
        for name, value in entries.items():
            setattr(getattr(kept, page), name, value)
    kept.detection.encoder_weights = " ~/vgg19.safetensors "
    weights = Path("~/vgg19.safetensors").expanduser()
    every = values["detection"] | values["annotation"] | {"encoder_weights": weights}
    assert preferences() == Preferences(**every)
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
