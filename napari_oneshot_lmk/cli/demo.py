"""``oneshot-lmk demo``: the main job on the sample images."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from napari_oneshot_lmk.cli.console import counting_bar, print_info, print_line, print_table
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.evaluate import print_report
from napari_oneshot_lmk.cli.options import DeviceName, Overwrite, Weights, encoder_with_bar, option

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.evaluation.plots import Panel
    from napari_oneshot_lmk.evaluation.report import Report
    from napari_oneshot_lmk.imaging.image import GrayImage
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.preset import Preset


# The criterion of selection needs more images than the samples are, and of so few a network learns
# less than detection without training knows (docs/benchmarks/training.md).
SHORT = {
    "template_copies.count": 12,
    "training.epochs": 6,
    "training.selection": "last",
    "detection.instant_share": 1.0,
    "fine.epochs": 3,
}
"""What the demo changes in the preset ``laptop`` for a dozen images."""
ENOUGH_IMAGES = 40
"""From so many on, the criterion of selection tells, and more epochs do."""
LONGER = {"template_copies.count": 40, "detection.instant_share": 1.0, "fine.epochs": 4}
"""What it changes then: instant detection is good on generated images, and has a say."""


def preset_for(images: int) -> Preset:
    """Return what the demo trains so many images with."""
    from napari_oneshot_lmk.training.preset import Preset

    return Preset.load("laptop").changed(LONGER if images >= ENOUGH_IMAGES else SHORT)


def _train_on_samples(part: _Shown, encoder: Encoder, run: Path) -> dict[str, Report]:
    """Train on the images of an anatomy, without landmarks, and score on them.

    Returns the reports of the fused model alone and of the same with a fine stage, by what they
    are called in the table.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.evaluation.report import evaluate
    from napari_oneshot_lmk.training.config import TrainingConfig
    from napari_oneshot_lmk.training.events import Stepped
    from napari_oneshot_lmk.training.fine import NAME as FINE
    from napari_oneshot_lmk.training.train import train

    dataset, names = part.dataset, part.dataset.others
    preset = preset_for(len(names))
    config, spacings = TrainingConfig(preset=preset, fine=True), dataset.spacings_mm_yx(names)
    files = [dataset.file_of(name) for name in names]
    of_model = preset.training.epochs
    of_stage = (preset.fine.renewals + 1) * preset.fine.epochs
    with counting_bar("Training a model with a fine stage on them") as advance:
        advance(0, of_model + of_stage)
        events = train(part.template, files, run, config, encoder=encoder, spacings_mm_yx=spacings)
        for event in events:
            if isinstance(event, Stepped) and event.step == event.steps:
                before = of_model if event.model == FINE else 0
                advance(before + event.epoch, of_model + of_stage)
    model = TrainedModel.load(run)
    kinds = {"trained, fused": replace(model, fine=None), "with a fine stage": model}
    reports = {}
    for title, each in kinds.items():
        detector = TrainedDetector.from_model(each, encoder=encoder)
        found = []
        for name, image in zip(names, part.images, strict=True):
            detector.set_image(image)
            found.append(replace(detector.detect(), image=name))
        reports[title] = evaluate(found, [dataset.truth[name] for name in names])
    return reports


def _print_before_and_after(reports: dict[str, Report], title: str, images: int) -> None:
    from napari_oneshot_lmk.evaluation.metrics import sdr_keys

    rows = []
    for name, report in reports.items():
        overall = report.native.overall
        shares = [f"{share:.1f}" for share in overall.sdr_percent]
        errors = [f"{overall.mre_mm:.2f}", f"{overall.median_mm:.2f}"]
        rows.append([name, *errors, *shares])
    distances = [f"< {key} mm %" for key in sdr_keys()]
    print_table(title, ["", "MRE mm", "median mm", *distances], rows)
    print_line(
        f"{images} generated images show how training goes: what it gains on radiographs is "
        "in docs/benchmarks/cephalogram.md."
    )


PANELS = {"skull": 12, "hand": 6}
"""How many images of each anatomy the overview shows, the template included."""

COLUMNS = 6
TRAINED = "skull"
RUN = Path(TRAINED, "training")
"""Anatomy that is trained on, and where its run goes."""


@dataclass(frozen=True)
class _Shown:
    """What the demo did with the samples of one anatomy."""

    dataset: Dataset
    template: Template
    images: tuple[GrayImage, ...]
    found: tuple[Landmarks, ...]
    report: Report


