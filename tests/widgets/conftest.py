"""Fixtures of the docks' tests."""

from typing import Any

import pytest
from npe2 import PluginManager, PluginManifest
from widget_scene import MANIFEST


@pytest.fixture
def plugin(npe2pm: PluginManager) -> PluginManager:
    """napari with its own readers and this plugin, and no other."""
    npe2pm.register(PluginManifest.from_distribution("napari"))
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return npe2pm


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    """A window that is not shown."""
    return make_napari_viewer_proxy()
