"""Detecting, looking at and correcting the images of a project on the command line."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    download_bar,
    print_info,
    print_json,
    print_line,
    print_table,
    print_warning,
    rate_bar,
)
from napari_oneshot_lmk.cli.detect import make_detector
from napari_oneshot_lmk.cli.detection_report import print_counts
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Upright, Weights
from napari_oneshot_lmk.errors import OneshotError, UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.batch import Counts, DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.project import Project, ProjectImage
    from napari_oneshot_lmk.review.status import ImageStatus

Folder = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder.")]
Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGE...", help="Names of images in it. Default: all."),
]
Reader = Annotated[
    str, typer.Option("--reader", metavar="NAME", help="Who does it. Default: the project's.")
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn",
        help="Corrected and accepted points serve as further templates. Default: what oneshot-lmk "
        "project learn has applied.",
    ),
]
SHOWN_LANDMARKS = 3
"""Of an image in the table; --json has all."""


@handle_errors
def detect(
    folder: Folder,
    images: Images = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Not only new images, but all that nobody has finished; what a person has "
            "decided stays.",
        ),
    ] = False,
    learn: Learn = False,
    upright: Upright = False,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="See oneshot-lmk detect.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the landmarks on new images, with the project's model if it has one.

    Each image is kept once it is done: the same command goes on after Ctrl-C or a crash.
    """
    from napari_oneshot_lmk.review.detect import detect_images, images_to_detect
    from napari_oneshot_lmk.review.project import Project

    failed: list[OneshotError] = []
    with Project.open(folder, writing=True) as project:
        wanted = chosen_images(project, images, failed)
        started, detector = _detector(project, learn, encoder_weights, device, upright, failed)
        before = project.detected_with if encoder_weights and project.model is None else None
        if before and before.identity != detector.encoder_card.identity and not again:
            print_warning(
                f"The images before were detected with {before.title}, these with "
                f"{detector.encoder_card.title}; add --again to detect all with it."
            )
        ids = images_to_detect(project, detector, again=again, tell=failed.append)
        if wanted is not None:
            ids = tuple(image_id for image_id in ids if image_id in wanted)
        results = detect_images(project, detector, ids, batch=batch)
        counts, end = collect(results, len(ids), failed)
        seconds = time.perf_counter() - started
        others = len(project.images) - counts.images - len(failed)
    if isinstance(end, Exception):
        raise end
    if as_json:
        print_json(
            {
                "project": str(folder),
                "detected": counts.images,
                "unsure": counts.unsure,
                "failed": failures(failed),
                "interrupted": end is not None,
            }
        )
    else:
        print_counts(folder, counts, detector, seconds, "oneshot-lmk project spacing")
        if others and not again and not images and end is None:
            print_info(
                f"{counted(others, 'other image')} detected before; --again detects them anew."
            )
    if end is not None:
        total = counted(len(ids), "image")
        print_warning(f"Stopped after {counts.images} of {total}; the same command goes on.")
        list_failures(failed)
        raise typer.Exit(ExitCode.INTERRUPTED)
    end_with(failed)


