"""Where weights are looked for, and what happens when a place fails."""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from random_vgg19 import random_parameters, random_weights, saved_weights

from napari_oneshot_lmk.encoders import weights
from napari_oneshot_lmk.encoders.vgg19 import content_sha256, vgg19_weights_url
from napari_oneshot_lmk.encoders.weights import describe_search, find_weights
from napari_oneshot_lmk.encoders.weights_file import read_weights
from napari_oneshot_lmk.errors import WeightsError

HALVES = {k: v.half() for k, v in random_parameters().items()}
SHA256 = content_sha256(HALVES)


@pytest.fixture(scope="module")
def torch_file() -> bytes:
    """The file on torchvision's server: half precision here, to be quick."""
    buffer = io.BytesIO()
    torch.save({**HALVES, "classifier.6.bias": torch.zeros(10)}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def file_name(torch_file) -> str:
    return f"vgg19-{hashlib.sha256(torch_file).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, file_name) -> Iterator[None]:
    """An empty world: no caches."""
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "TORCHVISION_FILE", file_name)
    yield
    # Pytest keeps the folders of its last runs: these would fill a disk.
    shutil.rmtree(tmp_path)


class Server:
    """A web server that answers as told and counts its visitors."""

    def __init__(self, content: bytes) -> None:
        self.content, self.claimed = content, len(content)
        self.status, self.visits = 200, 0
        self.is_silent, self.closing = False, threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.visits += 1
                if server.is_silent:
                    server.closing.wait(5)
                with suppress(ConnectionError):  # the visitor may have left
                    self.send_response(server.status)
                    self.send_header("Content-Length", str(server.claimed))
                    self.end_headers()
                    self.wfile.write(server.content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch, torch_file, file_name) -> Iterator[Server]:
    answering = Server(torch_file)
    url = f"http://127.0.0.1:{answering.http.server_port}/models/{file_name}"
    monkeypatch.setattr(weights, "vgg19_weights_url", lambda: url)
    yield answering
    answering.close()


def ours() -> Path:
    return weights.cache_folder() / weights.CACHED_FILE


def left_behind() -> list[str]:
    return [path.name for path in weights.cache_folder().rglob("*")]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def lying(torch_file, file_name) -> Path:
    """torchvision's file in its own cache."""
    return put(weights.torchvision_cache_folder() / file_name, torch_file)


# -- order ---------------------------------------------------------------------------


def test_a_named_file_comes_first_and_is_the_only_one(tmp_path, server):
    saved_weights(ours(), seed=1)
    named = saved_weights(tmp_path / "named.safetensors")
    assert find_weights(named).sha256 == random_weights().sha256
    named.write_bytes(b"spoiled")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        find_weights(named)
    assert server.visits == 0


def test_our_cache_comes_before_torchvisions(lying):
    saved_weights(ours(), seed=1)
    assert find_weights().sha256 == random_weights(1).sha256


@pytest.mark.parametrize("folder", [weights.cache_folder, weights.torchvision_cache_folder])
def test_torchvisions_file_is_found_and_kept_without_its_classifier(
    folder, torch_file, file_name, server
):
    lying = put(folder() / file_name, torch_file)
    assert find_weights().sha256 == SHA256
    assert read_weights(ours()).sha256 == SHA256
    lying.unlink()
    assert find_weights(allow_download=False).sha256 == SHA256
    assert server.visits == 0


def test_a_damaged_cache_is_passed_over_and_replaced(server):
    put(ours(), b"half a file")
    assert [find_weights().sha256 for _ in range(2)] == [SHA256] * 2
    assert server.visits == 1


def test_a_wrong_checksum_in_torchvisions_cache_is_told(lying, torch_file):
    lying.write_bytes(torch_file[:-1])
    with pytest.raises(WeightsError, match="SHA-256 begins with") as caught:
        find_weights(allow_download=False)
    assert str(lying) in str(caught.value)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch, server, lying, caplog):
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(put(tmp_path / "a-file", b"") / "in"))
    assert find_weights(allow_download=False).sha256 == SHA256
    assert "could not be kept" in caplog.text
    lying.unlink()
    with pytest.raises(WeightsError, match="download failed"):
        find_weights()


# -- download --------------------------------------------------------------------------


