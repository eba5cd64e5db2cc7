"""Where weights are looked for, and what happens when a place fails."""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
import threading
import time
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory) -> Iterator[bytes]:
    """What torchvision's server gives: half precision here, to be quick."""
    state = {k: v.half() for k, v in random_parameters().items()}
    buffer = io.BytesIO()
    torch.save({**state, "classifier.6.bias": torch.zeros(10)}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def file_name(torch_file) -> str:
    return f"vgg19-{hashlib.sha256(torch_file).hexdigest()[:8]}.pth"


SHA256 = content_sha256({k: v.half() for k, v in random_parameters().items()})


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, file_name) -> Iterator[None]:
    """An empty world: no caches, and nothing tried before."""
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "TORCHVISION_FILE", file_name)
    weights.forget_failed_download()
    yield
    weights.forget_failed_download()
    # Pytest keeps the folders of its last runs: these would fill a disk.
    shutil.rmtree(tmp_path)


class Server:
    """A web server that answers as told and counts its visitors."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.status = 200
        self.claimed = len(content)
        self.closing = threading.Event()
        self.is_silent = False
        self.visits = 0
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

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/models/{name}"

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch, torch_file, file_name) -> Iterator[Server]:
    answering = Server(torch_file)
    url = answering.url(file_name)
    monkeypatch.setattr(weights, "vgg19_weights_url", lambda: url)
    yield answering
    answering.close()


def ours() -> Path:
    return weights.cache_folder() / weights.CACHED_FILE


def left_behind() -> list[str]:
    folder = weights.cache_folder()
    return [path.name for path in folder.rglob("*")] if folder.exists() else []


# -- order ---------------------------------------------------------------------------


def test_a_named_file_comes_first_and_is_the_only_one(tmp_path, server) -> None:
    saved_weights(ours(), seed=1)
    named = saved_weights(tmp_path / "named.safetensors")
    assert find_weights(named).sha256 == random_weights().sha256
    named.write_bytes(b"spoiled")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        find_weights(named)
    assert server.visits == 0


def test_our_cache_comes_before_torchvisions(torch_file, file_name) -> None:
    put(weights.torchvision_cache_folder() / file_name, torch_file)
    saved_weights(ours(), seed=1)
    assert find_weights().sha256 == random_weights(1).sha256


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("folder", [weights.cache_folder, weights.torchvision_cache_folder])
def test_torchvisions_file_is_found_and_kept_without_its_classifier(
    folder, torch_file, file_name, server
) -> None:
    lying = put(folder() / file_name, torch_file)
    assert find_weights().sha256 == SHA256
    assert read_weights(ours()).sha256 == SHA256
    lying.unlink()
    assert find_weights(allow_download=False).sha256 == SHA256
    assert server.visits == 0


def test_a_damaged_cache_is_passed_over_and_replaced(server) -> None:
    put(ours(), b"half a file")
    assert find_weights().sha256 == SHA256
    assert server.visits == 1
    assert find_weights().sha256 == SHA256
    assert server.visits == 1


def test_a_wrong_checksum_in_torchvisions_cache_is_told(torch_file, file_name) -> None:
    put(weights.torchvision_cache_folder() / file_name, torch_file[:-1])
    with pytest.raises(WeightsError, match="SHA-256 begins with") as caught:
        find_weights(allow_download=False)
    assert str(weights.torchvision_cache_folder() / file_name) in str(caught.value)


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path, monkeypatch, torch_file, file_name, caplog
) -> None:
    put(weights.torchvision_cache_folder() / file_name, torch_file)
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(put(tmp_path / "a-file", b"") / "in"))
    assert find_weights(allow_download=False).sha256 == SHA256
    assert "could not be kept" in caplog.text


# -- download --------------------------------------------------------------------------


def test_a_download_is_checked_kept_and_not_repeated(server, torch_file) -> None:
    steps: list[tuple[int, int]] = []
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


def test_threads_that_want_it_at_once_download_it_once(server) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(find_weights().sha256)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SHA256] * 3
    assert server.visits == 1


def spoil_content(server: Server, monkeypatch) -> None:
    server.content = server.content[:-1] + b"!"


def break_off(server: Server, monkeypatch) -> None:
    server.content = server.content[: 1 << 20]


def say_not_found(server: Server, monkeypatch) -> None:
    server.status = 404


def say_nothing(server: Server, monkeypatch) -> None:
    server.is_silent = True
    monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.3)


def be_gone(server: Server, monkeypatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/vgg19-01234567.pth"
    monkeypatch.setattr(weights, "vgg19_weights_url", lambda: url)


def have_no_torchvision(server: Server, monkeypatch) -> None:
    def fail() -> str:
        raise ImportError("torchvision cannot be imported: no such thing")

    monkeypatch.setattr(weights, "vgg19_weights_url", fail)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (spoil_content, "SHA-256"),
        (break_off, "SHA-256"),
        (say_not_found, "Not Found"),
        (say_nothing, "no connection within 0.3 s"),
        (be_gone, "refused"),
        (have_no_torchvision, "torchvision cannot be imported"),
    ],
)
def test_a_failed_download_says_why_and_what_to_do(server, monkeypatch, trouble, words) -> None:
    trouble(server, monkeypatch)
    started = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        find_weights()
    assert time.monotonic() - started < 5
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "download failed" in sentence
    assert words in sentence
    for place in (weights.cache_folder(), weights.torchvision_cache_folder()):
        assert str(place) in sentence
    assert f"fetch {weights.WEIGHTS_URL} on a computer with internet" in sentence
    assert f"put that file into {weights.cache_folder()}" in sentence
    assert left_behind() == []


def test_a_failed_download_is_remembered_until_told_otherwise(server) -> None:
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


def test_a_file_put_there_after_a_failed_download_is_used(server, torch_file, file_name) -> None:
    server.status = 503
    with pytest.raises(WeightsError):
        find_weights()
    put(weights.cache_folder() / file_name, torch_file)
    assert find_weights().sha256 == SHA256


class Stop(Exception):  # noqa: N818
    pass


def test_a_download_can_be_stopped_and_begun_again(server) -> None:
    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        find_weights(progress=stop)
    assert left_behind() == []
    assert find_weights().sha256 == SHA256
    assert server.visits == 2


def test_a_cache_folder_that_cannot_be_made_fails_the_download(
    tmp_path, monkeypatch, server
) -> None:
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(put(tmp_path / "a-file", b"") / "in"))
    with pytest.raises(WeightsError, match="download failed"):
        find_weights()


# -- places ---------------------------------------------------------------------


def test_the_search_is_described_in_its_order(tmp_path, torch_file, file_name) -> None:
    named = tmp_path / "mine.safetensors"
    lying = put(weights.torchvision_cache_folder() / file_name, torch_file)
    places = describe_search(named)
    assert [place.where for place in places] == [
        str(named),
        str(ours()),
        str(weights.cache_folder() / file_name),
        str(lying),
        weights.WEIGHTS_URL,
    ]
    assert [place.found for place in places] == [False, False, False, True, False]
    assert len(describe_search()) == 4


def test_torchvisions_cache_is_where_torch_says(monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "~/models")
    expected = Path.home() / "models" / "hub" / "checkpoints"
    assert weights.torchvision_cache_folder() == expected


def test_our_cache_is_where_the_system_keeps_caches(monkeypatch) -> None:
    monkeypatch.delenv("ONESHOT_LMK_CACHE")
    assert weights.cache_folder().name == "napari-oneshot-lmk"
    assert weights.cache_folder().is_absolute()
    monkeypatch.setenv("ONESHOT_LMK_CACHE", "~/models")
    assert weights.cache_folder() == Path.home() / "models"


def test_our_words_name_torchvisions_own_file() -> None:
    assert vgg19_weights_url() == weights.WEIGHTS_URL
    assert weights.WEIGHTS_URL.endswith("/vgg19-dcbb9e9d.pth")
