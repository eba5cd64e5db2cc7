"""What a person still has to look at on an image, derived from its landmarks alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.annotation import Annotation

LARGEST_RESIDUAL = 0.1
"""Shape residual from which on a point is named, as a fraction of the template's size (the root
mean square distance of its landmarks from their centre)."""
ORDER_MARGIN = 0.15
"""Landmarks that lie closer together on the template have no order, and landmarks that lie no
further on the wrong side violate none; in the same unit."""
ALL_REVERSED = 0.8
"""Share of pairs of an axis that are reversed, from which on the image is mirrored along it."""
FEWEST_PAIRS = 3
"""Pairs of an axis that can say so."""
BORDER = 0.01
"""Width of an image's border, as a fraction of its longer side."""


class ReviewState(StrEnum):
    """How far an image is."""

    TO_DO = "to do"  # nothing was detected or placed
    DETECTED = "detected"  # nobody has decided on a landmark
    CORRECTED = "corrected"  # somebody has decided on some landmarks
    ACCEPTED = "accepted"  # somebody has decided on every landmark


class Reason(StrEnum):
    """Why a person should look at a landmark."""

    UNSURE = "unsure"  # the detector says so
    SHAPE = "shape"  # far from where the other landmarks expect it
    ORDER = "order"  # left and right, or top and bottom, are not as on the template
    BORDER = "border"  # at the image's border, where the template has it further inside
    ABSENT = "absent"  # on the template, but not on this image, and nobody has said so


@dataclass(frozen=True)
class ImageStatus:
    """How far an image is, and what is to be looked at on it."""

    state: ReviewState
    reviewers: tuple[str, ...] = ()
    """Who has decided on its landmarks, each once, in the landmarks' order."""
    unsure: int = 0
    """Number of unsure points."""
    reasons: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    """Landmarks to be looked at -> why; only those that nobody has decided on."""
    badness: float = 0.0
    """Number of landmarks to be looked at, plus a fraction that grows as scores fall."""


@dataclass(frozen=True)
class Filter:
    """Which images to show; what is empty lets everything through."""

    states: frozenset[ReviewState] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    landmark: str = ""
    """An image is shown if this landmark has one of the reasons (any, where none is given)."""

    def lets_through(self, status: ImageStatus) -> bool:
        """Say whether an image is shown."""
        if self.states and status.state not in self.states:
            return False
        if not self.reasons and not self.landmark:
            return True
        each = status.reasons
        named = [each.get(self.landmark, ())] if self.landmark else list(each.values())
        return any(reasons and (not self.reasons or self.reasons & {*reasons}) for reasons in named)


@dataclass(frozen=True)
class Counts:
    """Numbers over many images."""

    images: int
    states: Mapping[ReviewState, int]
    """Images in each state."""
    unsure: int
    """Unsure points."""
    reasons: Mapping[Reason, int]
    """Landmarks with each reason."""
    landmarks: Mapping[str, int]
    """Images on which a landmark is to be looked at."""


def status_of(landmarks: Landmarks | None, template: Template | None) -> ImageStatus:
    """Derive the status of an image.

    Parameters
    ----------
    landmarks : Landmarks or None
        Of the image, positions in its pixels; None where there are none yet.
    template : Template or None
        That they were, or are to be, detected with. Without it, shape, order and border say
        nothing.
    """
    if landmarks is None or Annotation(landmarks).is_empty:
        return ImageStatus(ReviewState.TO_DO)
    decided = _decided(landmarks)
    expected = set() if template is None else {p.name for p in template.landmarks.placed}
    left = {point.name for point in landmarks.placed} | expected
    state = ReviewState.DETECTED
    if decided:
        state = ReviewState.CORRECTED if left - decided else ReviewState.ACCEPTED
    found = {p.name: p for p in landmarks.placed if p.name not in decided}
    reasons: dict[str, list[Reason]] = {name: [] for name in landmarks.names}
    for name, point in found.items():
        if point.unsure:
            reasons[name].append(Reason.UNSURE)
    if template is not None:
        for name in _far_from_shape(found, template):
            reasons[name].append(Reason.SHAPE)
        for name in _out_of_order(landmarks, template, decided):
            reasons[name].append(Reason.ORDER)
        for name in _at_border(landmarks, template) & set(found):
            reasons[name].append(Reason.BORDER)
        for point in template.landmarks.placed:
            if point.name not in found and point.name not in decided:
                reasons.setdefault(point.name, []).append(Reason.ABSENT)
    named = {name: tuple(each) for name, each in reasons.items() if each}
    doubts = [1.0 - (p.score or 0.0) for p in found.values()]
    return ImageStatus(
        state,
        _reviewers(landmarks, decided),
        sum(point.unsure for point in found.values()),
        named,
        # The mean of doubts is below 1 unless nothing was found at all.
        len(named) + min(float(np.mean(doubts)), 0.999) if doubts else float(len(named)),
    )


def names_to_look_at(landmarks: Landmarks, template: Template | None) -> tuple[str, ...]:
    """Name the landmarks that have a reason to be looked at, in their order.

    Parameters as in `status_of`.
    """
    reasons = status_of(landmarks, template).reasons
    return tuple(name for name in landmarks.names if name in reasons)


def worst_first(statuses: Mapping[str, ImageStatus]) -> tuple[str, ...]:
    """Return the images' ids: most to look at first; equal ones stay in their order."""
    return tuple(sorted(statuses, key=lambda image: -statuses[image].badness))


