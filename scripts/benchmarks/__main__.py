"""``oneshot-lmk benchmark speed``: time and memory of a detection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli.benchmark import command_line
from napari_oneshot_lmk.cli.console import print_json, print_table, say
from napari_oneshot_lmk.cli.encoder import encoder_with_bar
from napari_oneshot_lmk.cli.endings import ending_well
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Overwrite, Weights
from napari_oneshot_lmk.cli.progress import counting_bar
from napari_oneshot_lmk.errors import UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template


@ending_well
def benchmark_speed(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results go.")],
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
    from napari_oneshot_lmk.storage.atomic import check_writable

    if (template is None) == (data is None):
        raise UsageError(
            "speed needs a template or a data folder",
            remedy="give --template or --data, one of the two",
        )
    check_writable(out, overwrite=overwrite)

    import tempfile

    from napari_oneshot_lmk.benchmark.speed import measure_peak_mb, measure_times, write_large_image
    from napari_oneshot_lmk.benchmark.speed_page import speed_content, speed_rows, write_speed
    from napari_oneshot_lmk.encoders.device import resolve_device
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder

    loaded, first = _template_and_image(template, data)
    encoder = (
        shipped_encoder(resolve_device(device))
        if shipped
        else encoder_with_bar(encoder_weights, device)
    )
    with tempfile.TemporaryDirectory() as folder, counting_bar("Timing") as advance:
        timed = image or first
        if timed is None:
            timed = Path(folder, "large.png")
            write_large_image(timed)
        speed = measure_times(loaded, timed, encoder, repeats=repeats, on_repeat=advance)
    say("Measuring peak memory in a process of its own …")
    peak = measure_peak_mb(
        loaded,
        encoder_weights=encoder_weights,
        shipped=encoder.card.identity == shipped_encoder("cpu").card.identity,
    )
    speed = replace(speed, peak_mb=peak)
    content = speed_content(speed, encoder, command=command_line())
    write_speed(speed, content, out, overwrite=overwrite)
    if as_json:
        print_json(content)
    else:
        print_table("Speed", ["", "value"], speed_rows(speed, encoder.card.title))
        say(f"Written to {out}")


def _template_and_image(template: Path | None, data: Path | None) -> tuple[Template, Path | None]:
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.template import Template

    if template is not None:
        return Template.load(template), None
    assert data is not None
    dataset = Dataset.load(data)
    return dataset.template(), dataset.file_of(dataset.test[0]).path
