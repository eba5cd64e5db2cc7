"""Mutated images of all formats: each is refused in one sentence, or read rightly.

    python tests/fuzz_images.py read FOLDER        (what `run` starts, in a child)
    python tests/fuzz_images.py compare FOLDER

`run` writes mutated files, has one child process read them with the package and
another one with a library that the package does not use for that format, and says
what went wrong. Children, because a C library may crash, hang or print, which only
shows from outside.
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
class Trouble:
    """Something that must not happen.

    Parameters
    ----------
    file : Path
        The mutated file.
    what : str
        What happened.
    """

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True)
class Report:
    """Of a run.

    Parameters
    ----------
    files, refused, read, compared : int
        How many; ``compared`` of those that were read, the others being refused by
        the independent reader.
    troubles : tuple of Trouble
        What must not be.
    alone : tuple of str
        Names of files that only the package read.
    """

    files: int
    refused: int
    read: int
    compared: int
    troubles: tuple[Trouble, ...]
    alone: tuple[str, ...]


# -- mutations -------------------------------------------------------------------


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done to a file, and the result.

    Parameters
    ----------
    data : bytes
        A valid file.
    other : bytes
        Another one, of any format.
    rng : Generator
        Decides.
    """
    name = str(rng.choice(list(MUTATIONS), p=WEIGHTS))
    return name, MUTATIONS[name](bytearray(data), other, rng)


