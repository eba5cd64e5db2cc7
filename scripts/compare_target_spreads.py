"""Compare spreads of the fine stage's targets: fixed ones, the best of each landmark, adaptive.

::

    python scripts/compare_target_spreads.py --data DATA --test OTHER --out OUT \
        [--preset FILE] [--spreads 1,2,3,4] [--seeds 1,2] [--landmarks NAME,NAME] \
        [--encoder-weights VGG19.safetensors]

The fine stage follows detection without training. It is trained on all images of ``DATA`` but the
template, without their landmarks, and scored on the images of ``OTHER``, or of ``DATA``'s test
split. Each training has a file in ``OUT``, and is not repeated where that is there. Two rows of
the table choose a fixed spread for each landmark: by held-out copies of the template, which
reads no other annotation, and by the errors on the scored images, which is a bound and no result.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.device import autocast, resolve_precision
from napari_oneshot_lmk.encoders.select import instant_encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.matching.crops import soft_argmax
from napari_oneshot_lmk.training.dataset import Inspection, TrainingSet
from napari_oneshot_lmk.training.events import EpochEnded
from napari_oneshot_lmk.training.fine import TrainedStage, train_fine
from napari_oneshot_lmk.training.fine_crops import CropSampler
from napari_oneshot_lmk.training.fine_images import Found, find_coarse
from napari_oneshot_lmk.training.preset import Preset

ADAPTIVE = "adaptive"
COPIES = 32
"""Held-out crops of a landmark that a spread is searched by, others than those of a training."""
COPIES_SEED = 2**20
"""Added to that of the training."""
CHOSEN = ("best fixed, held-out copies", "best fixed, scored images (bound)")


class Comparison:
    """Trains with one spread after another, and scores each."""

    def __init__(
        self,
        detector: Detector,
        data: Dataset,
        other: Dataset | None,
        landmarks: Sequence[str] = (),
    ) -> None:
        self.detector = detector
        placed = [point.name for point in detector.template.landmarks.placed]
        self.rows = [i for i, name in enumerate(placed) if not landmarks or name in landmarks]
        self.names = [placed[row] for row in self.rows]
        own = [file.name for file in data.images if file.name != data.template_image]
        learning = own if other else [name for name in data.train if name != data.template_image]
        self.images = _inspected(detector, data, learning)
        self.scored = other or data
        scored = [file.name for file in other.images] if other else list(data.test)
        self.test = _inspected(detector, self.scored, scored)
        self.coarse: list[Found] = []

    def run(self, preset: Preset, seed: int) -> pd.DataFrame:
        """Train once; return a row per scored point, before (coarse) and after in mm."""
        begun = time.monotonic()
        events = train_fine(self.detector, self.images, preset, seed, landmarks=self.names)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                trained: TrainedStage = end.value
                break
            if isinstance(event, EpochEnded):
                losses = ", ".join(f"{k} {v:.2f}" for k, v in event.losses.items())
                print(f"  epoch {event.epoch} of {event.epochs}: {losses}", flush=True)
        seconds = time.monotonic() - begun
        held_out = self._held_out_px(trained, preset, seed)
        rows = self._rows(trained)
        rows["held_out_px"] = rows["landmark"].map(held_out)
        rows["spread_px"] = rows["landmark"].map(
            dict(zip(self.names, trained.stage.card.target_sds_px, strict=True))
        )
        rows["seconds"] = seconds
        return rows

    def _rows(self, trained: TrainedStage) -> pd.DataFrame:
        stage = trained.stage
        if not self.coarse:
            self.coarse = list(find_coarse(self.detector, stage.grid, self.test))
        rows = []
        for image, found in zip(self.test.usable, self.coarse, strict=True):
            truth = self.scored.truth[image.name]
            shape_yx = np.array(found.pixels.shape[-2:])
            found_yx = found.points_yx[self.rows]
            start = torch.from_numpy(found_yx * shape_yx - 0.5).float()
            with torch.inference_mode():
                pixels = found.pixels.float() / 255
                seen = stage(pixels, start, torch.arange(len(self.names)))
            seen_yx = (seen.double().numpy() + 0.5) / shape_yx
            share = np.array(stage.card.shares)[:, None]
            after_yx = found_yx + share * (seen_yx - found_yx)
            spacing = self.scored.spacing_mm_yx(image.name) or image.spacing_mm_yx
            size_mm = np.array(image.shape_yx) * spacing
            for k, name in enumerate(self.names):
                if name not in truth or truth[name].position_yx is None:
                    continue
                true_yx = (np.array(truth[name].position_yx) + 0.5) / image.shape_yx
                away = [each[k] - true_yx for each in (found_yx, after_yx, seen_yx)]
                before, after, alone = (float(np.hypot(*(each * size_mm))) for each in away)
                rows.append((image.name, name, before, after, alone))
        columns = ["image", "landmark", "coarse_mm", "error_mm", "alone_mm"]
        return pd.DataFrame(rows, columns=columns)

    def _held_out_px(self, trained: TrainedStage, preset: Preset, seed: int) -> dict[str, float]:
        """Return each landmark's mean error on crops of the template that nothing has seen."""
        template, stage = self.detector.template, trained.stage
        placed = template.landmarks.with_points(template.landmarks.placed)
        at_yx = (placed.positions_yx + 0.5) / template.image.geometry.image_shape_yx
        pixels = stage.grid.prepare(template.image)
        rows = tuple(self.rows)
        sampler = CropSampler(preset.fine, [pixels], at_yx, rows, seed + COPIES_SEED)
        crops, landmarks, offsets_yx = sampler.held_out(COPIES)
        device = torch.device("cpu")
        apart = []
        with torch.inference_mode(), autocast(device, resolve_precision(device, "auto")):
            for part, each, true in zip(
                crops.split(64), landmarks.split(64), offsets_yx.split(64), strict=True
            ):
                found = soft_argmax(stage.network(part, each).float(), preset.fine.window)
                apart.append((found - true).norm(dim=1))
        means = torch.cat(apart).view(len(self.names), -1).mean(1).tolist()
        return dict(zip(self.names, means, strict=True))


