"""Measurements that read the annotations of a data folder: they score, and choose nothing."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import (
    corrections,
    fine_tuning,
    one_correction,
    page,
    template_advice,
    turned_images,
)
from benchmarks.feature_files import FeatureFiles
from benchmarks.options import Cache, Counts, Data, Draws, Model, OfTraining, Out, Parts
from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.cli.console import counting_bar, print_info, print_table
from napari_oneshot_lmk.cli.detect import make_detector
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import DeviceName, Overwrite, Weights, encoder_with_bar
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.device import resolve_device
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.storage.atomic import check_writable
from napari_oneshot_lmk.training.events import EpochEnded, Event
from napari_oneshot_lmk.training.fine_tune import fine_tuning_config
from napari_oneshot_lmk.training.preset import FINE_TUNING

scores = typer.Typer()


@scores.command("corrections")
@handle_errors
def benchmark_corrections(
    data: Data,
    out: Out,
    model: Model = None,
    counts: Counts = "1,2,3,5,10,20",
    draws: Draws = 20,
    parts: Parts = 1,
    pool: Annotated[
        int | None,
        typer.Option("--pool", metavar="N", min=1, help="Draw from so many training images only."),
    ] = None,
    training: OfTraining = False,
    proposed: Annotated[
        bool,
        typer.Option(
            "--proposed",
            help="Correct what `project next` proposes, one by one, instead of random draws.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 1,
    cache: Cache = None,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Score detection that learns from corrected training images.

    By offsets, by further templates and by both; with a model, instant detection is scored, too.
    Few-shot: it reads the annotation of as many images as are said to be corrected. Writes
    corrections.json and corrections.md.
    """
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)
    numbers = [int(word) for word in counts.split(",")]
    plan = corrections.Plan.drawn(
        dataset, numbers, draws, seed, training=training, parts=parts, pool=pool
    )
    with (
        tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch,
        counting_bar("Detecting") as advance,
    ):
        folder = Path(scratch) if cache is None else cache
        trained = None if model is None else load_model(model)
        encoder = FeatureFiles(
            encoder_with_bar(encoder_weights, device, model=trained), folder / "features"
        )

        def make(further: Sequence[Template]) -> Detector:
            if trained is None:
                return Detector(dataset.template(), encoder, further=further)
            return TrainedDetector.from_model(trained, None, encoder, further=further)

        if proposed:
            plan = plan.proposed(make([]), dataset)
        print_info(f"Encoding {len(plan.corrected)} corrected images …")
        detector = make([corrections.corrected_template(dataset, n) for n in plan.corrected])
        found = dict(corrections.collect(detector, dataset, plan, folder, advance))
    content: dict[str, Any] = {"encoder": detector.encoder_card.identity}
    lines = []
    for method in next(iter(found.values())):
        of_method = {name: each[method] for name, each in found.items()}
        for title, scored in corrections.subsets(dataset, plan):
            table = corrections.rows(of_method, plan, scored)
            content[f"{method}, {title}"] = table
            lines += [f"## {method}, {title}", "", *page.table_lines(corrections.TITLES, table), ""]
            print_table(f"{method}, {title}", corrections.TITLES, table)
    page.write_page("corrections", lines, page.stamped(content), out, overwrite)


