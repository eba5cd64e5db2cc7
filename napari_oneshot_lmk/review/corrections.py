"""What corrected images are worth for all others, measured on themselves.

Corrected images serve as further templates, or each landmark's offset is taken from them and
added to what is found on all others, or both; or a model is fine-tuned on them. Each is left out
in turn: the others have to help it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.points_on_image import (
    Offsets,
    moved_landmarks,
    points_on_network,
)
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING, Way
from napari_oneshot_lmk.review.offsets import estimate_offsets

Floats = NDArray[np.float64]
LIMIT_MM = 2.0
"""Distance that counts as found, where millimetres are known."""
MOVED = 0.1
"""Points that come nearer or go further away by less, in mm or pixels, stay."""
SIMPLEST_FIRST = (Way.TEMPLATES, Way.OFFSETS, Way.BOTH)
"""Of the ways that need no training."""


@dataclass(frozen=True)
class LeftOutPoints:
    """One corrected image, detected as if it were not."""

    template: Template
    """The image, with a person's points."""
    alone: Landmarks
    """Found with the template alone."""
    rest: Landmarks
    """Found with all corrected images but this one as further templates."""
    tuned: Landmarks | None = None
    """As ``alone``, by a model that was fine-tuned without it; None where that was not tried."""
    tuned_rest: Landmarks | None = None
    """As ``rest``, by the same model."""

    def off_yx(self, way: Way, names: Sequence[str]) -> Floats:
        """Return the person's points minus those found, (N, 2).

        In pixels of the network's grid, in the template's orientation; NaN where one of both is
        not placed.
        """
        found = self.rest if way.templates else self.alone
        wanted = points_on_network(self.template.landmarks, names, like=found)
        return wanted - points_on_network(found, names)


@dataclass(frozen=True)
class LeftOut:
    """Errors on one corrected image, without the others' help and with it.

    Distances of each landmark from where the person has it, in mm, or in pixels where the
    spacing is unknown; NaN where one of both is not placed.
    """

    image: str
    unit: str
    before: Floats
    """(N,), with the template alone."""
    after: Mapping[Way, Floats]
    """(N,), with the help of other corrected images; without ways that were not tried on it."""


@dataclass(frozen=True)
class Gain:
    """What the corrected images gain together, over all that were left out in turn."""

    way: Way
    unit: str
    images: int
    points: int
    mean_before: float
    mean_after: float
    within_before: float | None
    """Share of points closer than 2 mm, in per cent; None where millimetres are unknown."""
    within_after: float | None
    better: int
    """Points that came nearer by more than a tenth of the unit."""
    worse: int
    """Points that went further away by more than that."""


def detect_left_out(detector: Detector) -> Iterator[LeftOutPoints]:
    """Detect on each of a detector's further templates as if it were not corrected yet.

    Each image is encoded once.

    Parameters
    ----------
    detector : Detector
        With the corrected images as its ``further`` templates, and without offsets.
    """
    for template in detector.further:
        rest = detector.with_further([t for t in detector.further if t is not template])
        rest.set_image(template.image)
        alone = rest.with_further([])
        before, after = alone.detect(), rest.detect()
        yield LeftOutPoints(template, before, after)


def left_out_errors(images: Sequence[LeftOutPoints]) -> list[LeftOut]:
    """Compare what was found on each corrected image with where the person has the points.

    An image's own error is no part of the offsets that it is moved by. With `Way.BOTH` the other
    images, from which these offsets are, were detected with this one among the templates.
    """
    results = []
    for number, one in enumerate(images):
        others = [each for i, each in enumerate(images) if i != number]
        after = {Way.TEMPLATES: one.rest}
        for way, found in ((Way.OFFSETS, one.alone), (Way.BOTH, one.rest)):
            after[way] = moved_landmarks(found, learnt_offsets(others, way))
        if one.tuned is not None and one.tuned_rest is not None:
            after |= {Way.TUNED: one.tuned, Way.TUNED_TEMPLATES: one.tuned_rest}
        truth = one.template.landmarks
        results.append(
            LeftOut(
                one.template.image.name,
                "px" if one.template.image.geometry.spacing_mm_yx is None else "mm",
                point_errors(one.alone, truth),
                {way: point_errors(each, truth) for way, each in after.items()},
            )
        )
    return results