def _inspected(detector: Detector, data: Dataset, names: Sequence[str]) -> TrainingSet:
    stated = data.description.spacing_mm
    # Where each image has its own, files say it or it stays unknown, as in practice.
    spacing_mm_yx = None if isinstance(stated, dict) else checked_spacing(stated)
    inspection = Inspection(detector.template, spacing_mm_yx)
    for name in names:
        inspection.inspect(data.file_of(name))
    return inspection.result()


def summary(runs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per setting of the trainings (one seed) and for the best fixed spreads."""
    runs = dict(runs)
    fixed = pd.concat(
        [run.assign(setting=name) for name, run in runs.items() if name != ADAPTIVE]
    ).reset_index(drop=True)
    means = fixed.groupby(["landmark", "setting"], sort=False)[["held_out_px", "error_mm"]].mean()
    for title, column in zip(CHOSEN, ("held_out_px", "error_mm"), strict=True):
        best = set(means.groupby("landmark", sort=False)[column].idxmin())
        places = zip(fixed["landmark"], fixed["setting"], strict=True)
        runs[title] = fixed[[place in best for place in places]]
    rows = {}
    for name, run in runs.items():
        error = run["error_mm"]
        rows[name] = {
            "before: MRE mm": run["coarse_mm"].mean(),
            "MRE mm": error.mean(),
            "median mm": error.median(),
            "SDR 1 mm %": 100 * (error < 1).mean(),
            "SDR 2 mm %": 100 * (error < 2).mean(),
            "fine alone: MRE mm": run["alone_mm"].mean(),
            "held-out copies px": run["held_out_px"].mean(),
            "seconds": run["seconds"].mean(),
        }
    return pd.DataFrame(rows).T


def _print_table(tables: list[pd.DataFrame]) -> None:
    mean = sum(tables[1:], tables[0]) / len(tables)
    print(f"| setting | {' | '.join(mean.columns)} |")
    print(f"|{'---|' * (len(mean.columns) + 1)}")
    for name, row in mean.iterrows():
        cells = [f"{v:.1f}" if "%" in c else f"{v:.3f}" for c, v in row.items()]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Train what is not there yet, and print the table as Markdown, a mean over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--spreads", default="1,2,3,4")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--landmarks", default="", help="only these; by default all")
    parser.add_argument("--encoder-weights", type=Path, help="by default the shipped encoder")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    data = Dataset.load(chosen.data)
    weights = chosen.encoder_weights
    device = torch.device("cpu")
    encoder = instant_encoder(weights, "cpu") if weights else shipped_encoder(device)
    other = Dataset.load(chosen.test) if chosen.test else None
    landmarks = [name for name in chosen.landmarks.split(",") if name]
    comparison = Comparison(Detector(data.template(), encoder), data, other, landmarks)
    preset = Preset.load(chosen.preset)
    settings = {
        f"{float(spread):g} px": preset.changed({"fine.target_sd_px": float(spread)})
        for spread in chosen.spreads.split(",")
    }
    settings[ADAPTIVE] = preset.changed({"fine.target_precision": ADAPTIVE})
    tables = []
    for seed in map(int, chosen.seeds.split(",")):
        runs = {}
        for name, numbers in settings.items():
            file = chosen.out / f"{name.replace(' ', '')}-{seed}.csv"
            if not file.exists():
                print(f"{name}, seed {seed}", flush=True)
                comparison.run(numbers, seed).to_csv(file, index=False)
            runs[name] = pd.read_csv(file)
        tables.append(summary(runs))
        print(f"seed {seed}")
        _print_table(tables[-1:])
    if len(tables) > 1:
        print("mean of all seeds")
        _print_table(tables)


if __name__ == "__main__":
    main()
