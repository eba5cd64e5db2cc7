"""What an image costs: by batch, by number of landmarks, by workers.

Everything that is compared is measured by turns in one run: seconds depend on the
computer and on who else uses it, ratios hardly do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.images import template_of
from benchmarks.killed_runs import ManyRun
from napari_oneshot_lmk.cluster.client import connect
from napari_oneshot_lmk.cluster.detect import DetectorSpec, detect_across
from napari_oneshot_lmk.detection.batch import detect_many
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.find import ImageFile, find_images

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder

LANDMARKS = 19


@dataclass(frozen=True)
class Costs:
    """Seconds an image, medians over the rounds.

    Parameters
    ----------
    by_batch : mapping
        Images that the encoder sees at once -> seconds.
    by_landmarks : mapping
        Number of landmarks -> seconds, one image at a time.
    by_workers : mapping
        Worker processes -> seconds; 0 is this process alone.
    moved_px : float
        Largest distance between a point found in batches and one by one.
    images, rounds : int
        In each measurement; of all of them by turns.
    """

    by_batch: Mapping[int, float]
    by_landmarks: Mapping[int, float]
    by_workers: Mapping[int, float]
    moved_px: float
    images: int
    rounds: int


def measure_costs(
    folder: Path,
    encoder: Encoder,
    *,
    encoder_weights: Path | None = None,
    images: int = 24,
    rounds: int = 3,
    batches: Sequence[int] = (1, 2, 4, 8),
    landmarks: Sequence[int] = (1, 10, 19, 38),
    workers: Sequence[int] = (0, 2),
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Costs:
    """Measure, by turns.

    Parameters
    ----------
    folder : Path
        Of images; see `write_images`.
    encoder : Encoder
        Made once.
    encoder_weights : Path, optional
        That it was made of, for the workers.
    images, rounds : int
        In each measurement; how often each is done.
    batches, landmarks, workers : sequence of int
        What to measure.
    seed : int
        Of the template.
    on_step : callable
        Called with (done, total).
    """
    files = find_images([folder])[:images]
    count = sorted({LANDMARKS, *landmarks})
    detectors = {n: Detector(template_of(n, seed), encoder) for n in count}
    usual = detectors[LANDMARKS]
    list(detect_many(usual, files[:2]))  # to warm up
    batch_s: dict[int, list[float]] = {size: [] for size in batches}
    landmark_s: dict[int, list[float]] = {n: [] for n in landmarks}
    worker_s: dict[int, list[float]] = {n: [] for n in workers}
    steps = rounds * (len(batches) + len(landmarks)) + len(workers)
    done = 0
    for _ in range(rounds):
        for size in batches:
            batch_s[size].append(_seconds(usual, files, size))
            on_step(done := done + 1, steps)
        for n in landmarks:
            landmark_s[n].append(_seconds(detectors[n], files, 1))
            on_step(done := done + 1, steps)
    for n in workers:
        worker_s[n] = _with_workers(usual, encoder_weights, files, n, rounds)
        on_step(done := done + 1, steps)
    return Costs(
        {size: median(s) for size, s in batch_s.items()},
        {n: median(s) for n, s in landmark_s.items()},
        {n: median(s) for n, s in worker_s.items()},
        _moved(usual, files[: max(batches)], max(batches)),
        len(files),
        rounds,
    )


def _seconds(detector: Detector, files: Sequence[ImageFile], batch: int) -> float:
    started = time.perf_counter()
    for _ in detect_many(detector, files, batch=batch):
        pass
    return (time.perf_counter() - started) / len(files)


def _with_workers(
    detector: Detector,
    encoder_weights: Path | None,
    files: Sequence[ImageFile],
    workers: int,
    rounds: int,
) -> list[float]:
    """Time rounds after one in which the workers get ready."""
    seconds = []
    spec = DetectorSpec.of(detector, encoder_weights, str(detector.device))
    with connect(workers=workers) if workers else nullcontext() as connection:
        for _ in range(rounds + 1):
            started = time.perf_counter()
            if connection is None:
                outcomes = detect_many(detector, files)
            else:
                outcomes = detect_across(connection, spec, files)
            for _ in outcomes:
                pass
            seconds.append((time.perf_counter() - started) / len(files))
    return seconds[1:]


def _moved(detector: Detector, files: Sequence[ImageFile], batch: int) -> float:
    """Largest distance in image pixels between points of batches and of single ones."""
    largest = 0.0
    together = detect_many(detector, files, batch=batch)
    for one, other in zip(detect_many(detector, files, batch=1), together, strict=True):
        if one.landmarks is not None and other.landmarks is not None:
            apart = one.landmarks.positions_yx - other.landmarks.positions_yx
            largest = max(largest, float((apart**2).sum(1).max() ** 0.5))
    return largest


def many_content(
    few: ManyRun, many: ManyRun, costs: Costs, encoder: str, seed: int
) -> dict[str, Any]:
    """Return the content of ``many.json``."""
    return {
        "few": asdict(few),
        "many": asdict(many),
        "costs": asdict(costs),
        "encoder": encoder,
        "seed": seed,
    }


def many_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return name and value of what was measured."""
    few, many, costs = content["few"], content["many"], content["costs"]
    ratio = many["peak_mb"] / few["peak_mb"]
    rows = [
        [f"peak memory, {few['images']} images, MB", f"{few['peak_mb']:.0f}"],
        [f"peak memory, {many['images']} images, MB", f"{many['peak_mb']:.0f}"],
        ["ratio", f"{ratio:.2f}"],
        ["processes killed on the way", str(many["processes"] - 1)],
        [
            "images that stand in the table exactly once",
            f"{many['images_once']} of {many['images']}",
        ],
        ["images/s", f"{many['images_per_s']:.2f}"],
    ]
    for key, name in (
        ("by_batch", "batch of {}, ms an image"),
        ("by_landmarks", "{} landmarks, ms an image"),
        ("by_workers", "{} workers, ms an image"),
    ):
        for number, seconds in costs[key].items():
            what = name.format(number) if int(number) or key != "by_workers" else ""
            rows.append([what or "one process, ms an image", f"{1e3 * seconds:.0f}"])
    rows.append(["largest shift by batches, px", f"{costs['moved_px']:.1g}"])
    return rows


def many_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the lines of ``many.md``."""
    return [
        "# Many images",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in many_rows(content)),
        "",
        f"Encoder {content['encoder']}, seed {content['seed']}. Costs are medians of "
        f"{content['costs']['rounds']} rounds of {content['costs']['images']} images, "
        "by turns in one run.",
    ]
