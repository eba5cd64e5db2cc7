"""``python scripts/benchmarks COMMAND``: measures speed, memory, cost and corrections."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_info,
    print_json,
    print_line,
    print_table,
)
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Overwrite, Weights, encoder_with_bar
from napari_oneshot_lmk.encoders.device import resolve_device
from napari_oneshot_lmk.encoders.shipped import shipped_card, shipped_encoder
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.storage.atomic import check_writable

if not __package__:
    # Run by the folder's name: Python then looks for modules inside it, not beside it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import (
    costs,
    killed_runs,
    next_image,
    page,
    speed,
    training_parts,
    training_step,
)
from benchmarks.detecting import detecting
from benchmarks.images import template_of, write_images
from benchmarks.loading import loading
from benchmarks.options import Data, Out
from benchmarks.scores import scores

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder

app = typer.Typer(
    help="Measure speed, memory and cost.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(detecting)
app.add_typer(loading)
app.add_typer(scores)


@app.command("speed")
@handle_errors
def benchmark_speed(
    out: Out,
    template: Annotated[
        Path | None, typer.Option("--template", metavar="FOLDER", help="A template.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Or a data folder with one.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="To detect on; else the first test image of --data, else a "
            "generated one of 1935 x 2400.",
        ),
    ] = None,
    encoder_weights: Weights = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Use the encoder that needs no download.")
    ] = False,
    device: DeviceName = "auto",
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 20,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Time a detection against the encoder's own forward pass; peak memory.

    Writes speed.json and speed.md.
    """
    if (template is None) == (data is None):
        raise UsageError(
            "speed needs a template or a data folder",
            remedy="give --template or --data, one of the two",
        )
    check_writable(out, overwrite=overwrite)
    if data is not None:
        dataset = Dataset.load(data)
        loaded, first = dataset.template(), dataset.file_of(dataset.test[0]).path
    else:
        assert template is not None
        loaded, first = Template.load(template), None
    encoder = (
        shipped_encoder(resolve_device(device))
        if shipped
        else encoder_with_bar(encoder_weights, device)
    )
    with tempfile.TemporaryDirectory() as folder, counting_bar("Timing") as advance:
        timed = image or first
        if timed is None:
            timed = Path(folder, "large.png")
            speed.write_large_image(timed)
        measured = speed.measure_times(loaded, timed, encoder, repeats=repeats, on_repeat=advance)
    print_info("Measuring peak memory in a process of its own …")
    peak = speed.measure_peak_mb(
        loaded,
        encoder_weights=encoder_weights,
        shipped=encoder.card.identity == shipped_card().identity,
    )
    measured = replace(measured, peak_mb=peak)
    content = page.stamped(speed.speed_content(measured, encoder))
    page.write_page("speed", speed.speed_lines(measured, encoder), content, out, overwrite)
    if as_json:
        print_json(content)
    else:
        print_table("Speed", ["", "value"], speed.speed_rows(measured, encoder.card.title))
        print_info(f"Written to {out}")