def learnt_offsets(images: Sequence[LeftOutPoints], way: Way) -> Offsets:
    """Return what corrected images show that points on other images have to be moved by.

    By landmark, as `Detector.with_offsets` takes them; without those that stay.
    """
    if not way.offsets or not images:
        return {}
    names = images[0].alone.names
    moves = estimate_offsets([each.off_yx(way, names) for each in images])
    return {name: (float(y), float(x)) for name, (y, x) in zip(names, moves, strict=True) if y or x}


def gain(images: Sequence[LeftOut], way: Way) -> tuple[Gain, ...]:
    """Sum up a way, once for the images with millimetres and once for those without."""
    gains = []
    for unit in ("mm", "px"):
        chosen = [image for image in images if image.unit == unit and way in image.after]
        if not chosen:
            continue
        before = np.concatenate([image.before for image in chosen])
        after = np.concatenate([image.after[way] for image in chosen])
        known = np.isfinite(before) & np.isfinite(after)
        before, after = before[known], after[known]
        moved = after - before
        gains.append(
            Gain(
                way,
                unit,
                len(chosen),
                int(known.sum()),
                _mean(before),
                _mean(after),
                100 * _mean(before < LIMIT_MM) if unit == "mm" else None,
                100 * _mean(after < LIMIT_MM) if unit == "mm" else None,
                int((moved < -MOVED).sum()),
                int((moved > MOVED).sum()),
            )
        )
    return tuple(gains)


def recommended(images: Sequence[LeftOut]) -> Way | None:
    """Return the way to help other images, by what it gains on these; None if none gains.

    Fine-tuning is never recommended: it was not measured to gain more than further templates.
    See `choose_way`.
    """
    rows, units = [], []
    for image in images:
        errors = np.stack([image.before, *(image.after[way] for way in WITHOUT_TRAINING)])
        known = np.isfinite(errors).all(0)
        if known.any():
            rows.append(errors[:, known].mean(1))
            units.append(image.unit)
    means = np.array(rows).reshape(-1, 1 + len(WITHOUT_TRAINING))
    for unit in set(units):
        # Pixels and millimetres are compared as shares of their mean error before.
        alike = np.array(units) == unit
        means[alike] /= means[alike, 0].mean() or 1.0
    return choose_way(means[:, 0], dict(zip(WITHOUT_TRAINING, means[:, 1:].T, strict=True)))


def choose_way(before: Floats, after: Mapping[Way, Floats]) -> Way | None:
    """Choose by the mean errors of some images, (I,), each left out.

    The simplest of the ways that are no worse than the best by more than the standard error of
    the difference (Breiman et al. 1984, section 3.4.3), of those that gain at all. Offsets on top
    of further templates are the least simple: they were seen to take away what these gain.
    """
    gaining = [way for way in SIMPLEST_FIRST if len(before) and after[way].mean() < before.mean()]
    if not gaining:
        return None
    best = after[min(gaining, key=lambda way: float(after[way].mean()))]

    def is_as_good(way: Way) -> bool:
        apart = after[way] - best
        error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else 0.0
        return bool(apart.mean() <= error)

    return next(filter(is_as_good, gaining))


def point_errors(found: Landmarks, truth: Landmarks) -> Floats:
    """Return the distance of each found landmark from where a person has it, (N,).

    In mm where the spacing is known, else in pixels; NaN where one of both is not placed.
    """
    placed = {point.name: point.position_yx for point in truth.placed}
    missing = (np.nan, np.nan)
    points = np.array([point.position_yx or missing for point in found], dtype=float)
    wanted = np.array([placed.get(point.name) or missing for point in found], dtype=float)
    geometry = found.geometry
    if geometry is None or geometry.spacing_mm_yx is None:
        return np.asarray(np.hypot(*(points - wanted).T))
    return geometry.distances_mm(points, wanted)


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")
