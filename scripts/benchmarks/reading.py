"""What reading a full-size radiograph costs, beside detecting on it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.large_files import KINDS, FileKind, Pixels
from napari_oneshot_lmk.detection.batch import detect_many
from napari_oneshot_lmk.imaging.find import find_images
from napari_oneshot_lmk.imaging.reader import read_image

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector


@dataclass(frozen=True)
class FileCost:
    """Medians for one kind of file, in ms of the processor."""

    title: str
    megabytes: float
    read_ms: float
    """From the file to grey values."""
    prepare_ms: float
    """From these to the network's grid."""
    detect_ms: float
    """The rest of a detection."""

    @property
    def share(self) -> float:
        """Reading and preparing in units of detection."""
        return (self.read_ms + self.prepare_ms) / self.detect_ms


@dataclass(frozen=True)
class FolderCost:
    """Medians for a folder of such files."""

    title: str
    images: int
    from_files_s: float
    prepared_s: float
    """Detection on the same images, prepared before."""

    @property
    def rate(self) -> float:
        """Images per second from files, as a part of those without reading."""
        return self.prepared_s / self.from_files_s


@dataclass(frozen=True)
class Reading:
    """What was measured."""

    files: tuple[FileCost, ...]
    folders: tuple[FolderCost, ...]
    repeats: int
    load: tuple[float, float]
    """Mean number of running processes on the machine, in the minute before and after."""


def measure_reading(
    detector: Detector,
    pixels: Pixels,
    scratch: Path,
    *,
    images: int,
    repeats: int,
    folder_kinds: tuple[FileKind, ...],
    on_step: Callable[[int, int], None],
) -> Reading:
    """Time reading, preparing and detecting, by turns.

    Parameters
    ----------
    detector : Detector
    pixels : ndarray, (H, W), uint16
        Of the image that is written in each format.
    scratch : Path
        Folder for the files.
    images : int
        In a folder.
    repeats : int
        Rounds, after one to warm up; a third of them, at least one, over folders.
    folder_kinds : tuple of FileKind
        Of which folders are read.
    on_step : callable
        Called with (steps done, steps in all).
    """
    before = os.getloadavg()[0]
    rounds = max(1, repeats // 3)
    total = len(KINDS) * (repeats + 1) + 2 * rounds * len(folder_kinds)
    steps = iter(range(1, total + 1))
    times: dict[str, list[tuple[float, float, float]]] = {kind.title: [] for kind in KINDS}
    paths = {kind.title: scratch / f"image{kind.suffix}" for kind in KINDS}
    for kind in KINDS:
        kind.write(paths[kind.title], pixels)
    for _ in range(repeats + 1):
        for kind in KINDS:
            times[kind.title].append(_times_of(detector, paths[kind.title]))
            on_step(next(steps), total)
    files = tuple(
        FileCost(
            title,
            paths[title].stat().st_size / 1e6,
            *(1000 * median(part) for part in zip(*each[1:], strict=True)),
        )
        for title, each in times.items()
    )
    folders = tuple(
        _folder(
            detector, kind, paths[kind.title], images, rounds, lambda: on_step(next(steps), total)
        )
        for kind in folder_kinds
    )
    return Reading(files, folders, repeats, (before, os.getloadavg()[0]))


def _times_of(detector: Detector, path: Path) -> tuple[float, float, float]:
    """Return the processor's seconds of reading, preparing and detecting."""
    marks = [time.process_time()]
    image = read_image(path)
    marks.append(time.process_time())
    prepared = detector.prepare(image)
    marks.append(time.process_time())
    detector.detect_batch([prepared])
    marks.append(time.process_time())
    return marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]


def _folder(
    detector: Detector,
    kind: FileKind,
    path: Path,
    images: int,
    rounds: int,
    on_step: Callable[[], None],
) -> FolderCost:
    folder = path.parent / f"folder{kind.suffix}"
    folder.mkdir()
    for number in range(images):
        shutil.copy(path, folder / f"{number:04d}{kind.suffix}")
    found = find_images([str(folder)])
    prepared = detector.prepare(read_image(path))
    from_files, without = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        for result in detect_many(detector, found):
            assert result.error is None, result.error
        from_files.append(time.perf_counter() - began)
        on_step()
        began = time.perf_counter()
        for _ in found:
            detector.detect_batch([prepared])
        without.append(time.perf_counter() - began)
        on_step()
    shutil.rmtree(folder)
    return FolderCost(kind.title, images, median(from_files), median(without))


def file_rows(measured: Reading) -> list[list[str]]:
    """Return a table's row for each kind of file."""
    return [
        [
            *(cost.title, f"{cost.megabytes:.1f}", f"{cost.read_ms:.0f}", f"{cost.prepare_ms:.0f}"),
            *(f"{cost.detect_ms:.0f}", f"{cost.share:.2f}"),
        ]
        for cost in measured.files
    ]


def folder_rows(measured: Reading) -> list[list[str]]:
    """Return a table's row for each folder."""
    return [
        [
            *(f"{cost.images} × {cost.title}", f"{cost.images / cost.from_files_s:.2f}"),
            *(f"{cost.images / cost.prepared_s:.2f}", f"{100 * cost.rate:.0f} %"),
        ]
        for cost in measured.folders
    ]