@app.command("many")
@handle_errors
def benchmark_many(
    out: Out,
    images: Annotated[int, typer.Option("--images", min=10, help="How many are generated.")] = 5000,
    few: Annotated[int, typer.Option("--few", min=2, help="To compare the memory with.")] = 50,
    kills: Annotated[int, typer.Option("--kills", min=0, help="How often it is killed.")] = 3,
    workers: Annotated[
        str, typer.Option("--workers", help="Processes to compare; 0: none of dask's.")
    ] = "0,2",
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of images and of the times of death.")] = 0,
    encoder_weights: Weights = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Detect on thousands of generated images, and kill it on the way.

    Peak memory for few and many; whether each image stands in the table exactly once;
    what an image costs by batch, by landmarks and by workers. With the encoder that
    is shipped, on the processor, unless weights are named. Writes many.json and
    many.md.
    """
    try:
        processes = [int(word) for word in workers.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--workers {workers} is not a list of numbers", remedy="write 0,2"
        ) from error
    check_writable(out, overwrite=overwrite)
    shipped = encoder_weights is None
    encoder: Encoder = (
        shipped_encoder("cpu") if shipped else encoder_with_bar(encoder_weights, "cpu")
    )
    options = [] if shipped else ["--encoder-weights", str(encoder_weights)]
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        top = Path(scratch)
        template_of(costs.LANDMARKS, seed).save(top / "template")
        runs = []
        for name, count, deaths in (("few", few, 0), ("many", images, kills)):
            with counting_bar(f"Drawing {count} images") as advance:
                write_images(top / name, count, seed, advance)
            with counting_bar(f"Detecting on {count} images") as advance:
                runs.append(
                    killed_runs.run_killed(
                        top / "template",
                        top / name,
                        top / f"{name}.csv",
                        kills=deaths,
                        seed=seed,
                        options=[*options, "--device", "cpu"],
                        shipped=shipped,
                        on_image=advance,
                    )
                )
        with counting_bar("Measuring what an image costs") as advance:
            measured = costs.measure_costs(
                top / "few",
                encoder,
                encoder_weights=encoder_weights,
                rounds=rounds,
                workers=processes,
                seed=seed,
                on_step=advance,
            )
    content = page.stamped(
        costs.many_content(runs[0], runs[1], measured, encoder.card.identity, seed)
    )
    page.write_page("many", costs.many_lines(content), content, out, overwrite)
    if as_json:
        print_json(content)
    else:
        print_table("Many images", ["", "value"], costs.many_rows(content))
        print_info(f"Written to {out}")


@app.command("step")
@handle_errors
def benchmark_step(
    data: Data,
    out: Out,
    encoder_weights: Weights = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="laptop|FILE", help="Settings.")
    ] = "laptop",
    device: DeviceName = "auto",
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Time a step of fused training against one without cache or shared work.

    Writes step.json and step.md. Both run in float32 and print their loss.
    """
    check_writable(out, overwrite=overwrite)
    encoder = encoder_with_bar(encoder_weights, device)
    task = training_step.fused_task(Dataset.load(data), preset, encoder)
    print_info("Timing …")
    times = training_step.measure_step(task, repeats=repeats)
    content = page.stamped(times.as_dict())
    page.write_page("step", training_step.step_lines(times), content, out, overwrite)
    if as_json:
        print_json(content)
        return
    print_line(
        f"Ours is {times.ratio:.1f} times faster: {times.ours_s:.4f} s a sample, the "
        f"plain step {times.plain_s:.3f} s; losses {times.ours_loss:.5f} and "
        f"{times.plain_loss:.5f}"
    )


@app.command("training")
@handle_errors
def benchmark_training(
    out: Out,
    encoder_weights: Weights = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="laptop|FILE", help="Settings.")
    ] = "laptop",
    images: Annotated[int, typer.Option("--images", min=8, help="How many are generated.")] = 16,
    device: DeviceName = "auto",
    before: Annotated[
        Path | None,
        typer.Option(
            "--before", metavar="FILE", help="training.json of an earlier measurement, to compare."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Time the parts of a training: looks, steps, Infer-PL, the fine stage; reckon up the whole.

    On generated images. Writes training.json and training.md.
    """
    check_writable(out, overwrite=overwrite)
    earlier = None if before is None else json.loads(before.read_text(encoding="utf-8"))
    encoder = encoder_with_bar(encoder_weights, device)
    print_info("Training …")
    with tempfile.TemporaryDirectory() as folder:
        parts = training_parts.measure_training(encoder, Path(folder), preset=preset, images=images)
    content = parts.as_dict()
    titles = ["", "time", *(["before", "times as fast"] if earlier else [])]
    table = training_parts.training_rows(content, earlier)
    page.show_table("training", "Training", titles, table, content, out, overwrite)


@app.command("next-image")
@handle_errors
def benchmark_next_image(
    out: Out,
    images: Annotated[int, typer.Option("--images", min=20, help="How many.")] = 200,
    pause: Annotated[
        float, typer.Option("--pause", min=0.0, help="Seconds for which each is looked at.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", help="Of the images and their points.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Go through a project in a window with the key, and time until each image is drawn.

    Resident memory after 20, 100 and all images. The images are generated. Needs a display,
    or Xvfb. Writes next_image.json and next_image.md.
    """
    from virtual_display import virtual_display

    check_writable(out, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch, virtual_display():
        with counting_bar(f"Drawing {images} images") as advance:
            project = next_image.write_project(Path(scratch), images, seed, advance)
        with counting_bar("Looking at them") as advance:
            measured = next_image.measure(project, images, seed, pause, advance)
    table = next_image.rows_of(measured)
    content = next_image.content_of(measured)
    page.show_table("next_image", "Next image", ["", "value"], table, content, out, overwrite)


if __name__ == "__main__":
    app()