@scores.command("fine-tuning")
@handle_errors
def benchmark_fine_tuning(
    data: Data,
    out: Out,
    model: Annotated[Path, typer.Option("--model", metavar="RUN", help="A fused model.")],
    counts: Counts = "5,10",
    draws: Draws = 3,
    parts: Parts = 1,
    training: OfTraining = False,
    preset: Annotated[
        str, typer.Option("--preset", metavar="FILE", help="Numbers of fine-tuning.")
    ] = FINE_TUNING,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws and of the trainings.")] = 1,
    cache: Cache = None,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Score a model that was fine-tuned on corrected training images, beside further templates.

    Few-shot: it reads the annotation of as many images as are said to be corrected. Writes
    fine_tuning.json and fine_tuning.md.
    """
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)
    numbers = [int(word) for word in counts.split(",")]
    plan = corrections.Plan.drawn(dataset, numbers, draws, seed, training=training, parts=parts)
    further = [corrections.corrected_template(dataset, name) for name in plan.corrected]
    config = fine_tuning_config(preset=preset, epochs=epochs, seed=seed)
    errors = {}

    def tell(draw: int, count: int, event: Event) -> None:
        if isinstance(event, EpochEnded):
            loss = event.losses["template"]
            print_info(
                f"Draw {draw + 1}, {count} images, epoch {event.epoch} of {event.epochs}: loss "
                f"{loss:.2f}, {event.seconds:.0f} s"
            )

    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        folder = Path(scratch) if cache is None else cache
        trained = load_model(model)
        plain = encoder_with_bar(encoder_weights, device, model=trained)
        encoder = FeatureFiles(plain, folder / "features")
        detector = TrainedDetector.from_model(trained, None, encoder, further=further)
        measured = fine_tuning.Measurement(detector, dataset, plan, config, folder, plain, tell)
        # The smaller numbers of all draws first: what is stopped early has them.
        for count in plan.counts:
            for draw in range(draws):
                with counting_bar(f"Scoring draw {draw + 1}, {count} images") as advance:
                    errors[draw, count] = measured.errors_mm(draw, count, advance)
    table = fine_tuning.rows(errors)
    content = {
        "encoder": detector.encoder_card.identity,
        "corrected": plan.draws,
        "preset": dict(config.resolve_preset(lambda: False).values()),
        "rows": table,
    }
    title = f"Fine-tuning, {len(plan.scored)} images in {parts} parts, seed {seed}"
    page.show_table("fine_tuning", title, fine_tuning.TITLES, table, content, out, overwrite)


@scores.command("one-correction")
@handle_errors
def benchmark_one_correction(
    data: Data,
    out: Out,
    training: Annotated[
        bool, typer.Option("--training", help="On the training images instead of the test images.")
    ] = False,
    model: Model = None,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Correct the worst point of each image, and score the others before and after.

    Writes one_correction.json and one_correction.md.
    """
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)
    _, detector = make_detector(dataset.template(), [], model, encoder_weights, device, trust=False)
    names = [name for name in dataset.train if name != dataset.template_image]
    chosen = [dataset.truth[n] for n in names] if training else dataset.test_truth
    with counting_bar("Detecting") as advance:
        images = one_correction.measure(detector, dataset, chosen, advance)
    table = one_correction.rows(images)
    seconds = statistics.median(image.seconds for image in images)
    content = {"method": detector.method, "rows": table, "settle_median_s": seconds}
    title = f"One correction, {detector.method}, median {1000 * seconds:.0f} ms"
    page.show_table("one_correction", title, one_correction.TITLES, table, content, out, overwrite)


@scores.command("template-advice")
@handle_errors
def benchmark_template_advice(
    data: Data,
    out: Out,
    templates: Annotated[
        int, typer.Option("--templates", min=1, help="So many of the first and of the last.")
    ] = 5,
    images: Annotated[int, typer.Option("--images", min=1, help="How many are scored.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of images and random templates.")] = 1,
    cache: Cache = None,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Score training images as templates: the adviser's first and last, and some at random.

    Detection is instant, on other training images. Reads the annotations of all of them. Writes
    template_advice.json and template_advice.md.
    """
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        folder = Path(scratch) if cache is None else cache
        encoder = FeatureFiles(encoder_with_bar(encoder_weights, device), folder / "features")
        with counting_bar("Describing") as advance:
            order = [each.file.name for each in template_advice.ranked(dataset, encoder, advance)]
        scored = template_advice.scored_images(dataset, images, seed)
        chosen = template_advice.groups(order, scored, templates, seed)
        with counting_bar("Trying templates") as advance:
            table = template_advice.rows(dataset, chosen, scored, encoder, advance)
    content = {"encoder": encoder.card.identity, "templates": chosen, "rows": table}
    title = f"Templates by advice, {len(scored)} images"
    titles = template_advice.TITLES
    page.show_table("template_advice", title, titles, table, content, out, overwrite)


@scores.command("orientation")
@handle_errors
def benchmark_orientation(
    data: Data,
    out: Out,
    images: Annotated[int, typer.Option("--images", min=1, help="How many.")] = 150,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Score nothing: confidence and fit of training images in every orientation.",
        ),
    ] = False,
    model: Model = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Use the encoder that needs no download.")
    ] = False,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Score detection on mirrored and turned copies of the first test images.

    Writes orientation.json and orientation.md.
    """
    check_writable(out, overwrite=overwrite)
    dataset = Dataset.load(data)
    template = dataset.template()
    if shipped:
        detector = Detector.instant(template, encoder=shipped_encoder(resolve_device(device)))
    else:
        _, detector = make_detector(template, [], model, encoder_weights, device, trust=False)
    upright = copy(detector)
    upright.upright = True
    titles = turned_images.LOOK_TITLES if unlabelled else turned_images.TITLES
    with counting_bar("Detecting") as advance:
        options = (detector, upright, dataset, images, advance)
        if unlabelled:
            table = turned_images.look_at_training_images(*options)
        else:
            table = turned_images.rows(turned_images.measure(*options))
    encoder = detector.encoder_card.identity
    content = {"method": detector.method, "encoder": encoder, "rows": table}
    title = f"Orientation, {detector.method}, {encoder}"
    page.show_table("orientation", title, titles, table, content, out, overwrite)
