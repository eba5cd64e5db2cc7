"""Where VGG19's weights come from: the caches, then torchvision's download."""

from __future__ import annotations

import logging
import os
import queue
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from platformdirs import user_cache_path

from napari_oneshot_lmk.encoders.vgg19 import vgg19_weights_url
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, read_weights, write_weights
from napari_oneshot_lmk.errors import OutputError, WeightsError

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 where the server does not say)."""

CACHED_FILE = "vgg19-features.safetensors"
"""The convolution part in this package's cache."""
TORCHVISION_FILE = "vgg19-dcbb9e9d.pth"
"""torchvision's name of the weights; the digits begin their SHA-256."""
WEIGHTS_URL = f"https://download.pytorch.org/models/{TORCHVISION_FILE}"
"""For messages. The download itself asks torchvision for the address."""
LICENCE = "trained on ImageNet; see https://github.com/pytorch/vision#pre-trained-model-license"

CONNECT_SECONDS = 5.0
STALL_SECONDS = 20.0
_CHUNK = 1 << 18

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return this package's cache: ``ONESHOT_LMK_CACHE``, or the system's place."""
    if chosen := os.environ.get("ONESHOT_LMK_CACHE"):
        return Path(chosen).expanduser()
    return user_cache_path("napari-oneshot-lmk", appauthor=False)


def torchvision_cache_folder() -> Path:
    """Return where torchvision keeps downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def cached_files() -> dict[Path, str]:
    """Return the files that are looked for in the caches, in order, and whose each is."""
    ours = cache_folder()
    return {
        ours / CACHED_FILE: "our cache",
        ours / TORCHVISION_FILE: "our cache",  # where our message asks people to put it
        torchvision_cache_folder() / TORCHVISION_FILE: "torchvision's cache",
    }


@dataclass(frozen=True)
class Place:
    """A place where weights are looked for.

    ``found`` says that a file is at the path or address ``where``; whether it is whole
    shows when it is read. ``detail`` says, for example, why the last download failed.
    """

    what: str
    where: str
    found: bool
    detail: str = ""


class _FailedDownload:
    """Why a download failed in this process: it is not tried again."""

    lock = threading.Lock()
    reason: str | None = None


def failed_download() -> str | None:
    """Return why a download failed in this process; None where none did."""
    return _FailedDownload.reason


def forget_failed_download() -> None:
    """Let the next search try the download again."""
    _FailedDownload.reason = None


def describe_search(explicit: Path | None = None) -> list[Place]:
    """List the places in their order and whether a file is there, without opening any.

    ``explicit`` is the file that the user named, if any.
    """
    files = cached_files()
    if explicit is not None:
        files = {Path(explicit).expanduser(): "the file you named", **files}
    places = [Place(what, str(path), path.is_file()) for path, what in files.items()]
    detail = "tried when no file is found"
    if (reason := failed_download()) is not None:
        detail = f"failed, not tried again until restart: {reason}"
    return [*places, Place("torchvision's download", WEIGHTS_URL, False, detail)]


def find_weights(
    explicit: Path | None = None, *, allow_download: bool = True, progress: Progress | None = None
) -> EncoderWeights:
    """Return VGG19's weights from the first place that has them.

    The convolution part of what is found outside our cache is kept there.

    Parameters
    ----------
    explicit : Path, optional
        A file that the user named, which is then used and no other.
    allow_download : bool
    progress : callable, optional
        Called with bytes done and bytes in all during a download.

    Raises
    ------
    WeightsError
        If none can be had: says which places were tried, why each failed, and how to bring
        the file from another computer.
    """
    if explicit is not None:
        return read_weights(explicit)
    files = cached_files()
    folders = " or ".join(dict.fromkeys(str(path.parent) for path in files))
    failures = [f"no usable file in {folders}"]
    for path in files:
        if not path.is_file():
            continue
        try:
            weights = read_weights(path)
        except WeightsError as error:
            logger.warning("Weights passed over: %s", error)
            failures.append(f"{path}: {error.what}")
            continue
        if path.name != CACHED_FILE:
            _keep(weights)
        return weights
    if allow_download:
        try:
            return _download_once(progress)
        except WeightsError as error:
            failures.append(error.what)
    else:
        failures.append("download not allowed")
    raise WeightsError(
        f"VGG19's weights were not found ({', '.join(failures)})",
        remedy=f"fetch {WEIGHTS_URL} on a computer with internet and put that file into "
        f"{cache_folder()}, or name it with --encoder-weights or in the settings",
    )


def _download_once(progress: Progress | None) -> EncoderWeights:
    with _FailedDownload.lock:
        if _FailedDownload.reason is not None:
            raise WeightsError(_FailedDownload.reason)
        cached = cache_folder() / CACHED_FILE
        if cached.is_file():
            # Another thread kept it while this one waited; or it is damaged, as the search
            # has found, and is about to be replaced.
            with suppress(WeightsError):
                return read_weights(cached)
        try:
            weights = download_weights(progress)
        except WeightsError as error:
            _FailedDownload.reason = error.what
            raise
        # The file that was downloaded is deleted by now.
        return replace(weights, path=_keep(weights))


def _keep(weights: EncoderWeights) -> Path | None:
    """Keep them for the next time; return where, or None where that cannot be."""
    path = cache_folder() / CACHED_FILE
    try:
        write_weights(path, weights)
    except (OutputError, OSError) as error:
        logger.warning("Weights could not be kept for the next time: %s", error)
        return None
    return path.absolute()


def download_weights(progress: Progress | None = None) -> EncoderWeights:
    """Download, check and read torchvision's weights; keep nothing on the disk.

    What ``progress`` raises ends the download and is passed on.

    Raises
    ------
    WeightsError
        If there is no connection within five seconds, the transfer breaks off,
        the disk is full, or the checksum is wrong.
    """
    try:
        url = vgg19_weights_url()
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the cache, since the system's temporary folder may be small.
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as partial:
            # The name contains the hash, which reading checks.
            path = Path(partial) / url.rsplit("/", 1)[-1]
            _fetch(url, path, progress)
            weights = read_weights(path)
    except (ImportError, OSError, HTTPException) as error:
        raise WeightsError(f"download failed ({_reason(error)})") from error
    except WeightsError as error:
        raise WeightsError(f"download failed ({error.what})") from error
    return replace(weights, source=url, licence=LICENCE)


def _fetch(url: str, path: Path, progress: Progress | None) -> None:
    with _open(url) as response, path.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else 0
        done = 0
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)


def _open(url: str) -> HTTPResponse:
    """Open an address, or give up after `CONNECT_SECONDS` whatever happens.

    A socket's own timeout starts again for each address of a host and does not limit the
    look-up of its name: behind a silent firewall that takes minutes. So a thread opens it,
    which may be abandoned.
    """
    answers: queue.Queue[Any] = queue.Queue()
    abandoned = threading.Event()

    def ask() -> None:
        request = Request(url, headers={"User-Agent": "napari-oneshot-lmk"})
        try:
            response = urlopen(request, timeout=STALL_SECONDS)
        except Exception as error:
            if isinstance(error, HTTPError):
                error.close()  # it is the server's open response
            answers.put(error)
            return
        if abandoned.is_set():
            response.close()
        else:
            answers.put(response)

    threading.Thread(target=ask, name="open-download", daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        abandoned.set()
        raise TimeoutError(f"no connection within {CONNECT_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
