"""The demo's training: a fused model on the sample images, before and after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import print_line, print_table
from napari_oneshot_lmk.cli.progress import counting_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.evaluation.report import Report
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.template import Template

SHORT = {
    "template_copies.count": 12,
    "training.epochs": 6,
    # The criterion needs more images than the samples are.
    "training.selection": "last",
}
"""What the demo changes in the preset ``laptop``: a dozen images, two minutes."""


def train_on_samples(
    dataset: Dataset, template: Template, images: Sequence[GrayImage], encoder: Encoder, run: Path
) -> Report:
    """Train a fused model on a data set's images and score it on them.

    Parameters
    ----------
    dataset : Dataset
        All its images but the template are seen, none of their landmarks.
    template : Template
        Its template.
    images : sequence of GrayImage
        Those to score on.
    encoder : Encoder
        For features.
    run : Path
        Where the run goes.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.evaluation.report import evaluate
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.events import Stepped
    from napari_oneshot_lmk.training.preset import Preset
    from napari_oneshot_lmk.training.train import train

    names = dataset.others
    preset = Preset.load("laptop").changed(SHORT)
    config = TrainingConfig(preset=preset, spacing_mm_yx=dataset.spacing_mm_yx(names[0]))
    files = [dataset.file_of(name) for name in names]
    with counting_bar("Training a fused model on them") as advance:
        advance(0, preset.training.epochs)
        for event in train(template, files, run, config, encoder=encoder):
            if isinstance(event, Stepped) and event.step == event.steps:
                advance(event.epoch, event.epochs)
    detector = TrainedDetector.from_model(TrainedModel.load(run), encoder=encoder)
    found = []
    for name, image in zip(names, images, strict=True):
        detector.set_image(image)
        found.append(replace(detector.detect(), image=name))
    return evaluate(found, [dataset.truth[name] for name in names])


def print_before_and_after(before: Report, after: Report, title: str) -> None:
    """Print the overall errors of both."""
    from napari_oneshot_lmk.evaluation.metrics import sdr_keys

    rows = []
    for name, report in (("instant", before), ("trained, fused", after)):
        scoring = report.scoring("native")
        assert scoring is not None
        overall = scoring.overall
        shares = [f"{share:.1f}" for share in overall.sdr_percent]
        errors = [f"{overall.mre_mm:.2f}", f"{overall.median_mm:.2f}"]
        rows.append([name, *errors, *shares])
    distances = [f"< {key} mm %" for key in sdr_keys()]
    print_table(title, ["", "MRE mm", "median mm", *distances], rows)
    print_line(
        "A dozen generated images and a minute show how training goes, not what it "
        "gains, and may even lose a little: see docs/benchmarks/cephalogram.md."
    )
