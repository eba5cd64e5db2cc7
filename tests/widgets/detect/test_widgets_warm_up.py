"""The encoder is loaded when the dock opens, in another thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from training_scene import template

from napari_oneshot_lmk.encoders import select
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import WeightsError
from napari_oneshot_lmk.widgets import detectors
from napari_oneshot_lmk.widgets.detectors import DetectorCache
from napari_oneshot_lmk.widgets.dock import OneshotDock
from napari_oneshot_lmk.widgets.settings import Preferences

DEFAULTS = Preferences()


class Encoders:
    """Stands in for `instant_encoder`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, note: str = "") -> None:
        self.note, self.error = note, None
        self.downloads: list[bool] = []
        self.threads: list[str] = []
        monkeypatch.setattr(select, "instant_encoder", self)

    def __call__(self, weights: Any, device: str, allow_download: bool, *progress: Any) -> Any:
        self.downloads.append(allow_download)
        self.threads.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        return shipped_encoder(note=self.note)


def warmed(cache: DetectorCache, wanted: Preferences = DEFAULTS) -> DetectorCache:
    """Warm up twice, as two docks do, and wait for it."""
    cache.warm_up(wanted)
    cache.warm_up(wanted)
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join(60)
    return cache


def detector_from(cache: DetectorCache, wanted: Preferences = DEFAULTS) -> Any:
    return cache(template(), wanted, lambda done, total: None)


def test_detection_uses_the_encoder_that_was_loaded_ahead(monkeypatch):
    encoders = Encoders(monkeypatch)
    cache = warmed(DetectorCache())
    assert (encoders.threads, encoders.downloads) == (["warm-up"], [False])
    detector_from(cache)
    assert len(encoders.downloads) == 1


def test_other_preferences_load_anew(monkeypatch):
    encoders = Encoders(monkeypatch)
    cache = warmed(DetectorCache())
    detector_from(cache, Preferences(device="cpu"))
    assert encoders.downloads == [False, True]


def test_a_stand_in_does_not_keep_detection_from_downloading(monkeypatch):
    encoders = Encoders(monkeypatch, note="The shipped encoder is used alone.")
    detector_from(warmed(DetectorCache()))
    assert encoders.downloads == [False, True]


def test_detection_tells_what_went_wrong(monkeypatch):
    encoders = Encoders(monkeypatch)
    encoders.error = WeightsError("no such file")
    cache = warmed(DetectorCache())
    with pytest.raises(WeightsError, match="no such file"):
        detector_from(cache)


def test_a_shown_dock_warms_up(make_napari_viewer_proxy, qtbot, monkeypatch):
    warm: list[Preferences] = []
    monkeypatch.setattr(
        detectors.DetectorCache, "warm_up", lambda self, wanted: warm.append(wanted)
    )
    dock = OneshotDock(make_napari_viewer_proxy())
    qtbot.addWidget(dock)
    assert not warm
    dock.show()
    assert warm == [Preferences()]
