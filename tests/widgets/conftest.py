"""Fixtures of the docks' tests."""

from typing import Any

import pytest
from npe2 import PluginManager
from widget_scene import manifests


@pytest.fixture(autouse=True)
def own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Keep what is saved of images without a file apart: tests use the same pixels."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def plugin(npe2pm: PluginManager) -> PluginManager:
    """napari with its own readers and this plugin, and no other."""
    for manifest in manifests():
        npe2pm.register(manifest)
    return npe2pm


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    """A window that is not shown."""
    return make_napari_viewer_proxy()