@handle_errors
def demo(
    out: Annotated[Path, option("DIR", "Where results go.")] = Path("out/demo"),
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    download: Annotated[
        bool, option(None, "Fetch the VGG19 weights (about 550 MB) where there are none.")
    ] = False,
    skulls: Annotated[
        Path | None,
        option("DIR", "More skulls than the samples: a data folder of scripts/phantoms."),
    ] = None,
    training: Annotated[
        bool, option(None, "Also train on the skulls, in three to eight minutes.")
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Detect landmarks on the sample images, train on them, measure the errors.

    Needs no internet: without VGG19 weights it takes the encoder that comes with
    the package.
    """
    from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

    check_writable(out, overwrite=overwrite)

    from napari_oneshot_lmk.evaluation.plots import draw_overview
    from napari_oneshot_lmk.landmarks.dataset import Dataset
    from napari_oneshot_lmk.landmarks.files import write_landmarks
    from napari_oneshot_lmk.samples import sample_folder

    encoder = encoder_with_bar(encoder_weights, device, allow_download=download, say_note=download)
    print_line(f"Encoder: {encoder.card.title} ({encoder.card.identity})")
    if encoder.card.note and not download:
        print_line(
            "The weights of VGG19, the usual encoder, are not on this computer, so the "
            "demo takes the one that comes with the package. "
            "“oneshot-lmk demo --download” fetches them (about 550 MB), “oneshot-lmk "
            "info” says where they may lie."
        )
    shown = {}
    for anatomy in PANELS:
        given = skulls if anatomy == TRAINED else None
        dataset = Dataset.load(given or sample_folder(anatomy))
        shown[anatomy] = _detected(anatomy, dataset, encoder)
        print_report(shown[anatomy].report, title=dataset.name, each=False)
    with atomic_write(out, overwrite=overwrite, folder=True) as unfinished:
        everything = [marks for part in shown.values() for marks in part.found]
        write_landmarks(unfinished / "found.csv", everything)
        for anatomy, part in shown.items():
            _write_part(part, unfinished, unfinished / anatomy)
        if training:
            part = shown[TRAINED]
            trained = _train_on_samples(part, encoder, unfinished / RUN)
            title = f"{part.dataset.name}, before and after training"
            _print_before_and_after({"instant": part.report} | trained, title, len(part.images))
        print_info("Drawing the overview …")
        panels = [p for name, part in shown.items() for p in _panels(part, PANELS[name])]
        draw_overview(
            panels,
            unfinished / "overview.png",
            columns=COLUMNS,
            title=f"One annotated image each, instant detection · {encoder.card.title}",
        )
    print_line(
        f"Written to {out}: found.csv, markups/*.mrk.json, overview.png, and for each "
        "anatomy its template and the errors of each landmark."
    )
    if training:
        print_line(
            "The trained model: oneshot-lmk detect --model "
            f"{_shortest(out / RUN)} --out found.csv IMAGES"
        )
    sample = shown["skull"]
    image = sample.dataset.file_of(sample.dataset.others[0]).path
    found = out / "markups" / f"{image.stem}.mrk.json"
    print_line(
        f"Open napari with the same sample: {_napari()} {_shortest(image)} {_shortest(found)}"
    )


def _detected(anatomy: str, dataset: Dataset, encoder: Encoder) -> _Shown:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.evaluation.report import evaluate
    from napari_oneshot_lmk.imaging.reader import read_image

    template = dataset.template()
    detector = Detector.instant(template, encoder=encoder)
    images: list[GrayImage] = []
    found: list[Landmarks] = []
    with counting_bar(f"Detecting on {anatomy} images") as advance:
        advance(0, len(dataset.others))
        for done, name in enumerate(dataset.others, start=1):
            path, spacing = dataset.file_of(name).path, dataset.spacing_mm_yx(name)
            image = read_image(path, spacing_mm_yx=spacing)
            detector.set_image(image)
            found.append(replace(detector.detect(), image=name))
            images.append(image)
            advance(done, len(dataset.others))
    report = evaluate(found, [dataset.truth[name] for name in dataset.others])
    return _Shown(dataset, template, tuple(images), tuple(found), report)


def _write_part(part: _Shown, top: Path, folder: Path) -> None:
    from napari_oneshot_lmk.evaluation.write_report import write_report_files
    from napari_oneshot_lmk.landmarks.files import write_landmarks

    folder.mkdir()
    part.template.save(folder / "template")
    write_report_files(part.report, folder)
    for image, landmarks in zip(part.images, part.found, strict=True):
        name = f"{Path(landmarks.image).stem}.mrk.json"
        # With the image, so that they lie on it in 3D Slicer.
        write_landmarks(top / "markups" / name, [landmarks], source=image.path)


def _panels(part: _Shown, count: int) -> list[Panel]:
    from napari_oneshot_lmk.evaluation.metrics import accuracy
    from napari_oneshot_lmk.evaluation.plots import Panel

    template = part.template
    panels = [Panel(template.image, template.landmarks, None, "template: the annotated image")]
    errors_mm = part.report.table.native_mm()
    order = {image: row for row, image in enumerate(part.report.table.images)}
    for image, found in list(zip(part.images, part.found, strict=True))[: count - 1]:
        mean = accuracy(errors_mm[order[found.image]]).mre_mm
        truth = part.dataset.truth[found.image]
        panels.append(Panel(image, truth, found, f"{Path(found.image).stem}   {mean:.2f} mm"))
    return panels


def _napari() -> str:
    """Return the command that starts napari here, or that gets it first."""
    beside = Path(sys.executable).with_name("napari")
    if beside.exists():
        return _shortest(beside)
    if shutil.which("napari"):
        return "napari"
    return "pip install 'napari[pyside6]' && napari"


def _shortest(path: Path) -> str:
    """Return a path as one would type it from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path.absolute())
