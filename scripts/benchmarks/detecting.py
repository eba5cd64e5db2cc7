"""The measurement of what detection costs beside the encoder."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import detection_costs, page
from benchmarks.images import template_of
from benchmarks.options import Out
from benchmarks.peak_memory import ENCODER, INSTANT, peak_memory_mb
from benchmarks.random_models import random_model
from benchmarks.speed import write_large_image
from napari_oneshot_lmk.cli.console import counting_bar
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import DeviceName, Overwrite, Weights, encoder_with_bar
from napari_oneshot_lmk.encoders.device import resolve_device
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.atomic import check_writable

detecting = typer.Typer()


@detecting.command("detection")
@handle_errors
def benchmark_detection(
    out: Out,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    landmarks: Annotated[
        str, typer.Option("--landmarks", help="Numbers of landmarks.")
    ] = "1,19,37,76",
    batches: Annotated[
        str, typer.Option("--batches", help="Numbers of images at once.")
    ] = "1,2,4,8",
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 9,
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            metavar="FILE",
            help="detection.json of an earlier measurement, to be drawn beside this one.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Time detection by every method against its encoder's forward pass.

    Instant, fused with and without a fine stage, without download; one landmark at a time; CC2D as
    published; by landmarks and by images at once; peak memory. On generated images, with models
    of random weights. Writes detection.json, detection.md and detection.webp.
    """
    check_writable(out, overwrite=overwrite)
    earlier = None if before is None else json.loads(before.read_text(encoding="utf-8"))
    encoder = encoder_with_bar(encoder_weights, device)
    with counting_bar("Timing") as advance:
        measured = detection_costs.measure_detection(
            encoder,
            shipped_encoder(resolve_device(device)),
            landmarks=_numbers(landmarks, "--landmarks"),
            batches=_numbers(batches, "--batches"),
            rounds=rounds,
            on_step=advance,
        )
    content = detection_costs.costs_content(measured, _peaks_mb(encoder, encoder_weights))
    titles = ["", "ms", "in units of the encoder"]
    table = detection_costs.costs_rows(content)
    page.show_table("detection", "Detection", titles, table, content, out, overwrite)
    detection_costs.draw_costs(content, out / "detection.webp", earlier)


def _peaks_mb(encoder: Encoder, encoder_weights: Path | None) -> dict[str, float]:
    """Peak memory of processes that encode and that detect, on a large image."""
    template = template_of(detection_costs.LANDMARKS)
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        top = Path(scratch)
        template.save(top / "template")
        write_large_image(top / "image.png")
        random_model(template, encoder, "laptop").save(top / "model")
        kinds = {
            "the encoder alone": ENCODER,
            "instant": INSTANT,
            "fused, laptop": str(top / "model"),
        }
        return {
            title: peak_memory_mb(
                top / "template",
                top / "image.png",
                encoder_weights=encoder_weights,
                shipped=False,
                what=what,
            )
            for title, what in kinds.items()
        }


def _numbers(text: str, option: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is not a list of numbers", remedy="write 1,19"
        ) from error
    if min(found) < 1:
        raise UsageError(f"{option} {text} has a number below 1", remedy="write 1,19")
    return found
