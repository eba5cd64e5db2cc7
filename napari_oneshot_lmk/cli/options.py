"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import download_bar, print_warning
from napari_oneshot_lmk.errors import GeometryError, UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.batch import DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.journal import Journal
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.per_landmark import Strategy


def option(metavar: str | None, words: str, **more: Any) -> Any:
    """Return an option named like its parameter, with what its help shows for its value."""
    return typer.Option(metavar=metavar, help=words, **more)


SpacingText = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="MM",
        help="Millimetres per pixel, 0.3 or 0,3; ROWxCOLUMN (0.3x0.25) where pixels are not "
        "square. Overrides what the file says.",
    ),
]
Slice = Annotated[
    int | None, typer.Option("--slice", help="Which slice (from 0) of a volume or frame of a film.")
]
Weights = Annotated[
    Path | None, option("FILE", "Weights of the VGG19 encoder; otherwise they are looked for.")
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Upright = Annotated[
    bool,
    typer.Option(
        "--upright",
        help="Take every image as it lies, and recognise none that is mirrored or turned.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, option(None, "Of the bootstrap intervals.")]

Scheduler = Annotated[
    str | None,
    option(
        "ADDRESS|FILE",
        "Give the work to a dask cluster: tcp://host:8786, or its scheduler file. "
        "Images must lie where all its workers see them.",
    ),
]
Workers = Annotated[int | None, option("N", "Or to so many processes on this computer.", min=1)]


def spacing_from(text: str | None) -> tuple[float, float] | None:
    """Return the (row, column) spacing in mm that a user typed; a comma is a decimal comma.

    A GeometryError says if it is not one or two sensible numbers.
    """
    if text is None:
        return None
    # numpy, which these load, would slow down --help.
    from napari_oneshot_lmk.geometry import checked_spacing
    from napari_oneshot_lmk.landmarks.files.text_file import parse_number

    parts = [part.strip() for part in text.lower().replace("×", "x").removesuffix("mm").split("x")]
    # A point in the same number says that the comma is none of decimals.
    numbers = [part if "." in part else part.replace(",", ".") for part in parts]
    values = [parse_number(number) for number in numbers]
    if len(values) > 2 or any(map(math.isnan, values)):
        raise GeometryError(
            f"the pixel spacing {text!r} is not a number of millimetres, nor two with an x between",
            remedy="write for example 0.1 or 0,1, or 0.3x0.25 for ROWxCOLUMN",
        )
    return checked_spacing(values if len(values) == 2 else values[0])


def encoder_with_bar(
    weights: Path | None,
    device: str,
    *,
    allow_download: bool = True,
    say_note: bool = True,
    model: TrainedModel | None = None,
) -> Encoder:
    """Return the encoder to use and say what the user should know about it.

    A model gets the one that it was trained on, unless weights are named.
    """
    from napari_oneshot_lmk.encoders.select import instant_encoder

    with download_bar("Fetching the encoder's weights") as advance:
        if model is not None and weights is None:
            from napari_oneshot_lmk.detection.model_encoder import encoder_for

            return encoder_for(model, None, device, advance)
        encoder = instant_encoder(weights, device, allow_download=allow_download, progress=advance)
    if encoder.card.note and say_note:
        print_warning(encoder.card.note)
    return encoder


@dataclass(frozen=True)
class Backend:
    """The workers that detect or train: processes here, or those of a dask scheduler."""

    workers: int | None
    """How many processes on this computer."""
    scheduler: str | None
    """Address or file of a dask scheduler."""

    @classmethod
    def asked(cls, workers: int | None, scheduler: str | None) -> Backend | None:
        """Return what the options say; None where this process is to do it.

        A UsageError says if both are given, or dask.distributed is not installed.
        """
        if workers is None and scheduler is None:
            return None
        if workers is not None and scheduler is not None:
            raise UsageError("--workers and --scheduler were both given", remedy="give one of them")
        from napari_oneshot_lmk.cluster.client import check_installed

        check_installed()
        return cls(workers, scheduler)

    def detect(
        self,
        detector: Detector,
        journal: Journal,
        encoder_weights: Path | None,
        device: str,
        batch: int | None,
    ) -> Generator[DetectionResult, None, None]:
        """Detect on what is missing in a journal, with copies of a detector.

        ``encoder_weights``, ``device`` and ``batch`` are for the workers; see `detect_many`.
        """
        images = journal.missing
        if not images:
            return
        from napari_oneshot_lmk.cluster.client import connect
        from napari_oneshot_lmk.cluster.detect import DetectorSpec, Reading, detect_across

        spec = DetectorSpec.of(detector, encoder_weights, device)
        about = journal.settings
        reading = Reading(about.spacing_mm_yx, about.slice_index, batch)
        with connect(self.scheduler, self.workers) as connection:
            yield from detect_across(connection, spec, images, reading, print_warning)

    def strategy(self, encoder_weights: Path | None, device: str) -> Strategy:
        """Return who trains; see `training.job.train`."""
        from napari_oneshot_lmk.cluster.train import ClusterStrategy

        weights = None if encoder_weights is None else encoder_weights.absolute()
        return ClusterStrategy(self.scheduler, self.workers, weights, device)
