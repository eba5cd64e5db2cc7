"""``oneshot-lmk detect``: finds a template's landmarks on other images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import print_info, print_warning, rate_bar
from napari_oneshot_lmk.cli.detection_report import DetectionReport
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors
from napari_oneshot_lmk.cli.image_lookup import templates_of
from napari_oneshot_lmk.cli.landmark_output import warn_of_losses
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Backend,
    DeviceName,
    Overwrite,
    Scheduler,
    Slice,
    SpacingText,
    Upright,
    Weights,
    Workers,
    encoder_with_bar,
    option,
    spacing_from,
)
from napari_oneshot_lmk.errors import OneshotError, SpacingUnknownError, UsageError
from napari_oneshot_lmk.landmarks.files import endings_in_words

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_oneshot_lmk.detection.batch import DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.journal import Journal, PartialResults
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.imaging.find import ImageFile
    from napari_oneshot_lmk.landmarks.template import Template


MANY_IMAGES = 10_000
"""Images whose table takes more than some seconds to write."""


@handle_errors
def detect(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|FOLDER|GLOB...", help="What to look at.")
    ],
    out: Annotated[
        Path,
        option(
            "FILE",
            f"Found landmarks: {endings_in_words(written=True, one_image=False)}; of one image "
            f"also {endings_in_words(written=True, one_image=True)}.",
        ),
    ],
    template: Annotated[
        list[Path] | None,
        option(
            "FOLDER",
            "The template; given again, more annotated images of its landmarks. With "
            "--model: another annotation of its landmarks.",
        ),
    ] = None,
    corrected: Annotated[
        Path | None,
        option("FILE", "Corrected landmarks of some images, which serve as further templates."),
    ] = None,
    corrected_images: Annotated[
        str | None,
        option("FOLDER|GLOB", "Where the images of --corrected are. Default: among IMAGES."),
    ] = None,
    model: Annotated[
        Path | None,
        option("RUN", "What oneshot-lmk train or export-bundle wrote; it holds its own template."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Run the TorchScript of a MONAI bundle that this program did not "
            "make. It is a program: only if you know who made it.",
        ),
    ] = False,
    fine: Annotated[
        bool | None,
        typer.Option(
            "--fine/--no-fine",
            help="Whether the model's fine stage looks a second time around each point. "
            "Default: if it has one.",
        ),
    ] = None,
    upright: Upright = False,
    encoder_weights: Weights = None,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    device: DeviceName = "auto",
    batch: Annotated[
        int | None,
        option(
            "N",
            "Images that the encoder sees at once. Default: 1 on a processor, 8 "
            "on a graphics card.",
            min=1,
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find a template's landmarks on images, without training or with a trained model.

    A file that cannot be used is named at the end and does not stop the others.
    Ctrl-C stops and keeps what was found so far. The same command goes on from
    there, and from where it was killed.
    """
    from napari_oneshot_lmk.detection.journal import PartialResults
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.landmarks.files import format_to_write

    results = PartialResults(out, overwrite=overwrite)
    spacing_mm_yx = spacing_from(spacing)
    files = find_images(images, tell=print_warning)
    if format_to_write(out, len(files)).patient_mm and spacing_mm_yx is None:
        _check_spacing(files[0], out, slice_index)
    backend = Backend.asked(workers, scheduler)
    if backend and trust:
        raise UsageError(
            "--trust was given with --workers or --scheduler",
            remedy="leave one out: a stranger's TorchScript runs in this process",
        )
    with results.locked(), ExitStack() as opened:
        # Slow imports come after everything that can be refused at once.
        from napari_oneshot_lmk.encoders.device import keep_freed_memory
        from napari_oneshot_lmk.landmarks.template import Template

        # Giving it back and asking again costs time at each image.
        keep_freed_memory()
        templates = [Template.load(path) for path in template or ()]
        own, further = templates[:1], templates[1:]
        if corrected is not None:
            sources = [corrected_images] if corrected_images else images
            further += templates_of(corrected, sources, spacing_mm_yx, slice_index)
        annotated, own_device = own[0] if own else None, "cpu" if backend else device
        started, detector = make_detector(
            annotated, further, model, encoder_weights, own_device, trust, upright, fine
        )

        from napari_oneshot_lmk.detection.batch import BatchSettings, detect_many
        from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

        settings = BatchSettings(
            detector.method,
            detector.encoder_card.identity,
            detector.templates_sha256,
            detector.model.content_sha256 if isinstance(detector, TrainedDetector) else "",
            spacing_mm_yx,
            slice_index,
            upright,
        )
        journal = opened.enter_context(results.journal(settings, files))
        _tell_what_is_there(journal, results)
        if backend is None:
            outcomes = detect_many(
                detector,
                journal.missing,
                spacing_mm_yx=spacing_mm_yx,
                slice_index=slice_index,
                batch=batch,
            )
        else:
            outcomes = backend.detect(detector, journal, encoder_weights, device, batch)
        failed, end = _collect(outcomes, journal)
        seconds = time.perf_counter() - started
        if len(journal) >= MANY_IMAGES:
            print_info(f"Writing {out} …")
        results.write(journal)
        if journal:
            warn_of_losses(out, journal)
        if isinstance(end, Exception):
            raise end
        report = DetectionReport(journal, failed, out, detector, end is not None)
        report.print_json() if as_json else report.print(seconds)
        if end is None:
            results.drop(journal)
    report.print_failures()
    if report.stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _check_spacing(file: ImageFile, out: Path, slice_index: int | None) -> None:
    """Refuse before the detection what could not be written after it."""
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.landmarks.files import format_to_write

    if read_image(file.path, slice_index=slice_index).geometry.spacing_mm_yx is None:
        raise SpacingUnknownError(
            f"a {format_to_write(out).suffix} file holds millimetres, but the pixel spacing of "
            f"{file.name} is unknown",
            file=out,
            remedy="give it with --spacing, or write a .csv file",
        )


