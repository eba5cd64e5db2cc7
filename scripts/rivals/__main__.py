"""``python scripts/rivals METHOD``: trains a published rival and scores it; ``all``: the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_oneshot_lmk.cli.console import print_info, print_line
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.options import DeviceName, Weights, option

if not __package__:
    # Run by the folder's name: Python then looks for modules inside it, not beside it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ALL = "all"


@app.command()
@handle_errors
def rivals(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD|all",
            help="sam, uod, cc2d, cc2d+16, cc2d+304, cc2d-student, fm-osd-coarse, fm-osd-fine, "
            "fm-osd-coarse-vgg19, fm-osd-fine-vgg19; all: these and our own.",
        ),
    ],
    data: Annotated[Path, option("DIR", "A data folder, see docs/benchmarks/README.md.")],
    out: Annotated[Path, option("DIR", "Where rows go; those that are there are kept.")],
    encoder_weights: Weights = None,
    dino_weights: Annotated[
        Path | None, option("FILE", "DINO's ViT-S/8, which FM-OSD reads.")
    ] = None,
    also: Annotated[
        list[Path] | None, option("DIR", "Data folders of other anatomies, for UOD.")
    ] = None,
    device: DeviceName = "auto",
    seed: Annotated[int, option(None, "Of a rival's training.")] = 0,
    budget_minutes: Annotated[
        float | None,
        option("N", "Of computing for each training; by default the published steps."),
    ] = None,
    steps: Annotated[int | None, option("N", "At most, of each training.")] = None,
    width: Annotated[float, option("X", "Multiplies the channels of trained layers.")] = 1.0,
    points: Annotated[int, option("N", "Of a patch that a step compares; published: 1.")] = 1,
    batch: Annotated[int | None, option("N", "Images a step; by default as published.")] = None,
    learning_rate: Annotated[float | None, option("X", "By default as published.")] = None,
    copies: Annotated[int, option("N", "Of the template, for FM-OSD; published: 500.")] = 500,
    crops: Annotated[
        int | None,
        option("N", "Of a copy that a step of FM-OSD's fine stage sees; published: all."),
    ] = None,
    ours: Annotated[
        str, option("NAME[,NAME...]", "With all: methods of oneshot-lmk benchmark accuracy.")
    ] = "instant,fused,fine",
    our_seeds: Annotated[str, option("N[,N...]", "With all: seeds of those.")] = "0,1,2",
    preset: Annotated[str, option("laptop|gpu|paper|FILE", "With all: of those.")] = "laptop",
) -> None:
    """Train a rival, score it on the test images, and keep its row in DIR/METHOD-seed-N.

    By default with the published settings, which take a GPU for hours or days.
    """
    from napari_oneshot_lmk.encoders.select import build_encoder
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from rivals.loop import Budget
    from rivals.ours import own_row
    from rivals.registry import RIVALS
    from rivals.rival import Options
    from rivals.rows import Rows
    from rivals.study import Study
    from rivals.table import page

    dataset = Dataset.load(data)
    others = tuple(Dataset.load(each) for each in also or ())
    encoder = build_encoder(encoder_weights, device)
    study = Study.of(dataset, encoder, out / "features", seed, others)
    trained = Options(width, points, batch, learning_rate, copies, crops, dino_weights)
    rows = Rows(dataset, study, out, trained, Budget(budget_minutes, steps), print_info)
    if method != ALL:
        made, places = [rows.run(method)], [rows.place(method)]
    else:
        made = [rows.missing(name) or rows.run(name) for name in RIVALS]
        places = [rows.place(name) for name in RIVALS]
        for own in ours.split(","):
            for number in map(int, our_seeds.split(",")):
                more = (encoder_weights, device, preset, print_info)
                made.append(own_row(dataset, own, number, out, *more))
                places.append(out / f"{own}-seed-{number}")
    text = page(made, places, f"{dataset.name}, template {dataset.template_image}")
    if method == ALL:
        (out / "table.md").write_text(text + "\n", encoding="utf-8")
    print_line(text)


if __name__ == "__main__":
    app()
