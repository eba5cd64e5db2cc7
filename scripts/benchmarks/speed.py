"""How long a detection takes, in units of the encoder's own forward pass.

Seconds depend on the computer, ratios within one run hardly do.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK
import torch

from benchmarks.peak_memory import peak_memory_mb
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import prepare_image
from phantoms import generate

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.template import Template

LARGE_SHAPE_YX = (2400, 1935)
"""A cephalogram at its original resolution."""

WARM_UP = 2


@dataclass(frozen=True)
class Speed:
    """Times in seconds (medians) and peak memory.

    Parameters
    ----------
    encoder_s : float
        The encoder's forward pass on an image on the network's grid.
    detection_s : float
        Detection on such an image: encoder, matching, shape step.
    everything_s : float
        Detection from the file: reading and resizing included.
    file_shape_yx : tuple of int
        Size of the image in the file.
    landmarks : int
        How many were looked for.
    repeats : int
        The three are measured by turns, so often.
    peak_mb : float, optional
        Peak memory of a process that detects on an image of `LARGE_SHAPE_YX`.
    """

    encoder_s: float
    detection_s: float
    everything_s: float
    file_shape_yx: tuple[int, int]
    landmarks: int
    repeats: int
    peak_mb: float | None = None

    @property
    def detection_ratio(self) -> float:
        """Detection in units of the encoder's forward pass."""
        return self.detection_s / self.encoder_s

    @property
    def everything_ratio(self) -> float:
        """Reading, resizing and detection in the same units."""
        return self.everything_s / self.encoder_s


def measure_times(
    template: Template,
    image: Path,
    encoder: Encoder,
    *,
    repeats: int = 20,
    on_repeat: Callable[[int, int], None] = lambda done, total: None,
) -> Speed:
    """Time encoder, detection and detection from the file, by turns.

    Parameters
    ----------
    template : Template
        Its placed landmarks are looked for.
    image : Path
        The file to detect on; its spacing, where unknown, is the template's.
    encoder : Encoder
        What to time.
    repeats : int
        After two rounds to warm up.
    on_repeat : callable
        Called with (rounds done, rounds in all).
    """
    detector = Detector.instant(template, encoder=encoder)
    spacing = template.image.geometry.spacing_mm_yx
    read = read_image(image, spacing_mm_yx=spacing)
    pixels = prepare_image(read, encoder.device)
    on_grid = GrayImage(
        pixels[0, 0].float().cpu().numpy().astype(np.float32),
        replace(read.geometry, image_shape_yx=read.geometry.network_shape_yx),
        read.name,
    )

    def encode() -> None:
        encoder(pixels)

    def detect() -> None:
        detector.set_image(on_grid)
        detector.detect()

    def read_and_detect() -> None:
        detector.set_image(read_image(image, spacing_mm_yx=spacing))
        detector.detect()

    parts = (encode, detect, read_and_detect)
    seconds: list[list[float]] = [[] for _ in parts]
    for done in range(repeats + WARM_UP):
        for part, measured in zip(parts, seconds, strict=True):
            measured.append(_timed(part, encoder))
        on_repeat(done + 1, repeats + WARM_UP)
    encoding, detecting, everything = (median(m[WARM_UP:]) for m in seconds)
    return Speed(
        encoding,
        detecting,
        everything,
        file_shape_yx=read.geometry.image_shape_yx,
        landmarks=len(template.landmarks.placed),
        repeats=repeats,
    )


def measure_peak_mb(template: Template, *, encoder_weights: Path | None, shipped: bool) -> float:
    """Return the peak memory, in MB, of a detection on a large generated image."""
    with tempfile.TemporaryDirectory() as folder:
        saved, image = Path(folder, "template"), Path(folder, "large.png")
        template.save(saved)
        write_large_image(image)
        return peak_memory_mb(saved, image, encoder_weights=encoder_weights, shipped=shipped)


def write_large_image(path: Path) -> None:
    """Write a generated skull of `LARGE_SHAPE_YX` as a 16-bit PNG."""
    image, _ = generate("skull", 0, shape_yx=LARGE_SHAPE_YX)
    low, high = float(image.pixels.min()), float(image.pixels.max())
    grey = np.round((image.pixels - low) / (high - low) * 65535).astype(np.uint16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(grey), str(path))


def _timed(part: Callable[[], None], encoder: Encoder) -> float:
    started = time.perf_counter()
    part()
    if encoder.device.type == "cuda":
        torch.cuda.synchronize(encoder.device)
    return time.perf_counter() - started


def speed_content(speed: Speed, encoder: Encoder) -> dict[str, Any]:
    """Return the content of ``speed.json``."""
    return asdict(speed) | {
        "detection_ratio": speed.detection_ratio,
        "everything_ratio": speed.everything_ratio,
        "file_shape_yx": list(speed.file_shape_yx),
        "peak_image_shape_yx": list(LARGE_SHAPE_YX),
        "encoder": encoder.card.identity,
        "encoder_device": str(encoder.device),
    }


def speed_rows(speed: Speed, encoder: str) -> list[list[str]]:
    """Return name and value of what was measured."""
    height, width = speed.file_shape_yx
    rows = [
        ["encoder", encoder],
        ["landmarks", str(speed.landmarks)],
        ["encoder's forward pass, ms", f"{1e3 * speed.encoder_s:.1f}"],
        ["detection, ms", f"{1e3 * speed.detection_s:.1f}"],
        ["detection / encoder", f"{speed.detection_ratio:.2f}"],
        [f"from a file of {width} x {height}, ms", f"{1e3 * speed.everything_s:.1f}"],
        ["from the file / encoder", f"{speed.everything_ratio:.2f}"],
    ]
    if speed.peak_mb is not None:
        rows.append(["peak memory for 1935 x 2400, MB", f"{speed.peak_mb:.0f}"])
    return rows


def speed_lines(speed: Speed, encoder: Encoder) -> list[str]:
    """Return the lines of ``speed.md``."""
    return [
        "# Speed",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in speed_rows(speed, encoder.card.identity)),
        "",
        f"Medians of {speed.repeats} rounds, the three measured by turns in one run on "
        f"{encoder.device}. *Detection* starts from an image on the network's grid; "
        "*from a file* includes reading and resizing. Peak memory is that of a fresh "
        "process, libraries included.",
    ]
