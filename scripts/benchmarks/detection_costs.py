"""What detection costs beside the encoder: by method, by landmarks, by images at once.

Everything is measured by turns in one run, one image and one part after another: seconds depend on
the computer and on who else uses it, ratios of medians hardly do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.images import SHAPE_YX, template_of
from benchmarks.plain_detection import PublishedCC2D, plain_landmark
from benchmarks.random_models import encoder_channels, random_detector
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.encoded_image import EncodedImage, encode_images
from napari_oneshot_lmk.evaluation.plots import COLOURS, new_figure
from napari_oneshot_lmk.imaging.image import PreparedImage
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.storage.atomic import atomic_write
from phantoms.generator import generate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_oneshot_lmk.encoders.encoder import Encoder

LANDMARKS = 19
WARM_UP = 1
ENCODER, SHIPPED_ENCODER = "encoder", "encoder without download"
INSTANT, FUSED, PAPER = "instant", "fused, laptop", "fused, paper's width"
FINE, SHIPPED = "fused + fine, laptop", "instant without download"
PLAIN, CC2D = "one landmark at a time, paper's width", "CC2D as published, one forward pass"
BY_LANDMARKS = (INSTANT, FUSED)


@dataclass(frozen=True)
class DetectionCosts:
    """Medians in seconds.

    Parameters
    ----------
    by_method : mapping
        An image with `LANDMARKS` landmarks. Detection, its encoder included; for `PLAIN` one
        landmark times their number.
    by_landmarks : mapping
        Method -> number of landmarks -> seconds, the encoder included.
    by_batch : mapping
        Method, or the encoder, -> images at once -> seconds an image.
    images, rounds : int
        Different images, and how often each part was measured, each time on the next image.
    """

    by_method: Mapping[str, float]
    by_landmarks: Mapping[str, Mapping[int, float]]
    by_batch: Mapping[str, Mapping[int, float]]
    images: int
    rounds: int

    def ratio(self, method: str) -> float:
        """Return a method's time in units of its encoder's."""
        own = SHIPPED_ENCODER if method == SHIPPED else ENCODER
        return self.by_method[method] / self.by_method[own]


class _Parts:
    """What is measured: each part returns how long it took on the image of a number."""

    def __init__(self, encoder: Encoder, shipped: Encoder, images: int, counts: list[int]) -> None:
        self.encoder = encoder
        templates = {n: template_of(n) for n in counts}
        usual = templates[LANDMARKS]
        self.by_count: dict[str, dict[int, Detector]] = {
            INSTANT: {n: Detector(t, encoder, upright=True) for n, t in templates.items()},
            FUSED: {n: random_detector(t, encoder, "laptop") for n, t in templates.items()},
        }
        self.fine = random_detector(usual, encoder, "laptop", fine=True)
        self.paper = random_detector(usual, encoder, "gpu")
        self.shipped = Detector(usual, shipped, upright=True)
        self.published = PublishedCC2D(encoder).to(encoder.device)
        self.anchors = [torch.ones(64, device=encoder.device) for _ in encoder_channels(encoder)]
        drawn = [generate("skull", 1 + i, 0, SHAPE_YX)[0] for i in range(images)]
        self.prepared: list[PreparedImage] = [self.fine.prepare(image) for image in drawn]

    def seconds(self, part: Callable[[], object]) -> float:
        """Time one call."""
        with torch.inference_mode():
            started = time.perf_counter()
            part()
            if self.encoder.device.type == "cuda":
                torch.cuda.synchronize(self.encoder.device)
            return time.perf_counter() - started

    def round(self, number: int) -> dict[tuple[str, int], float]:
        """Measure all on one image: (method, landmarks) -> seconds."""
        image = self.prepared[number % len(self.prepared)]
        pixels = image.pixels.to(self.encoder.device)
        encoded: list[EncodedImage] = []
        spent = self.seconds(lambda: encoded.extend(encode_images(self.encoder, [image])))
        without = self.seconds(lambda: encoded.extend(encode_images(self.shipped.encoder, [image])))
        pyramid, small = encoded[0].pyramid, encoded[1].pyramid
        times = {(ENCODER, LANDMARKS): spent, (SHIPPED_ENCODER, LANDMARKS): without}
        for method, detectors in self.by_count.items():
            for count, detector in detectors.items():
                times[method, count] = spent + self.seconds(partial(detector.points, pyramid))
        one = LANDMARKS
        times[PAPER, one] = spent + self.seconds(lambda: self.paper.points(pyramid))
        times[FINE, one] = spent + self.seconds(lambda: self._look_twice(encoded[0]))
        times[SHIPPED, one] = without + self.seconds(lambda: self.shipped.points(small))
        maps = [level.float() for level in pyramid.after_pooling.maps]
        times[CC2D, one] = spent + self.seconds(lambda: self.published(maps))
        network = self.paper.model.parts[0].network
        assert isinstance(network, LandmarkNetwork)
        times[PLAIN, one] = LANDMARKS * self.seconds(
            lambda: plain_landmark(network, self.encoder, pixels, 0, self.anchors)
        )
        return times

    def batch(self, method: str, size: int) -> float:
        """Seconds an image of a batch, encoder included."""
        images = [self.prepared[i % len(self.prepared)] for i in range(size)]
        if method == ENCODER:
            return self.seconds(lambda: encode_images(self.encoder, images)) / size
        detector = self.by_count[method][LANDMARKS]
        return self.seconds(lambda: detector.detect_batch(images)) / size

    def _look_twice(self, encoded: EncodedImage) -> object:
        names = [point.name for point in self.fine.template.landmarks.placed]
        assert self.fine.fine is not None
        return self.fine.fine.refined(encoded, names, self.fine.points(encoded.pyramid))


def measure_detection(
    encoder: Encoder,
    shipped: Encoder,
    *,
    landmarks: Sequence[int] = (1, 19, 37, 76),
    batches: Sequence[int] = (1, 2, 4, 8),
    images: int = 4,
    rounds: int = 9,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> DetectionCosts:
    """Measure on generated images, by turns, with models of random weights.

    Parameters
    ----------
    encoder, shipped : Encoder
        With VGG19, and the one that needs no download.
    landmarks, batches : sequence of int
        What is measured beside one image with `LANDMARKS` landmarks.
    images, rounds : int
        How many are drawn; how often each part is measured, after one round to warm up.
    on_step : callable
        Called with (rounds done, rounds in all).
    """
    counts = sorted({LANDMARKS, *landmarks})
    parts = _Parts(encoder, shipped, images, counts)
    times: dict[tuple[str, int], list[float]] = {}
    together: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds + WARM_UP):
        found = parts.round(number)
        in_batches = {
            (method, size): parts.batch(method, size)
            for size in batches
            for method in (ENCODER, *BY_LANDMARKS)
        }
        if number >= WARM_UP:
            for kept, measured in ((times, found), (together, in_batches)):
                for key, seconds in measured.items():
                    kept.setdefault(key, []).append(seconds)
        on_step(number + 1, rounds + WARM_UP)
    middle = {key: median(seconds) for key, seconds in times.items()}
    return DetectionCosts(
        {method: middle[method, n] for method, n in middle if n == LANDMARKS},
        {method: {n: middle[method, n] for n in counts} for method in BY_LANDMARKS},
        {
            method: {size: median(together[method, size]) for size in batches}
            for method in (ENCODER, *BY_LANDMARKS)
        },
        images,
        rounds,
    )


def costs_content(costs: DetectionCosts, peaks_mb: Mapping[str, float]) -> dict[str, Any]:
    """Return the content of ``detection.json``."""
    ratios = {method: costs.ratio(method) for method in costs.by_method}
    return asdict(costs) | {"ratios": ratios, "peak_mb": dict(peaks_mb)}


def costs_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return what was measured, its time and the same in units of the encoder."""
    seconds, ratios = content["by_method"], content["ratios"]
    rows = [[name, f"{1e3 * seconds[name]:.0f}", f"{ratios[name]:.2f}"] for name in seconds]
    once = seconds[ENCODER]
    for method, by_count in content["by_landmarks"].items():
        rows += [
            [f"{method}, {n} landmarks", f"{1e3 * s:.0f}", f"{s / once:.2f}"]
            for n, s in by_count.items()
            if int(n) != LANDMARKS
        ]
    for method, by_size in content["by_batch"].items():
        rows += [
            [f"{method}, {n} at once, an image", f"{1e3 * s:.0f}", f"{s / once:.2f}"]
            for n, s in by_size.items()
        ]
    rows += [
        [f"peak memory, {name}, MB", f"{mb:.0f}", ""] for name, mb in content["peak_mb"].items()
    ]
    return rows