def test_a_download_is_checked_kept_and_not_repeated(server, torch_file):
    steps = []
    found = find_weights(progress=lambda done, total: steps.append((done, total)))
    assert found.sha256 == SHA256
    assert steps == sorted(steps)
    assert len(steps) > 3
    assert steps[-1] == (len(torch_file), len(torch_file))
    assert left_behind() == [weights.CACHED_FILE]
    kept = find_weights()
    assert kept.source.startswith("http://127.0.0.1")
    assert "github.com/pytorch/vision" in kept.licence
    assert server.visits == 1


def test_threads_that_want_it_at_once_download_it_once(server):
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: find_weights().sha256, range(3)))
    assert found == [SHA256] * 3
    assert server.visits == 1


def answer_with(change: Callable[[bytes], bytes]):
    return lambda server, patch: patch.setattr(server, "content", change(server.content))


def say_nothing(server: Server, monkeypatch) -> None:
    server.is_silent = True
    monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.3)


def have_no_torchvision(server: Server, monkeypatch) -> None:
    def fail() -> str:
        raise ImportError("torchvision cannot be imported: no such thing")

    monkeypatch.setattr(weights, "vgg19_weights_url", fail)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (lambda server, patch: patch.setattr(server, "status", 404), "Not Found"),
        (answer_with(lambda content: content[:-1] + b"!"), "SHA-256"),
        (answer_with(lambda content: content[: 1 << 20]), "SHA-256"),
        (lambda server, patch: server.close(), "refused"),
        (say_nothing, "no connection within 0.3 s"),
        (have_no_torchvision, "torchvision cannot be imported"),
    ],
)
def test_a_failed_download_says_why_and_what_to_do(server, monkeypatch, trouble, words):
    trouble(server, monkeypatch)
    started = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        find_weights()
    assert time.monotonic() - started < 5
    sentence = str(caught.value)
    assert "\n" not in sentence
    fetch = f"fetch {weights.WEIGHTS_URL} on a computer with internet and put that file into"
    cache = weights.torchvision_cache_folder()
    for said in ("download failed", words, str(cache), f"{fetch} {weights.cache_folder()}"):
        assert said in sentence
    assert left_behind() == []


def test_a_failed_download_is_remembered_until_told_otherwise(server):
    assert "tried when" in describe_search()[-1].detail
    server.status = 503
    for _ in range(3):
        with pytest.raises(WeightsError, match="download failed"):
            find_weights()
    assert server.visits == 1
    assert "not tried again" in describe_search()[-1].detail
    server.status = 200
    weights.forget_failed_download()
    assert find_weights().sha256 == SHA256


def test_a_file_put_there_after_a_failed_download_is_used(server, torch_file, file_name):
    server.status = 503
    with pytest.raises(WeightsError):
        find_weights()
    put(weights.cache_folder() / file_name, torch_file)
    assert find_weights().sha256 == SHA256


class Stop(Exception):  # noqa: N818
    pass


def test_a_download_can_be_stopped_and_begun_again(server):
    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        find_weights(progress=stop)
    assert left_behind() == []
    assert find_weights().sha256 == SHA256
    assert server.visits == 2


# -- places ---------------------------------------------------------------------


def test_the_search_is_described_in_its_order(tmp_path, lying):
    named = tmp_path / "mine.safetensors"
    files = (named, ours(), weights.cache_folder() / lying.name, lying)
    found = [(place.where, place.found) for place in describe_search(named)]
    assert found == [(str(f), f is lying) for f in files] + [(weights.WEIGHTS_URL, False)]
    assert len(describe_search()) == 4


def test_torchvisions_cache_is_where_torch_says(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "~/models")
    assert weights.torchvision_cache_folder() == Path.home() / "models/hub/checkpoints"


def test_our_cache_is_where_the_system_keeps_caches(monkeypatch):
    monkeypatch.delenv("ONESHOT_LMK_CACHE")
    assert weights.cache_folder().name == "napari-oneshot-lmk"
    assert weights.cache_folder().is_absolute()
    monkeypatch.setenv("ONESHOT_LMK_CACHE", "~/models")
    assert weights.cache_folder() == Path.home() / "models"


def test_our_words_name_torchvisions_own_file():
    assert vgg19_weights_url() == weights.WEIGHTS_URL
    assert weights.WEIGHTS_URL.endswith("/vgg19-dcbb9e9d.pth")
