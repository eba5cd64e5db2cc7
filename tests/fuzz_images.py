"""Mutated images of all formats: each is refused in one sentence, or read rightly.

`run` writes mutated files, has one child process (`fuzz_images.py read FOLDER`) read them with
the package and another one (`compare`) with a library that the package does not use for that
format, and says what went wrong. Children, because a C library may crash, hang or print, which
only shows from outside.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SECONDS_A_FILE = 10.0
SECONDS_TO_START = 120.0
FEW_PIXELS = 0.05
"""Of a damaged JPEG, in which two libraries may differ behind the damage."""
MOST_MEMORY = 24 << 30
"""Of addresses: torch takes several GiB of them for nothing."""


@dataclass(frozen=True)
class Report:
    """What became of the files."""

    refused: int
    compared: int
    """How many the package and another library read alike."""
    troubles: list[str]
    """What must not be, with the file."""


# -- mutations: of a valid file, with another one of any format -------------------

Random = np.random.Generator


def _truncate(data: bytearray, other: bytes, rng: Random) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def _flip_bytes(data: bytearray, other: bytes, rng: Random) -> bytearray:
    for at in rng.integers(0, len(data), int(rng.integers(1, 12))):
        data[at] = int(rng.integers(0, 256))
    return data


def _flip_header(data: bytearray, other: bytes, rng: Random) -> bytearray:
    for at in rng.integers(0, min(len(data), 512), int(rng.integers(1, 4))):
        data[at] ^= 1 << int(rng.integers(0, 8))
    return data


def _set_number(data: bytearray, other: bytes, rng: Random) -> bytearray:
    """Write 16 or 32 bits that are small, huge or negative into the header."""
    size = int(rng.choice([2, 4]))
    at = int(rng.integers(0, min(len(data), 600)))
    number = int(rng.choice([0, 1, 2, 3, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1]))
    order = "little" if rng.random() < 0.7 else "big"
    data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
    return data


def _splice(data: bytearray, other: bytes, rng: Random) -> bytearray:
    cut, join = int(rng.integers(0, len(data))), int(rng.integers(0, len(other)))
    return data[:cut] + other[join:]


def _repeat(data: bytearray, other: bytes, rng: Random) -> bytearray:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    return data[: at + size] + data[at:]


def _leave_out(data: bytearray, other: bytes, rng: Random) -> bytearray:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    return data[:at] + data[at + size :]


def _blank(data: bytearray, other: bytes, rng: Random) -> bytearray:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 300))
    fill = int(rng.choice([0, 255]))
    data[at : at + size] = bytes([fill]) * len(data[at : at + size])
    return data


def _digits(data: bytearray, other: bytes, rng: Random) -> bytearray:
    """Change digits, as they stand in the headers that are text."""
    places = [i for i, byte in enumerate(data[:600]) if 48 <= byte <= 57]
    for _ in range(int(rng.integers(1, 4))):
        if places:
            data[int(rng.choice(places))] = int(rng.choice(list(b"0123456789-,.e ")))
    return data


MUTATIONS: dict[Callable[[bytearray, bytes, Random], bytearray], int] = {
    **{_truncate: 2, _flip_bytes: 3, _flip_header: 3, _set_number: 4},
    **{_splice: 1, _repeat: 1, _leave_out: 1, _blank: 1, _digits: 2},
}
"""With how often they occur."""


# -- the parent ------------------------------------------------------------------


def run(folder: Path, count: int, seed: int = 0) -> Report:
    """Mutate, read and compare; the same seed gives the same files."""
    from image_seeds import seeds

    rng = np.random.default_rng(seed)
    originals = seeds(folder / "originals")
    data = {name: originals[name].read_bytes() for name in sorted(originals)}
    names, mutations = list(data), list(MUTATIONS)
    odds = np.array(list(MUTATIONS.values())) / sum(MUTATIONS.values())
    files = folder / "files"
    files.mkdir()
    for number in range(count):
        name = names[number % len(names)]
        other, mutate = data[str(rng.choice(names))], mutations[rng.choice(len(odds), p=odds)]
        file = files / f"{number:05d}{mutate.__name__}-{name}"
        file.write_bytes(mutate(bytearray(data[name]), other, rng))
    paths = sorted(files.iterdir())
    troubles = _all_done("read", files, paths)
    outcomes = _outcomes(files, "read")
    read = [path for path in paths if outcomes[path.name] == "read"]
    _all_done("compare", files, read)
    compared = _outcomes(files, "compare")
    said = [*outcomes.items(), *compared.items()]
    troubles += [f"{name}: {what}" for name, what in said if what.startswith(("trouble", "WRONG"))]
    agreed = list(compared.values()).count("equal")
    return Report(len(paths) - len(read), agreed, troubles)


def _all_done(mode: str, files: Path, paths: list[Path]) -> list[str]:
    """Have a child read all files; start it again behind one that it dies of."""
    troubles: list[str] = []
    while True:
        done = _outcomes(files, mode)
        if all(path.name in done for path in paths):
            return troubles
        ended, said = _watched(mode, files)
        if said.strip():
            troubles.append(f"on the terminal: {said.decode('utf-8', 'replace').strip()[:500]}")
        done = _outcomes(files, mode)
        left = [path for path in paths if path.name not in done]
        if left:
            troubles.append(f"{left[0]}: {ended}")
            _note(files, mode, left[0].name, "died")


def _watched(mode: str, files: Path) -> tuple[str, bytes]:
    """Run a child until it ends or hangs; return how, and what was on its terminal."""
    log = files.parent / f"{mode}.jsonl"
    command = [sys.executable, __file__, mode, str(files)]
    with (files.parent / f"{mode}.terminal").open("w+b") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        size, since, patience = -1, time.monotonic(), SECONDS_TO_START
        while child.poll() is None:
            now = log.stat().st_size if log.exists() else -1
            if now != size:
                if size >= 0:
                    patience = SECONDS_A_FILE
                size, since = now, time.monotonic()
            if time.monotonic() - since > patience:
                child.kill()
                child.wait()
                return "the process hangs", b""
            time.sleep(0.02)
        output.seek(0)
        return f"the process ended with {child.returncode}", output.read()


def _outcomes(files: Path, mode: str) -> dict[str, str]:
    log = files.parent / f"{mode}.jsonl"
    if not log.exists():
        return {}
    return dict(json.loads(line) for line in log.read_text().splitlines())


def _note(files: Path, mode: str, name: str, outcome: str) -> None:
    with (files.parent / f"{mode}.jsonl").open("a") as log:
        log.write(json.dumps([name, outcome]) + "\n")


# -- the children ----------------------------------------------------------------


def read_all(files: Path) -> None:
    """Read every file that has no outcome yet with the package."""
    (files.parent / "pixels").mkdir(exist_ok=True)
    done = _outcomes(files, "read")
    for path in sorted(files.iterdir()):
        if path.name not in done:
            _note(files, "read", path.name, _read(path, files.parent / "pixels"))


def _read(path: Path, pixels: Path) -> str:
    from napari_oneshot_lmk.errors import OneshotError
    from napari_oneshot_lmk.imaging.reader import read_image

    try:
        try:
            image = read_image(path)
        except OneshotError as error:
            if "--slice" not in str(error) or "choose one" not in str(error):
                raise
            image = read_image(path, slice_index=0)
    except OneshotError as error:
        sentence = str(error)
        if "\n" in sentence or not sentence.startswith(str(path.parent)):
            return f"trouble: not one sentence about the file: {sentence!r}"
        return f"refused: {sentence}"
    except BaseException as error:
        return f"trouble: {type(error).__name__}: {str(error)[:200]}"
    np.save(pixels / f"{path.name}.npy", image.pixels)
    return "read"


def compare_all(files: Path) -> None:
    """Read what the package has read with other libraries, and compare."""
    from image_seeds import read_otherwise

    outcomes, done = _outcomes(files, "read"), _outcomes(files, "compare")
    for path in sorted(files.iterdir()):
        if outcomes[path.name] != "read" or path.name in done:
            continue
        ours = np.load(files.parent / "pixels" / f"{path.name}.npy")
        try:
            outcome = _agreement(ours, *read_otherwise(path))
        except Exception as error:
            outcome = f"refused {str(error)[:120]}"
        _note(files, "compare", path.name, outcome)


def _agreement(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> str:
    if ours.shape != theirs.shape:
        return f"WRONG: {ours.shape}, the other reader has {theirs.shape}"
    if tolerance >= 1:
        # Where a damaged JPEG leaves the range, libraries cut it off differently.
        inside = (ours > 0) & (ours < 255) & (theirs > 0) & (theirs < 255)
        ours, theirs = np.where(inside, ours, 0), np.where(inside, theirs, 0)
    apart = np.abs(ours - theirs.astype(np.float64))
    share = float((np.abs(ours - theirs) > tolerance).mean())
    is_near = apart.max() <= tolerance + 1e-5 * float(np.abs(ours).max())
    if is_near or share <= (FEW_PIXELS if tolerance >= 1 else 0.0):
        return "equal"
    return f"WRONG: {share:.1%} of the pixels differ, by {apart.max():g} at most"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.environ["OMP_NUM_THREADS"] = "1"
    {"read": read_all, "compare": compare_all}[sys.argv[1]](Path(sys.argv[2]))
