"""``oneshot-lmk project learn``: what corrections gain, first; then all other images."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_json,
    print_line,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.detection_report import print_counts
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Upright, Weights
from napari_oneshot_lmk.cli.project_review import (
    Folder,
    collect,
    counted,
    detect_with,
    end_with,
    failures,
    member,
)
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.review.learnt import Way

if TYPE_CHECKING:
    from napari_oneshot_lmk.review.corrections import Gain
    from napari_oneshot_lmk.review.learn import Trial

RECOMMENDED = "recommended"
GAIN_TITLES = [
    "by",
    "images",
    "mean before",
    "after",
    "< 2 mm before",
    "after",
    "nearer",
    "further",
]


@handle_errors
def learn(
    folder: Folder,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            metavar="recommended|offsets|further-templates|both",
            help="Then detect anew on all images that nobody has finished, helped like this.",
        ),
    ] = None,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Take back what was learnt, and what was detected with it."),
    ] = False,
    upright: Upright = False,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what the corrected images gain for the others, and let the project learn from them.

    Each corrected image is left out in turn: the others have to help it. Nothing is written
    without --apply or --forget. What a person has decided stays.
    """
    from napari_oneshot_lmk.encoders.device import keep_freed_memory
    from napari_oneshot_lmk.review import learn as learning
    from napari_oneshot_lmk.review.detect import detect_images
    from napari_oneshot_lmk.review.project import Project

    if forget and apply:
        raise UsageError("--forget and --apply were both given", remedy="leave one of them out")
    wanted = None if apply in (None, RECOMMENDED) else member(Way, "--apply", str(apply))
    failed: list[OneshotError] = []
    counts, end = None, None
    if forget:
        with Project.open(folder, writing=True) as project:
            changed = learning.forget(project, failed.append)
        print_line(f"{folder}: nothing is learnt, {counted(len(changed), 'image')} as before")
        end_with(failed)
        return
    keep_freed_memory()
    with Project.open(folder, writing=apply is not None) as project:
        ids, further = learning.corrected_images(project, tell=failed.append)
        started, detector = detect_with(project, further, encoder_weights, device, upright)
        with counting_bar("Leaving each out") as advance:
            *_, trial = learning.try_learning(ids, detector, advance)
        assert trial is not None
        content: dict[str, Any] = {"project": str(folder), **_content(trial)}
        if not as_json:
            _print(trial)
        way = trial.recommended if apply == RECOMMENDED else wanted
        if apply and way is None and not as_json:
            print_line("Nothing is applied.")
        content["applied"] = None if way is None else str(way)
        if way is not None:
            learnt = trial.learnt(way)
            chosen = learning.helped(detector, learnt)
            todo = learning.begin_learning(project, chosen, learnt, failed.append)
            counts, end = collect(detect_images(project, chosen, todo), len(todo), failed)
            content |= {"detected": counts.images, "interrupted": end is not None}
            seconds = time.perf_counter() - started
    if isinstance(end, Exception):
        raise end
    if as_json:
        print_json(content | {"failed": failures(failed)})
    elif counts is not None:
        print_counts(folder, counts, chosen, seconds, "oneshot-lmk project spacing")
    if end is not None:
        print_warning("Stopped; oneshot-lmk project detect --again goes on.")
        list_failures(failed)
        raise typer.Exit(ExitCode.INTERRUPTED)
    end_with(failed)


@handle_errors
def next_images(
    folder: Folder,
    count: Annotated[
        int, typer.Option("--count", metavar="K", min=1, help="How many images to name.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Say which image to correct next, so that the others gain most.

    Images with many doubtful points come first, and of these those that many others are like and
    no corrected image is.
    """
    from napari_oneshot_lmk.review.next_image import rank_next
    from napari_oneshot_lmk.review.project import Project

    failed: list[OneshotError] = []
    with Project.open(folder) as project:
        works = {i.id: work.landmarks for i, work in project.works(tell=failed.append)}
        ranked = rank_next(works, project.template)[:count]
        names = {image.id: image.name for image in project.images}
    if as_json:
        images = [{**asdict(each), "image": names[each.key]} for each in ranked]
        print_json({"project": str(folder), "images": images, "failed": failures(failed)})
    elif ranked:
        rows = [[str(n), names[each.key], each.reason] for n, each in enumerate(ranked, start=1)]
        print_table("To correct next", ["", "image", "reason"], rows)
    else:
        print_line(f"{folder}: no image is detected and not yet corrected.")
    end_with(failed)


def _content(trial: Trial) -> dict[str, Any]:
    gains = [asdict(each) for way in Way for each in trial.gains[way]]
    return {
        "corrected": len(trial.images),
        "recommended": None if trial.recommended is None else str(trial.recommended),
        "gains": gains,
    }


def _print(trial: Trial) -> None:
    print_table(
        f"{counted(len(trial.images), 'corrected image')}, each left out in turn",
        GAIN_TITLES,
        [gain_row(each) for way in Way for each in trial.gains[way]],
    )
    if trial.recommended is None:
        print_line("Nothing is recommended: on the corrected images no way gains.")
    else:
        print_line(f"Recommended: {trial.recommended}. --apply {RECOMMENDED} does it.")
    print_line("These points were corrected by a person: no one-shot result.")


def gain_row(each: Gain) -> list[str]:
    """Return a row of a table with `GAIN_TITLES`."""
    before, after = (
        "" if share is None else f"{share:.1f} %"
        for share in (each.within_before, each.within_after)
    )
    return [
        str(each.way),
        str(each.images),
        f"{each.mean_before:.2f} {each.unit}",
        f"{each.mean_after:.2f} {each.unit}",
        before,
        after,
        str(each.better),
        str(each.worse),
    ]
