"""Fixtures of the docks' tests."""

from typing import Any

import pytest
from npe2 import PluginManager
from widget_scene import manifests


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