def draw_costs(
    content: Mapping[str, Any], path: Path, before: Mapping[str, Any] | None = None
) -> None:
    """Draw cost against landmarks and against images at once, as a WebP file.

    ``before`` is the content of an earlier measurement, drawn dashed beside it.
    """
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    for made, line in ((content, "-"), (before, "--")):
        if made is None:
            continue
        once, note = made["by_method"][ENCODER], "" if line == "-" else ", before"
        for number, (method, by_count) in enumerate(made["by_landmarks"].items(), 1):
            _curve(left, by_count, once, method + note, COLOURS[number], line)
        for number, (method, by_size) in enumerate(made["by_batch"].items()):
            _curve(right, by_size, once, method + note, COLOURS[number], line)
    left.set_xlabel("landmarks")
    left.set_ylabel("time of an image / encoder's")
    right.set_xlabel("images at once")
    for axes in (left, right):
        axes.axhline(1, color="#BBBBBB", linewidth=0.8)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7)
    with atomic_write(path, overwrite=True) as unfinished:
        figure.savefig(unfinished, format="webp")


def _curve(
    axes: Axes,
    values: Mapping[Any, float],
    once: float,
    label: str,
    colour: str,
    line: str,
) -> None:
    numbers = [int(n) for n in values]
    heights = [s / once for s in values.values()]
    axes.plot(numbers, heights, line, marker="o", markersize=3, color=colour, label=label)
