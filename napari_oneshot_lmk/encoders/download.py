"""Fetching torchvision's weights of VGG19."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from napari_oneshot_lmk.encoders.cache import TORCHVISION_FILE, cache_folder
from napari_oneshot_lmk.encoders.torchvision_import import vgg19_weights_url
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, read_weights
from napari_oneshot_lmk.errors import WeightsError

if TYPE_CHECKING:
    from http.client import HTTPResponse

Progress = Callable[[int, int], None]

WEIGHTS_URL = f"https://download.pytorch.org/models/{TORCHVISION_FILE}"
"""For messages. The download itself asks torchvision for the address."""

LICENCE = "trained on ImageNet; see https://github.com/pytorch/vision#pre-trained-model-license"

CONNECT_SECONDS = 5.0
STALL_SECONDS = 20.0
_CHUNK = 1 << 18


def download_weights(progress: Progress | None = None) -> EncoderWeights:
    """Download, check and read torchvision's weights; keep nothing on the disk.

    Parameters
    ----------
    progress : callable, optional
        Called with bytes done and bytes in all (0 where the server does not say).
        What it raises ends the download and is passed on.

    Raises
    ------
    WeightsError
        If there is no connection within five seconds, the transfer breaks off,
        the disk is full, or the checksum is wrong.
    """
    try:
        url = vgg19_weights_url()
    except ImportError as error:
        raise WeightsError(f"download failed ({error})") from error
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the cache, since the system's temporary folder may be small.
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as partial:
            # The name carries the hash, which reading checks.
            path = Path(partial) / url.rsplit("/", 1)[-1]
            _fetch(url, path, progress)
            weights = read_weights(path)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"download failed ({_reason(error)})") from error
    except WeightsError as error:
        raise WeightsError(f"download failed ({error.what})") from error
    return replace(weights, source=url, licence=LICENCE)


def _fetch(url: str, path: Path, progress: Progress | None) -> None:
    with _opened(url) as response, path.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else 0
        done = 0
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)


def _opened(url: str) -> HTTPResponse:
    """Open an address, or give up after `CONNECT_SECONDS` whatever happens.

    A socket's own timeout counts anew for each address of a host and not at all
    while its name is looked up: a computer behind a silent firewall would wait for
    minutes. So the opening is left to a thread that may be abandoned.
    """
    answers: queue.Queue[Any] = queue.Queue()
    abandoned = threading.Event()

    def ask() -> None:
        request = Request(url, headers={"User-Agent": "napari-oneshot-lmk"})
        try:
            response = urlopen(request, timeout=STALL_SECONDS)
        except Exception as error:
            if isinstance(error, HTTPError):
                error.close()  # it is the server's answer, and open
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