@handle_errors
def status(
    folder: Folder,
    states: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="to do, detected, corrected or accepted."),
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="REASON", help="unsure, shape, order, border or absent."),
    ] = None,
    landmark: Annotated[
        str, typer.Option("--landmark", metavar="NAME", help="Images on which to look at this one.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the images, those with most to look at first."""
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.review.status import Filter, Reason, ReviewState, count, worst_first

    chosen = Filter(
        frozenset(member(ReviewState, "--state", text) for text in states or ()),
        frozenset(member(Reason, "--reason", text) for text in reasons or ()),
        landmark,
    )
    failed: list[OneshotError] = []
    with Project.open(folder) as project:
        if landmark and landmark not in project.template.landmarks:
            names = ", ".join(project.template.landmarks.names[:5])
            raise UsageError(
                f"--landmark {landmark} is not in the template", remedy=f"name one of {names}, …"
            )
        every = project.statuses(failed.append)
        shown = [i for i in worst_first(every) if chosen.lets_through(every[i])]
        images = {image.id: image for image in project.images}
    counts = count(every.values())
    if as_json:
        print_json(
            {
                "project": str(folder),
                "images": [_content(images[i], every[i]) for i in shown],
                "counts": asdict(counts),
                "failed": failures(failed),
            }
        )
    else:
        rows = [_row(images[image_id], every[image_id]) for image_id in shown]
        print_table(
            f"{len(shown)} of {len(images)} images",
            ["image", "state", "by", "unsure", "to look at"],
            rows,
        )
        print_line(", ".join(f"{number} {state}" for state, number in counts.states.items()))
    lost = [image.name for image in images.values() if image.path is None or image.changed]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        print_warning(
            f"{lost[0]}{more} are not where they were, or have changed; "
            "say where they are with oneshot-lmk project locate."
        )
    end_with(failed)


@handle_errors
def accept(
    folder: Folder,
    images: Images = None,
    all_sure: Annotated[
        bool, typer.Option("--all-sure", help="Only points that are not unsure, on all images.")
    ] = False,
    reader: Reader = "",
) -> None:
    """Say that detected points are right as they are, on the images named.

    No detection moves them any more.
    """
    from napari_oneshot_lmk.review.detect import accept_landmarks
    from napari_oneshot_lmk.review.project import Project

    if not images and not all_sure:
        raise UsageError(
            "no image was named", remedy="name images, or accept all sure points with --all-sure"
        )
    failed: list[OneshotError] = []
    points, on = 0, 0
    with Project.open(folder, writing=True) as project:
        ids = chosen_images(project, images, failed)
        for image_id in [image.id for image in project.images] if ids is None else ids:
            try:
                names = accept_landmarks(project, image_id, sure_only=all_sure, reader=reader)
            except OneshotError as error:
                failed.append(error)
                continue
            points += len(names)
            on += bool(names)
    print_line(f"{folder}: {counted(points, 'landmark')} accepted on {counted(on, 'image')}")
    end_with(failed)


@handle_errors
def settle(
    folder: Folder,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names of images in it.")],
    learn: Learn = False,
    upright: Upright = False,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    reader: Reader = "",
) -> None:
    """Find the other points of images anew, given those that were corrected or accepted."""
    from napari_oneshot_lmk.review.detect import settle_image
    from napari_oneshot_lmk.review.project import Project

    failed: list[OneshotError] = []
    settled = 0
    with Project.open(folder, writing=True) as project:
        ids = chosen_images(project, images, failed)
        _, detector = _detector(project, learn, encoder_weights, device, upright, failed)
        for image_id in ids or ():
            try:
                settle_image(project, detector, image_id, reader=reader)
                settled += 1
            except OneshotError as error:
                failed.append(error)
    print_line(f"{folder}: the other landmarks found anew on {counted(settled, 'image')}")
    end_with(failed)


def chosen_images(
    project: Project, names: Sequence[str] | None, failed: list[OneshotError]
) -> list[str] | None:
    """Return the ids of images that a user names, None for all.

    Errors are kept in ``failed``; if no name is right, the first one is raised.
    """
    if not names:
        return None
    ids = []
    for name in names:
        try:
            ids.append(project.named(name).id)
        except OneshotError as error:
            failed.append(error)
    if not ids:
        raise failed[0]
    return ids


def counted(number: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def end_with(failed: Sequence[OneshotError]) -> None:
    """Name what could not be used; the exit code says so, too."""
    list_failures(failed)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _detector(
    project: Project,
    learn: bool,
    weights: Path | None,
    device: str,
    upright: bool,
    failed: list[OneshotError],
) -> tuple[float, Detector]:
    """Return when detection began, and what detects: helped by what the project has learnt."""
    from napari_oneshot_lmk.encoders.device import keep_freed_memory

    # Giving it back and asking again costs time at each image.
    keep_freed_memory()
    learnt = project.learnt
    if learn or learnt is None:
        further = project.corrected_templates(failed.append) if learn else []
        return detect_with(project, further, weights, device, upright)
    from napari_oneshot_lmk.review.learn import corrected_images, helped

    _, further = corrected_images(project, learnt.images, failed.append)
    started, detector = detect_with(project, further, weights, device, upright)
    return started, helped(detector, learnt)


def detect_with(
    project: Project,
    further: Sequence[Template],
    weights: Path | None,
    device: str,
    upright: bool,
    *,
    own_model: bool = False,
) -> tuple[float, Detector]:
    """Return when detection began, and the project's detector with further templates.

    ``own_model``: as if it had learnt nothing. Without a model and without ``weights`` it has the
    encoder that the project was detected with.
    """
    from napari_oneshot_lmk.review.detect import project_encoder

    model = project.own_model if own_model else project.model
    encoder = None
    if model is None and weights is None:
        with download_bar("Fetching the encoder's weights") as advance:
            encoder = project_encoder(project, device, advance)
    return make_detector(
        project.template, further, model, weights, device, False, upright, encoder=encoder
    )


def collect(
    results: Generator[DetectionResult, None, None], total: int, failed: list[OneshotError]
) -> tuple[Counts, BaseException | None]:
    """Count what is found until the end; return what ended it early, too."""
    from napari_oneshot_lmk.detection.batch import Counts

    counts = Counts()
    try:
        with rate_bar("Detecting", "images") as advance, closing(results):
            advance(0, total)
            for done, result in enumerate(results, start=1):
                if result.error is not None:
                    failed.append(result.error.about(result.image.name))
                elif result.landmarks is not None:
                    found = result.landmarks.to_json(with_geometry=True)
                    counts.add(result.image.name, found, result.notes)
                    if lies := result.landmarks.provenance.orientation:
                        print_info(f"{result.image.name} lies {lies}; matched as such.")
                advance(done, total)
    except (KeyboardInterrupt, Exception) as end:
        return counts, end
    return counts, None


def failures(failed: Sequence[OneshotError]) -> list[dict[str, str | None]]:
    """Return errors as ``--json`` names them."""
    return [{"file": error.file, "error": str(error)} for error in failed]


def member(kind: Any, option: str, text: str) -> Any:
    """Return the member of an enumeration that a user typed, else raise a `UsageError`."""
    try:
        return kind(text.lower().replace("-", " ").replace("_", " "))
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is not known", remedy=f"choose one of {', '.join(kind)}"
        ) from error


def _content(image: ProjectImage, each: ImageStatus) -> dict[str, Any]:
    return {
        "id": image.id,
        "name": image.name,
        "path": None if image.path is None else str(image.path),
        "changed": image.changed,
        "state": str(each.state),
        "reviewers": list(each.reviewers),
        "unsure": each.unsure,
        "badness": each.badness,
        "reasons": {name: [str(r) for r in reasons] for name, reasons in each.reasons.items()},
    }


def _row(image: ProjectImage, each: ImageStatus) -> list[str]:
    named = [f"{name} ({', '.join(reasons)})" for name, reasons in each.reasons.items()]
    more = len(named) - SHOWN_LANDMARKS
    shown = ", ".join(named[:SHOWN_LANDMARKS]) + (f" and {more} more" if more > 0 else "")
    by = ", ".join(each.reviewers)
    return [image.name, str(each.state), by, str(each.unsure or ""), shown]
