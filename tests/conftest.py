"""For every test: a display, no network, nothing written to the user's folders."""

import gc
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from virtual_display import virtual_display  # noqa: E402

_open_for_the_session = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a display: Qt ends the process where it finds none."""
    # Several test processes, and those that they start, share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # As the command line does: threads that wait actively slow one another down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _open_for_the_session.enter_context(display_of_this_process(config))


@contextmanager
def display_of_this_process(config: pytest.Config) -> Iterator[None]:
    """Open a virtual display, one for each of several test processes.

    On a common one they would take the keyboard's focus from each other.
    """
    worker = hasattr(config, "workerinput")
    if worker and "ONESHOT_TESTS_DISPLAY" in os.environ:
        del os.environ["DISPLAY"]
    with virtual_display() as opened:
        if opened is not None and not worker:
            os.environ["ONESHOT_TESTS_DISPLAY"] = opened
        yield


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the display again."""
    _open_for_the_session.close()


WINDOW_FIXTURES = {"clinic", "make_napari_viewer", "make_napari_viewer_proxy", "qapp", "qtbot"}
TRAINING_SCENES = {"bundle_scene", "learning_scene", "training_scene", "trained_together"}
TRAINING_PLACES = {"benchmark", "cluster", "test_cli_demo"}
TRAINING_PLACES |= {"test_cli_model_weights", "test_widgets_model_weights"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens a window, starts a child process or trains; see ``make test-fast``."""
    for item in items:
        module = vars(item.module)  # type: ignore[attr-defined]
        scenes = {getattr(value, "__module__", None) for value in module.values()}
        if WINDOW_FIXTURES & set(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker("window")
        if "subprocess" in module or scenes & {"commands", "killed_training"}:
            item.add_marker("process")
        if scenes & TRAINING_SCENES or {item.path.parent.name, item.path.stem} & TRAINING_PLACES:
            item.add_marker("slow")
    # Files that take long come first: at the end, all processes have something to do.
    marks = {"slow", "process", "timeout"}
    long = {item.path for item in items if marks & {mark.name for mark in item.iter_markers()}}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Have garbage searched for among what the tests make only, not in all libraries.

    Windows are in reference cycles, so napari's fixture searches after each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests apart from the user's caches and settings.

    Weights in a user's cache would change the encoder of every test.
    """
    home = tmp_path_factory.mktemp("user")
    folders = {
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "TORCH_HOME": home / "torch",
        # Building the list of fonts takes seconds; that cache may stay.
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or Path.home() / ".cache" / "matplotlib",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in folders.items():
            patch.setenv(name, str(folder))
        patch.setenv("MPLBACKEND", "Agg")
        yield


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines at once."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: object) -> None:
        remote = self.family in (socket.AF_INET, socket.AF_INET6)
        if remote and address[0] not in ("127.0.0.1", "::1", "localhost"):  # type: ignore[index]
            raise OSError(f"the tests have no network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", only_here)


@pytest.fixture(autouse=True)
def _forget_failed_download() -> Iterator[None]:
    """Forget a download that failed: it is remembered for the whole process."""
    yield
    weights = sys.modules.get("napari_oneshot_lmk.encoders.weights")
    if weights is not None:
        weights.forget_failed_download()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks are slower on several, above all on a busy machine."""
    # Not above: pytest_configure sets how its threads wait before it is loaded.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def programs(_own_folders: None) -> Iterator[Path]:
    """A folder with an ``oneshot-lmk`` and a ``python`` that start at once."""
    if not hasattr(os, "fork"):
        yield Path(sys.executable).parent
        return
    from command_server import programs

    with programs() as folder:
        yield folder


@pytest.fixture
def quick_children(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what runs ``sys.executable`` find one that starts at once."""
    monkeypatch.setattr(sys, "executable", str(programs / "python"))


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """VGG19 of an eighth of its channels, for tests that need no more of it than its layers."""
    from random_vgg19 import narrow_vgg19

    with narrow_vgg19():
        yield


@pytest.fixture
def clinic(make_napari_viewer_proxy: Any, npe2pm: Any, qtbot: Any) -> Any:
    """A shown window with the composed dock, napari's readers and this plugin."""
    from clinic_scene import Clinic
    from widget_scene import manifests

    for manifest in manifests():
        npe2pm.register(manifest)
    return Clinic(make_napari_viewer_proxy(show=True), qtbot)
