"""``oneshot-lmk project learn``: what corrections gain, first; then all other images."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
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
from napari_oneshot_lmk.training.preset import FINE_TUNING

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
            metavar="recommended|offsets|further-templates|both|fine-tuning|"
            "fine-tuning-and-templates",
            help="Then detect anew on all images that nobody has finished, helped like this.",
        ),
    ] = None,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Also train the adapters of the project's model on the corrected images: minutes. "
            "The model stays, the result is one more. Where it was measured, further templates "
            "alone gained as much or more.",
        ),
    ] = False,
    preset: Annotated[
        str,
        typer.Option("--preset", metavar="FILE", help="All numbers of --fine-tune."),
    ] = FINE_TUNING,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Of --fine-tune: passes over the copies."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of everything random in --fine-tune.")
    ] = 0,
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

    Each corrected image is left out in turn: the others have to help it. With --fine-tune they
    are left out in three parts, each of one training. Nothing is applied without --apply. What a
    person has decided stays. A training that was interrupted goes on with the same command.
    """
    from napari_oneshot_lmk.encoders.device import keep_freed_memory
    from napari_oneshot_lmk.review import learn as learning
    from napari_oneshot_lmk.review.detect import detect_images
    from napari_oneshot_lmk.review.project import Project

    if forget and fine_tune:
        raise UsageError("--forget and --fine-tune were both given", remedy="leave one of them out")
    if forget and apply:
        raise UsageError("--forget and --apply were both given", remedy="leave one of them out")
    wanted = None if apply in (None, RECOMMENDED) else member(Way, "--apply", str(apply))
    if wanted is not None and wanted.tuned and not fine_tune:
        what = f"--apply {apply} was given without --fine-tune"
        raise UsageError(what, remedy="add --fine-tune to see first what it gains")
    failed: list[OneshotError] = []
    counts, end = None, None
    if forget:
        with Project.open(folder, writing=True) as project:
            changed = learning.forget(project, failed.append)
        print_line(f"{folder}: nothing is learnt, {counted(len(changed), 'image')} as before")
        end_with(failed)
        return
    keep_freed_memory()
    with Project.open(folder, writing=fine_tune or apply is not None) as project:
        ids, further = learning.corrected_images(project, tell=failed.append)
        started, detector = detect_with(
            project, further, encoder_weights, device, upright, own_model=True
        )
        tuning = None
        if fine_tune:
            from napari_oneshot_lmk.review.fine_tune import ProjectTuning
            from napari_oneshot_lmk.training.fine_tune import fine_tuning_config

            config = fine_tuning_config(preset=preset, epochs=epochs, seed=seed)
            tuning = ProjectTuning(project, detector, config)
        with counting_bar("Leaving each out") as advance:
            *_, trial = learning.try_learning(ids, detector, advance)
        assert trial is not None
        if tuning is not None:
            trial = _followed(tuning.try_folds(trial), "Fine-tuning without a part")
        content: dict[str, Any] = {"project": str(folder), **_content(trial)}
        if not as_json:
            _print(trial, applied=apply is not None)
        way = trial.recommended if apply == RECOMMENDED else wanted
        if apply and way is None and not as_json:
            print_line("Nothing is applied.")
        content["applied"] = None if way is None else str(way)
        if way is not None:
            tuned = ""
            if tuning is not None and way.tuned:
                tuned = _followed(tuning.train(), "Fine-tuning on all")
                detector = tuning.detector(tuned)
            learnt = trial.learnt(way, tuned)
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
    gains = [asdict(each) for gains in trial.gains.values() for each in gains]
    return {
        "corrected": len(trial.images),
        "trainings": trial.trainings,
        "recommended": None if trial.recommended is None else str(trial.recommended),
        "gains": gains,
    }


def _print(trial: Trial, *, applied: bool) -> None:
    print_table(
        f"{counted(len(trial.images), 'image')} with corrected or accepted points, each left out "
        "in turn",
        GAIN_TITLES,
        [gain_row(each) for gains in trial.gains.values() for each in gains],
    )
    if trial.trainings:
        parts = f"in {trial.trainings} parts, each of one training"
        print_line(f"With fine-tuning the images are left out {parts}.")
    if trial.recommended is None:
        print_line("Nothing is recommended: on the corrected images no way gains.")
    else:
        does_it = "" if applied else f" --apply {RECOMMENDED} does it."
        print_line(f"Recommended: {trial.recommended}.{does_it}")
    print_line("A person has corrected or accepted these points: few-shot, no one-shot result.")


def _followed(steps: Generator[Any, None, Any], label: str) -> Any:
    """Show how far a training is; return what comes after its steps, or what it returns."""
    from napari_oneshot_lmk.review.fine_tune import TuningStep

    try:
        with closing(steps), counting_bar(label) as advance:
            while True:
                step = next(steps)
                if not isinstance(step, TuningStep):
                    return step
                advance(step.done, step.total)
    except StopIteration as end:
        return end.value
    except KeyboardInterrupt as error:
        print_warning("Stopped; nothing is applied. The same command goes on from there.")
        raise typer.Exit(ExitCode.INTERRUPTED) from error


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
