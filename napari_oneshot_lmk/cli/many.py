"""``oneshot-lmk benchmark many``: memory, survival and cost over many images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_oneshot_lmk.cli.benchmark import command_line
from napari_oneshot_lmk.cli.console import print_json, print_table, say
from napari_oneshot_lmk.cli.encoder import encoder_with_bar
from napari_oneshot_lmk.cli.endings import ending_well
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, Weights
from napari_oneshot_lmk.cli.progress import counting_bar
from napari_oneshot_lmk.errors import UsageError


@ending_well
def benchmark_many(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results go.")],
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
    import tempfile

    from napari_oneshot_lmk.storage.atomic import check_writable

    try:
        processes = [int(word) for word in workers.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--workers {workers} is not a list of numbers", remedy="write 0,2"
        ) from error
    check_writable(out, overwrite=overwrite)

    from napari_oneshot_lmk.benchmark.many import run_killed
    from napari_oneshot_lmk.benchmark.many_cost import LANDMARKS, measure_costs
    from napari_oneshot_lmk.benchmark.many_images import template_of, write_images
    from napari_oneshot_lmk.benchmark.many_page import many_content, many_rows, write_many
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder

    shipped = encoder_weights is None
    encoder = shipped_encoder("cpu") if shipped else encoder_with_bar(encoder_weights, "cpu")
    options = [] if shipped else ["--encoder-weights", str(encoder_weights)]
    with tempfile.TemporaryDirectory(prefix="oneshot-lmk-") as scratch:
        top = Path(scratch)
        template_of(LANDMARKS, seed).save(top / "template")
        runs = []
        for name, count, deaths in (("few", few, 0), ("many", images, kills)):
            with counting_bar(f"Drawing {count} images") as advance:
                write_images(top / name, count, seed, advance)
            with counting_bar(f"Detecting on {count} images") as advance:
                runs.append(
                    run_killed(
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
            costs = measure_costs(
                top / "few",
                encoder,
                encoder_weights=encoder_weights,
                rounds=rounds,
                workers=processes,
                seed=seed,
                on_step=advance,
            )
    identity = encoder.card.identity
    content = many_content(runs[0], runs[1], costs, identity, seed=seed, command=command_line())
    write_many(content, out, overwrite=overwrite)
    if as_json:
        print_json(content)
    else:
        print_table("Many images", ["", "value"], many_rows(content))
        say(f"Written to {out}")