def make_detector(
    annotated: Template | None,
    further: Sequence[Template],
    model: Path | None,
    weights: Path | None,
    device: str,
    trust: bool,
    upright: bool = False,
    fine: bool | None = None,
    encoder: Encoder | None = None,
) -> tuple[float, Detector]:
    """Return when detection began, after all weights were there, and the detector.

    ``encoder`` is used without a model instead of one that is looked for.
    """
    if model is not None:
        from napari_oneshot_lmk.bundle.load import ScriptedDetector, load_model, needs_trust
        from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

        if trust and needs_trust(model):
            _check_fine(fine, has_fine=False)
            if further:
                what = "a bundle that runs its own TorchScript compares with its own template alone"
                raise UsageError(what, remedy="leave further templates and --corrected out")
            return time.perf_counter(), ScriptedDetector(model)
        trained = load_model(model)
        _check_fine(fine, has_fine=trained.fine is not None)
        if fine is False:
            trained = replace(trained, fine=None)
        encoder = encoder_with_bar(weights, device, model=trained)
        started = time.perf_counter()
        return started, TrainedDetector.from_model(
            trained, annotated, encoder, further=further, upright=upright
        )
    _check_fine(fine, has_fine=False)
    if annotated is None:
        what = "neither a template nor a trained model was named"
        raise UsageError(what, remedy="name one with --template or --model")
    from napari_oneshot_lmk.detection.detector import Detector

    encoder = encoder or encoder_with_bar(weights, device)
    started = time.perf_counter()
    detector = Detector.instant(annotated, encoder=encoder, further=further, upright=upright)
    return started, detector


def _check_fine(fine: bool | None, *, has_fine: bool) -> None:
    if fine and not has_fine:
        raise UsageError(
            "there is no fine stage to look with",
            remedy="name a model that has one: oneshot-lmk train --fine adds it",
        )


def _tell_what_is_there(journal: Journal, results: PartialResults) -> None:
    if journal:
        print_info(
            f"{len(journal)} of {len(journal.images)} images were done before "
            f"({results.folder}); the others follow."
        )
    if journal.others:
        print_info(
            f"{journal.others} more were done before that are not among these images, "
            "or have changed since."
        )


def _collect(
    outcomes: Generator[DetectionResult, None, None], journal: Journal
) -> tuple[list[OneshotError], BaseException | None]:
    """Keep outcomes as they come; return the errors and what ended them early.

    Neither Ctrl-C nor a defect may cost the user what was found before.
    """
    failed: list[OneshotError] = []
    before, total = len(journal), len(journal.images)
    try:
        with rate_bar("Detecting", "images") as advance, closing(outcomes):
            advance(before, total)
            for done, outcome in enumerate(outcomes, start=before + 1):
                journal.add(outcome)
                if outcome.error is not None:
                    failed.append(outcome.error.about(outcome.image.name))
                elif outcome.landmarks and outcome.landmarks.provenance.orientation:
                    lies = outcome.landmarks.provenance.orientation
                    print_info(f"{outcome.image.name} lies {lies}; matched as such.")
                advance(done, total)
    except (KeyboardInterrupt, Exception) as end:
        return failed, end
    return failed, None