def count(statuses: Iterable[ImageStatus]) -> Counts:
    """Sum up."""
    each = list(statuses)
    states = Counter(status.state for status in each)
    landmarks = Counter(name for status in each for name in status.reasons)
    reasons = Counter(
        reason for status in each for named in status.reasons.values() for reason in named
    )
    return Counts(
        len(each),
        {state: states[state] for state in ReviewState},
        sum(status.unsure for status in each),
        {reason: reasons[reason] for reason in Reason},
        dict(landmarks.most_common()),
    )


def decided_landmarks(landmarks: Landmarks) -> Landmarks:
    """Return the landmarks without the positions that nobody has decided on."""
    decided = _decided(landmarks)
    return landmarks.with_points(
        point
        if point.name in decided or point.state is not State.PLACED
        else Landmark(point.name, None, State.SKIPPED, description=point.description)
        for point in landmarks
    )


def _decided(landmarks: Landmarks) -> set[str]:
    annotation = Annotation(landmarks)
    return {name for name in landmarks.names if annotation.is_manual(name)}


def _reviewers(landmarks: Landmarks, decided: set[str]) -> tuple[str, ...]:
    whole = landmarks.provenance.author
    authors = (point.author or whole for point in landmarks if point.name in decided)
    return tuple(dict.fromkeys(author for author in authors if author))


def _far_from_shape(found: Mapping[str, Landmark], template: Template) -> list[str]:
    geometry = template.image.geometry
    if geometry.spacing_mm_yx is None:
        return []
    placed = template.landmarks.with_points(template.landmarks.placed)
    largest = LARGEST_RESIDUAL * _size(geometry.points_to_mm(placed.positions_yx))
    return [n for n, p in found.items() if (p.shape_residual_mm or 0.0) > largest]


def _out_of_order(landmarks: Landmarks, template: Template, decided: set[str]) -> list[str]:
    """Name the fewest landmarks that explain all pairs whose order is not the template's.

    A pair has an order along the axis on which it is further apart on the template, so that
    images which are turned by less than 45 degrees violate none. It is violated by points that
    lie clearly on the other side of one another, not by those that lie close together: anatomy
    varies as much. Where nearly all pairs of an axis are the other way round, it is the image
    that lies otherwise.
    """
    known = {point.name: point for point in template.landmarks.placed}
    here = [point for point in landmarks.placed if point.name in known]
    if len(here) < 2:
        return []
    theirs = np.array([known[point.name].position_yx for point in here])
    theirs = theirs * (template.image.geometry.spacing_mm_yx or (1.0, 1.0))
    ours = np.array([point.position_yx for point in here])
    ours = _turned_back(ours, landmarks.provenance.orientation)
    wanted, is_yx = (
        (each[:, None] - each[None]) / max(_size(each), 1e-9) for each in (theirs, ours)
    )
    length = np.abs(wanted)
    ordered = (length > ORDER_MARGIN) & (length > length[..., ::-1])
    # (2,) by axis: rows, columns; each pair counts twice.
    pairs = ordered.sum((0, 1))
    reversed_ = (ordered & (wanted * is_yx < 0)).sum((0, 1))
    mirrored = (reversed_ > ALL_REVERSED * pairs) & (pairs >= 2 * FEWEST_PAIRS)
    is_yx = np.where(mirrored, -is_yx, is_yx)
    wrong = (ordered & (wanted * is_yx < 0) & (np.abs(is_yx) > ORDER_MARGIN)).any(2)
    open_ = np.array([point.name not in decided for point in here])
    wrong &= open_[:, None] | open_[None]
    named = []
    while wrong.any():
        violated = np.where(open_, wrong.sum(1), 0)
        # Of two that have changed places both are named.
        worst = violated == violated.max()
        named += [here[i].name for i in np.flatnonzero(worst)]
        wrong[worst], wrong[:, worst] = False, False
    return named


def _turned_back(points_yx: NDArray[np.float64], orientation: str) -> NDArray[np.float64]:
    """Turn points of an image that lies mirrored or turned, about the first pixel.

    The words are those of `detection.orientation.Orientation`, which needs torch.
    """
    degrees = re.search(r"turned (\d+) degrees", orientation)
    for _ in range(int(degrees[1]) // 90 if degrees else 0):
        points_yx = np.stack([-points_yx[:, 1], points_yx[:, 0]], 1)
    return points_yx * (1, -1) if "mirrored" in orientation else points_yx


def _at_border(landmarks: Landmarks, template: Template) -> set[str]:
    """Name what lies at the border, but not on the template."""
    if landmarks.geometry is None:
        return set()
    here = _nearly_outside(landmarks, landmarks.geometry.image_shape_yx)
    return here - _nearly_outside(template.landmarks, template.image.geometry.image_shape_yx)


def _nearly_outside(landmarks: Landmarks, shape_yx: tuple[int, int]) -> set[str]:
    last, width = np.array(shape_yx) - 1.0, BORDER * max(shape_yx)
    points = [(point.name, np.array(point.position_yx)) for point in landmarks.placed]
    return {name for name, yx in points if (yx < width).any() or (yx > last - width).any()}


def _size(points: NDArray[np.float64]) -> float:
    """Root mean square distance of (N, 2) points from their centre."""
    centred = points - points.mean(0)
    return float(np.sqrt((centred**2).sum(1).mean()))
