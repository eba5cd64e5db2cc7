"""What a reader gains by correcting a few images, over many draws of them.

Corrected images are further templates, or each landmark's offset from the detection is taken from
them and added to all others, or both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.template_choices import TemplateChoices
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Source
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.corrections import choose_way, point_errors
from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING, Way
from napari_oneshot_lmk.review.next_image import rank_next
from napari_oneshot_lmk.review.offsets import estimate_offsets
from napari_oneshot_lmk.storage.atomic import atomic_write

Floats = NDArray[np.float64]
Choice = tuple[int, int]
"""A draw, and how many of its images are corrected."""
ALONE: Choice = (0, 0)
LIMIT_MM = 2.0
TITLES = [
    "corrected",
    "by",
    "MRE mm",
    "< 2 mm %",
    "gain, points",
    "worst draw",
    "draws that cost",
    "estimated gain",
]


@dataclass(frozen=True)
class Plan:
    """Which images are corrected, which are scored."""

    corrected: tuple[str, ...]
    """Images that may be corrected, in the order of the detector's further templates."""
    scored: tuple[str, ...]
    draws: tuple[tuple[str, ...], ...]
    """Corrected images of each draw, in order."""
    counts: tuple[int, ...]
    """So many of each draw are used."""
    parts: int = 1
    """Each draw is scored on one of so many parts of the images, in turn."""

    @classmethod
    def drawn(
        cls,
        dataset: Dataset,
        counts: Sequence[int],
        draws: int,
        seed: int,
        *,
        training: bool = False,
        parts: int = 1,
        pool: int | None = None,
    ) -> Plan:
        """Draw from the training images, or from so many of them at random; score the test images.

        With ``training``, draw from a random half of the training images and score the other.
        """
        names = [name for name in dataset.train if name != dataset.template_image]
        random = np.random.default_rng(seed)
        scored = dataset.test
        if training:
            order = [names[i] for i in random.permutation(len(names))]
            names, scored = (
                sorted(order[: len(order) // 2]),
                tuple(sorted(order[len(order) // 2 :])),
            )
        if pool is not None:
            names = sorted(names[i] for i in random.permutation(len(names))[:pool])
        most = max(counts)
        chosen = [
            tuple(names[i] for i in random.permutation(len(names))[:most]) for _ in range(draws)
        ]
        used = {name for draw in chosen for name in draw}
        corrected = tuple(name for name in names if name in used)
        return cls(corrected, scored, tuple(chosen), tuple(c for c in counts if c), parts)

    def proposed(self, detector: Detector, dataset: Dataset) -> Plan:
        """Return the plan with one draw: the images that `rank_next` proposes, one by one.

        Each is detected first; with its true points it counts as corrected from then on.
        """
        works: dict[str, Landmarks | None] = {}
        for name in self.corrected:
            spacing = dataset.spacing_mm_yx(name)
            detector.set_image(read_image(dataset.file_of(name).path, spacing_mm_yx=spacing))
            works[name] = detector.detect()
        order: list[str] = []
        for _ in range(max(self.counts)):
            name = rank_next(works, detector.template)[0].key
            found = works[name]
            assert found is not None
            true = [replace(p, source=Source.CORRECTED) for p in dataset.truth[name].placed]
            works[name] = found.with_points(true)
            order.append(name)
        used = tuple(name for name in self.corrected if name in order)
        return replace(self, corrected=used, draws=(tuple(order),), parts=1)

    def choices(self, image: str) -> dict[Choice, tuple[int, ...]]:
        """Return the further templates that an image is detected with, by their places.

        A corrected image is left out of its own detection.
        """
        found: dict[Choice, tuple[int, ...]] = {ALONE: ()}
        is_scored = image in self.scored
        for number, draw in enumerate(self.draws):
            if is_scored and number % self.parts != self.scored.index(image) % self.parts:
                continue
            for count in self.counts:
                if is_scored or image in draw[:count]:
                    others = (name for name in draw[:count] if name != image)
                    found[number, count] = tuple(map(self.corrected.index, others))
        return found

    @property
    def images(self) -> tuple[str, ...]:
        """All images that are detected, the corrected ones first."""
        return (*self.corrected, *self.scored)


@dataclass(frozen=True)
class Found:
    """Points of one image, (N, 2) pixels of the network's grid, by the choice of templates."""

    points: Mapping[Choice, Floats]
    truth: Floats
    mm_per_pixel: Floats
    """(2,), millimetres per network pixel (row, column)."""

    def errors_mm(self, choice: Choice = ALONE, offsets: Floats | float = 0.0) -> Floats:
        """Return the (N,) distances from the truth of points moved by (N, 2) offsets."""
        off = (self.points[choice] + offsets - self.truth) * self.mm_per_pixel
        return np.asarray(np.hypot(off[:, 0], off[:, 1]))


def corrected_template(dataset: Dataset, name: str) -> Template:
    """Return a training image with its true landmarks, as a reader corrects them."""
    image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
    return Template.create(image, dataset.truth[name])


def collect(
    detector: Detector,
    dataset: Dataset,
    plan: Plan,
    folder: Path,
    on_image: Callable[[int, int], None],
) -> Iterator[tuple[str, dict[str, Found]]]:
    """Detect each image with every choice of templates; yield its points by method.

    What is in the folder already is read: an interrupted run goes on.
    """
    key = [plan.corrected, plan.draws, plan.counts, plan.parts, detector.encoder_card.identity]
    points = folder / f"points-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}"
    points.mkdir(parents=True, exist_ok=True)
    for done, name in enumerate(plan.images, start=1):
        choices = plan.choices(name)
        image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
        scale = image.geometry.network_pixels_per_image_pixel_yx
        wanted = sorted({index for chosen in choices.values() for index in chosen})
        spacing = image.geometry.spacing_mm_yx
        assert spacing is not None
        truth = np.array([dataset.truth[name][n].position_yx for n in detector._names])
        truth = image.geometry.points_to_network(truth)
        methods = {"instant": points / f"{Path(name).stem}-instant.npy"}
        if isinstance(detector, TrainedDetector):
            model = detector.model.content_sha256[:8]
            methods[detector.method] = points / f"{Path(name).stem}-{model}.npy"
        if not all(path.exists() for path in methods.values()):
            with torch.inference_mode():
                pyramid = detector.encoder(prepare_image(image, detector.device))
                tried = TemplateChoices(detector, pyramid, wanted)
                _detect(tried, list(choices.values()), list(methods.values()))
        found = {
            method: Found(
                dict(zip(choices, np.load(path), strict=True)), truth, np.array(spacing) / scale
            )
            for method, path in methods.items()
        }
        on_image(done, len(plan.images))
        yield name, found


def _detect(
    tried: TemplateChoices, choices: Sequence[Sequence[int]], files: Sequence[Path]
) -> None:
    """Write the points without training, and those of the model where there is a second file."""
    if not files[0].exists():
        _save(files[0], [tried.instant(chosen) for chosen in choices])
    if len(files) > 1:
        starts = zip(choices, np.load(files[0]), strict=True)
        _save(files[1], [tried.trained(chosen, start) for chosen, start in starts])


def _save(path: Path, points: Sequence[Floats]) -> None:
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.save(file, np.array(points))


@dataclass(frozen=True)
class DrawResult:
    """Errors in mm with the images of one draw corrected."""

    before: Floats
    """(points,), with the template alone."""
    after: Floats
    left_out_before: Floats
    """On the corrected images, each left out in turn."""
    left_out_after: Floats

    @property
    def gain(self) -> float:
        """Points of the share below 2 mm."""
        return _gain(self.before, self.after)

    @property
    def estimated_gain(self) -> float:
        """The same on the corrected images."""
        return _gain(self.left_out_before, self.left_out_after)


def _gain(before: Floats, after: Floats) -> float:
    return 100 * float((after < LIMIT_MM).mean() - (before < LIMIT_MM).mean())


def errors_mm(found: Landmarks, truth: Landmarks) -> Floats:
    """Return the errors in mm of the truth's placed landmarks, (N,), in its order."""
    by_name = dict(zip(found.names, point_errors(found, truth), strict=True))
    return np.array([by_name[point.name] for point in truth.placed])


def subsets(dataset: Dataset, plan: Plan) -> list[tuple[str, list[str]]]:
    """Return what is scored: all images, and those that no training image shows, too."""
    every = list(plan.scored)
    own = [name for name in every if name not in dataset.duplicates]
    titled = [(f"{len(every)} images", every)]
    return titled if own == every else [*titled, (f"{len(own)} of no training radiograph", own)]


def result_of(
    found: Mapping[str, Found], plan: Plan, scored: Sequence[str], choice: Choice, way: Way
) -> DrawResult | None:
    """Score one draw; None where no image of it was detected."""
    number, count = choice
    corrected = [found[name] for name in plan.draws[number][:count]]
    known = [name for name in scored if choice in found[name].points]
    if not known:
        return None
    before = np.concatenate([found[name].errors_mm() for name in known])
    used = choice if way.templates else ALONE
    errors = np.array([one.truth - one.points[used] for one in corrected])
    # One image that is left out leaves no other: its error is that of the template alone.
    shown = way.offsets and not (way.templates and count == 1)

    def offsets(rest: NDArray[np.bool_]) -> Floats | float:
        return estimate_offsets(errors[rest]) if shown and rest.any() else 0.0

    every = np.ones(count, dtype=bool)
    moved = offsets(every)
    after = np.concatenate([found[name].errors_mm(used, moved) for name in known])
    left = [
        one.errors_mm(used, offsets(np.arange(count) != number))
        for number, one in enumerate(corrected)
    ]
    alone = np.concatenate([one.errors_mm() for one in corrected])
    return DrawResult(before, after, alone, np.concatenate(left))


def rows(found: Mapping[str, Found], plan: Plan, scored: Sequence[str]) -> list[list[str]]:
    """Return a row per number of corrected images and way: means over draws."""
    alone = np.concatenate([found[name].errors_mm() for name in scored])
    table = [["0", "", f"{alone.mean():.3f}", f"{100 * (alone < LIMIT_MM).mean():.1f}", *4 * [""]]]
    base, base_mm = 100 * float((alone < LIMIT_MM).mean()), float(alone.mean())
    for count in plan.counts:
        by_way = {
            way: [
                result_of(found, plan, scored, (number, count), way)
                for number in range(len(plan.draws))
            ]
            for way in WITHOUT_TRAINING
        }
        titled = {str(way): results for way, results in by_way.items()}
        if count > 1:
            titled["recommended"] = [
                _recommended(dict(zip(by_way, each, strict=True)), count)
                for each in zip(*by_way.values(), strict=True)
            ]
        for title, results in titled.items():
            each = [result for result in results if result is not None]
            gains = np.array([result.gain for result in each])
            longer = np.array([result.after.mean() - result.before.mean() for result in each])
            estimated = np.array([result.estimated_gain for result in each])
            table.append(
                [
                    str(count),
                    title,
                    f"{base_mm + longer.mean():.3f}",
                    f"{base + gains.mean():.1f}",
                    f"{gains.mean():+.1f}",
                    f"{gains.min():+.1f}",
                    f"{(gains < 0).sum()} of {len(each)}",
                    f"{estimated.mean():+.1f}" if count > 1 else "",
                ]
            )
    return table


def _recommended(by_way: Mapping[Way, DrawResult | None], count: int) -> DrawResult | None:
    """Return what `choose_way` chooses by the corrected images; nothing where none gains."""
    known = {way: result for way, result in by_way.items() if result is not None}
    if not known:
        return None
    one = next(iter(known.values()))
    before = one.left_out_before.reshape(count, -1).mean(1)
    after = {w: r.left_out_after.reshape(count, -1).mean(1) for w, r in known.items()}
    way = choose_way(before, after)
    if way is not None:
        return known[way]
    return DrawResult(one.before, one.before, one.left_out_before, one.left_out_before)
