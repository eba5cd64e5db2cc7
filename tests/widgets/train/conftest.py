"""Fixtures of the dock "Train model", with a training that learns nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_scene import FakeChildren, checked, docked, image_folder, template

from napari_oneshot_lmk.widgets.train import close_question
from napari_oneshot_lmk.widgets.train import widget as train_module
from napari_oneshot_lmk.widgets.train.widget import TrainWidget


@pytest.fixture(autouse=True)
def _own_settings(plugin: Any, plugin_settings: Any) -> None:
    """Remember nothing from one test to the next."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: Any) -> Path:
    """Where trainings are kept."""
    folder = tmp_path / "trainings"
    monkeypatch.setattr(train_module, "training_folder", lambda: folder)
    return folder


@pytest.fixture
def children() -> Iterator[FakeChildren]:
    fake = FakeChildren()
    yield fake
    fake.end_all()


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def bare(viewer: Any, base: Path, children: FakeChildren) -> TrainWidget:
    """A dock without a template."""
    return docked(viewer, children)


@pytest.fixture
def images(base: Path) -> Path:
    """A folder of three images."""
    return image_folder(base.parent / "images")


@pytest.fixture
def dock(bare: TrainWidget, qtbot: Any, images: Path) -> TrainWidget:
    """A dock with a template and checked images."""
    bare.session.load_template(template())
    checked(qtbot, bare, images)
    return bare


@pytest.fixture(autouse=True)
def _questions_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have tests of their own; a window that closes after a failure must not wait."""
    discard = close_question.Answer.DISCARD
    monkeypatch.setattr(close_question, "ask_whether_to_discard", lambda window, run: True)
    monkeypatch.setattr(close_question, "ask_what_becomes_of", lambda window, run: discard)
