"""``oneshot-lmk benchmark step``: a training step against the plain one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_oneshot_lmk.cli.benchmark import command_line
from napari_oneshot_lmk.cli.console import print_json, print_line, say
from napari_oneshot_lmk.cli.encoder import encoder_with_bar
from napari_oneshot_lmk.cli.endings import ending_well
from napari_oneshot_lmk.cli.options import AsJson, DeviceName, Overwrite, Weights


@ending_well
def benchmark_step(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A data folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results go.")],
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
    from napari_oneshot_lmk.storage.atomic import check_writable

    check_writable(out, overwrite=overwrite)

    from napari_oneshot_lmk.benchmark.training_step import measure_step, write_step
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.training.dataset import TrainingSet
    from napari_oneshot_lmk.training.preset import Preset
    from napari_oneshot_lmk.training.task import TrainingTask

    dataset = Dataset.load(data)
    template = dataset.template()
    settings = Preset.load(preset)
    names = [n for n in dataset.train if n != dataset.template_image]
    count = settings.training.batch
    images = TrainingSet.inspect(
        [dataset.file_of(name) for name in (names or dataset.test)[:count]], template
    )
    task = TrainingTask(
        template=template,
        images=images,
        preset=settings.changed({"labels.weigh": False}),
        method="fused",
        landmarks=tuple(point.name for point in template.landmarks.placed),
        template_stage=False,
        encoder=encoder_with_bar(encoder_weights, device),
    )
    say("Timing …")
    times = measure_step(task, repeats=repeats)
    content = write_step(times, out, command=command_line(), overwrite=overwrite)
    if as_json:
        print_json(content)
        return
    print_line(
        f"Ours is {times.ratio:.1f} times faster: {times.ours_s:.4f} s a sample, the "
        f"plain step {times.plain_s:.3f} s; losses {times.ours_loss:.5f} and "
        f"{times.plain_loss:.5f}"
    )
