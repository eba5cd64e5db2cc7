"""``oneshot-lmk detect``: finds a template's landmarks on other images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import print_json, print_line, warn
from napari_oneshot_lmk.cli.encoder import encoder_with_bar
from napari_oneshot_lmk.cli.endings import ExitCode, ending_well, list_failures
from napari_oneshot_lmk.cli.lost import warn_of_losses
from napari_oneshot_lmk.cli.options import (
    AsJson,
    DeviceName,
    Overwrite,
    Slice,
    SpacingText,
    Weights,
    spacing_from,
)
from napari_oneshot_lmk.cli.progress import counting_bar
from napari_oneshot_lmk.errors import OneshotError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.many import Outcome
    from napari_oneshot_lmk.landmarks.landmark import Landmarks


@ending_well
def detect(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE|FOLDER|GLOB...", help="What to look at."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Found landmarks: .csv, .json (COCO) or .tps; .mrk.json, .dcm (SR) "
            "or .txt (ISBI) for one image.",
        ),
    ],
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            metavar="FOLDER",
            help="The template. With --model: another annotation of its landmarks.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="RUN",
            help="What oneshot-lmk train wrote; it holds its own template.",
        ),
    ] = None,
    encoder_weights: Weights = None,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find a template's landmarks on images, without training or with a trained model.

    A file that cannot be used is named at the end and does not stop the others.
    Ctrl-C stops and keeps what was found so far.
    """
    from napari_oneshot_lmk.imaging.sources import find_images
    from napari_oneshot_lmk.landmarks.files import format_to_write
    from napari_oneshot_lmk.output import check_writable

    spacing_mm_yx = spacing_from(spacing)
    files = find_images(images)
    format_to_write(out, len(files))
    check_writable(out, overwrite=overwrite)

    # Slow imports come after everything that can be refused at once.
    from napari_oneshot_lmk.detection.many import detect_many
    from napari_oneshot_lmk.landmarks.files import write_landmarks

    started, detector = _made(template, model, encoder_weights, device)
    found, failed, end = _collect(
        detect_many(
            detector, files, spacing_mm_yx=spacing_mm_yx, slice_index=slice_index
        ),
        len(files),
    )
    seconds = time.perf_counter() - started
    if found:
        write_landmarks(out, found, overwrite=overwrite, source=files[0].path)
        warn_of_losses(out, found)
    if isinstance(end, Exception):
        raise end
    stopped = end is not None
    code = _exit_code(failed, stopped)
    if as_json:
        content = _content(found, failed, out if found else None)
        card = detector.encoder_card
        more = {"method": detector.method, "encoder": card.identity}
        print_json(content | more | {"interrupted": stopped})
    else:
        _print_result(found, out, detector, seconds)
    list_failures(failed)
    if stopped:
        kept = f"; what was found is in {out}" if found else ""
        warn(f"Stopped after {len(found) + len(failed)} of {len(files)} images{kept}.")
    if code:
        raise typer.Exit(code)


def _made(
    template: Path | None, model: Path | None, weights: Path | None, device: str
) -> tuple[float, Detector]:
    """Return when detection began, after all weights were there, and the detector."""
    from napari_oneshot_lmk.landmarks.template import Template

    annotated = None if template is None else Template.load(template)
    if model is not None:
        from napari_oneshot_lmk.detection.model import TrainedModel
        from napari_oneshot_lmk.detection.trained import TrainedDetector

        trained = TrainedModel.load(model)
        encoder = encoder_with_bar(weights, device)
        started = time.perf_counter()
        return started, TrainedDetector.from_model(trained, annotated, encoder)
    if annotated is None:
        raise UsageError(
            "neither a template nor a trained model was named",
            remedy="name one with --template or --model",
        )
    from napari_oneshot_lmk.detection.detector import Detector

    encoder = encoder_with_bar(weights, device)
    started = time.perf_counter()
    return started, Detector.instant(annotated, encoder=encoder)


def _collect(
    outcomes: Iterator[Outcome], total: int
) -> tuple[list[Landmarks], list[OneshotError], BaseException | None]:
    """Gather outcomes, and what ended them early: Ctrl-C or a defect.

    Neither may cost the user what was found before.
    """
    found: list[Landmarks] = []
    failed: list[OneshotError] = []
    try:
        with counting_bar("Detecting") as advance:
            advance(0, total)
            for done, outcome in enumerate(outcomes, start=1):
                if outcome.landmarks is not None:
                    found.append(outcome.landmarks)
                if outcome.error is not None:
                    failed.append(outcome.error.about(outcome.image.name))
                advance(done, total)
    except (KeyboardInterrupt, Exception) as end:
        return found, failed, end
    return found, failed, None


def _exit_code(failed: list[OneshotError], stopped: bool) -> ExitCode:
    if stopped:
        return ExitCode.INTERRUPTED
    return ExitCode.FAILED if failed else ExitCode.DONE


def _print_result(
    found: list[Landmarks], out: Path, detector: Detector, seconds: float
) -> None:
    if not found:
        return
    points = [point for landmarks in found for point in landmarks]
    unsure = sum(point.unsure for point in points)
    images = f"{len(found)} image{'s' if len(found) != 1 else ''}"
    looked = f", {unsure} of them unsure" if unsure else ""
    trained = "" if detector.method == "instant" else f"{detector.method} model, "
    print_line(
        f"{out}: {len(points)} landmarks on {images}{looked} "
        f"({trained}{detector.encoder_card.title}, {seconds:.1f} s)"
    )
    unknown = [
        landmarks.image
        for landmarks in found
        if landmarks.geometry is None or landmarks.geometry.spacing_mm_yx is None
    ]
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        warn(
            f"The pixel spacing of {unknown[0]}{others} is unknown, so there are no "
            "millimetres; give it with --spacing."
        )


def _content(
    found: list[Landmarks], failed: list[OneshotError], out: Path | None
) -> dict[str, Any]:
    return {
        "out": str(out) if out else None,
        "images": [
            {
                "image": landmarks.image,
                "spacing_mm_yx": (
                    landmarks.geometry.spacing_mm_yx if landmarks.geometry else None
                ),
                "landmarks": [
                    {
                        "name": point.name,
                        "state": str(point.state),
                        "x_px": point.position_yx[1] if point.position_yx else None,
                        "y_px": point.position_yx[0] if point.position_yx else None,
                        "score": point.score,
                        "unsure": point.unsure,
                        "shape_residual_mm": point.shape_residual_mm,
                    }
                    for point in landmarks
                ],
            }
            for landmarks in found
        ],
        "failed": [{"file": error.file, "error": str(error)} for error in failed],
    }