def _truncate(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    return bytes(data[: int(rng.integers(0, len(data)))])


def _flip_bytes(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    for at in rng.integers(0, len(data), int(rng.integers(1, 12))):
        data[at] = int(rng.integers(0, 256))
    return bytes(data)


def _flip_header(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    for at in rng.integers(0, min(len(data), 512), int(rng.integers(1, 4))):
        data[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(data)


def _set_number(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    """Write 16 or 32 bits that are small, huge or negative into the header."""
    size = int(rng.choice([2, 4]))
    at = int(rng.integers(0, min(len(data), 600)))
    number = int(rng.choice([0, 1, 2, 3, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1]))
    order = "little" if rng.random() < 0.7 else "big"
    data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
    return bytes(data)


def _splice(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    cut, join = int(rng.integers(0, len(data))), int(rng.integers(0, len(other)))
    return bytes(data[:cut]) + other[join:]


def _repeat(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    return bytes(data[:at] + data[at : at + size] + data[at:])


def _leave_out(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    return bytes(data[:at] + data[at + size :])


def _blank(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 300))
    fill = int(rng.choice([0, 255]))
    length = len(data[at : at + size])
    data[at : at + size] = bytes([fill]) * length
    return bytes(data)


def _digits(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    """Change digits, as they stand in the headers that are text."""
    places = [i for i, byte in enumerate(data[:600]) if 48 <= byte <= 57]
    for _ in range(int(rng.integers(1, 4))):
        if places:
            data[int(rng.choice(places))] = int(rng.choice(list(b"0123456789-,.e ")))
    return bytes(data)


MUTATIONS: dict[str, Callable[[bytearray, bytes, np.random.Generator], bytes]] = {
    "truncate": _truncate,
    "flip_bytes": _flip_bytes,
    "flip_header": _flip_header,
    "set_number": _set_number,
    "splice": _splice,
    "repeat": _repeat,
    "leave_out": _leave_out,
    "blank": _blank,
    "digits": _digits,
}
WEIGHTS = np.array([2, 3, 3, 4, 1, 1, 1, 1, 2]) / 18


# -- the parent ------------------------------------------------------------------


def run(folder: Path, count: int, seed: int = 0) -> Report:
    """Mutate, read and compare.

    Parameters
    ----------
    folder : Path
        An empty folder for the files.
    count : int
        How many.
    seed : int
        The same gives the same files.
    """
    from image_seeds import seeds

    originals = seeds(folder / "originals")
    rng = np.random.default_rng(seed)
    names = sorted(originals)
    data = {name: path.read_bytes() for name, path in originals.items()}
    files = folder / "files"
    files.mkdir()
    for number in range(count):
        name = names[number % len(names)]
        what, content = mutated(data[name], data[str(rng.choice(names))], rng)
        (files / f"{number:05d}-{what}-{name}").write_bytes(content)
    paths = sorted(files.iterdir())
    troubles = [*_all_done("read", files, paths), *_wrong(files, paths)]
    outcomes = _outcomes(files, "read")
    compared = _outcomes(files, "compare")
    read = [name for name, outcome in outcomes.items() if outcome == "read"]
    return Report(
        len(paths),
        len(outcomes) - len(read),
        len(read),
        sum(outcome in ("equal", "WRONG") for outcome in compared.values()),
        tuple(troubles),
        tuple(name for name in read if compared.get(name, "").startswith("refused")),
    )


def _all_done(mode: str, files: Path, paths: list[Path]) -> list[Trouble]:
    """Have a child read all files; start it again behind one that it dies of."""
    troubles: list[Trouble] = []
    quiet = mode == "read"
    while True:
        done = _outcomes(files, mode)
        left = [path for path in paths if path.name not in done]
        if not left:
            return troubles
        ended, said = _watched(mode, files)
        after = _outcomes(files, mode)
        if quiet and said.strip():
            first = said.decode("utf-8", "replace").strip()[:500]
            troubles.append(Trouble(files, f"on the terminal: {first}"))
        left = [path for path in paths if path.name not in after]
        if left:
            if quiet:
                troubles.append(Trouble(left[0], ended))
            _note(files, mode, left[0].name, "died")


def _watched(mode: str, files: Path) -> tuple[str, bytes]:
    """Run a child until it ends, or has got no further for too long.

    Returns
    -------
    str, bytes
        How it ended, and what was on its terminal.
    """
    log = files.parent / f"{mode}.jsonl"
    terminal = files.parent / f"{mode}.terminal"
    command = [sys.executable, str(Path(__file__)), mode, str(files)]
    with terminal.open("w+b") as output:
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


def _wrong(files: Path, paths: list[Path]) -> list[Trouble]:
    """Return what the first child complained of, and where the two disagree."""
    outcomes = _outcomes(files, "read")
    troubles = [
        Trouble(path, outcomes[path.name])
        for path in paths
        if outcomes[path.name].startswith("trouble")
    ]
    read = [path for path in paths if outcomes[path.name] == "read"]
    _all_done("compare", files, read)
    compared = _outcomes(files, "compare")
    for path in read:
        if compared[path.name].startswith("WRONG"):
            troubles.append(Trouble(path, compared[path.name]))
    return troubles


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
    from napari_oneshot_lmk.imaging.reader import read_image

    pixels = files.parent / "pixels"
    pixels.mkdir(exist_ok=True)
    done = _outcomes(files, "read")
    for path in sorted(files.iterdir()):
        if path.name not in done:
            outcome = _read(path, pixels, read_image)
            _note(files, "read", path.name, outcome)


def _read(path: Path, pixels: Path, read: Callable[..., object]) -> str:
    from napari_oneshot_lmk.errors import OneshotError

    try:
        try:
            image = read(path)
        except OneshotError as error:
            if "--slice" not in str(error) or "choose one" not in str(error):
                raise
            image = read(path, slice_index=0)
    except OneshotError as error:
        sentence = str(error)
        if "\n" in sentence or not sentence.startswith(str(path.parent)):
            return f"trouble: not one sentence about the file: {sentence!r}"
        return f"refused: {sentence}"
    except BaseException as error:
        return f"trouble: {type(error).__name__}: {str(error)[:200]}"
    np.save(pixels / f"{path.name}.npy", image.pixels)  # type: ignore[attr-defined]
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
            theirs, tolerance = read_otherwise(path)
        except Exception as error:
            _note(files, "compare", path.name, f"refused {str(error)[:120]}")
            continue
        _note(files, "compare", path.name, _agreement(ours, theirs, tolerance))


def _agreement(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> str:
    if ours.shape != theirs.shape:
        return f"WRONG: {ours.shape}, the other reader has {theirs.shape}"
    if tolerance >= 1:
        # Where a damaged JPEG leaves the range, libraries cut it off differently.
        inside = (ours > 0) & (ours < 255) & (theirs > 0) & (theirs < 255)
        ours, theirs = np.where(inside, ours, 0), np.where(inside, theirs, 0)
    allowed = FEW_PIXELS if tolerance >= 1 else 0.0
    worst = float(np.abs(ours - theirs.astype(np.float64)).max())
    largest = float(np.abs(ours).max())
    if worst <= tolerance + 1e-5 * largest:
        return "equal"
    share = float((np.abs(ours - theirs) > tolerance).mean())
    if share <= allowed:
        return "equal"
    return f"WRONG: {share:.1%} of the pixels differ, by {worst:g} at most"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.environ["OMP_NUM_THREADS"] = "1"
    mode, files = sys.argv[1], Path(sys.argv[2])
    {"read": read_all, "compare": compare_all}[mode](files)
