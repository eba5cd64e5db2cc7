"""Errors of found landmarks in millimetres: images are paired, then points measured.

``native`` errors are distances at the image's own resolution, ``grid384`` those of the
published CC2D evaluation, see `grid384_distances_mm`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.evaluation.error_table import (
    ErrorTable,
    Floats,
    Outcome,
    PointError,
    SpacingSource,
)
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Geometry, checked_spacing
from napari_oneshot_lmk.landmarks.image_names import spellings, stem
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, State
from napari_oneshot_lmk.landmarks.lookup import by_name, first_names, grouped

# SDR compares strictly, and four cells of the published grid are exactly 2.5 mm:
# rounding noise must not decide on which side of a threshold such an error falls.
DECIMALS_MM = 9


@dataclass(frozen=True)
class Pair:
    """The predicted and the true landmarks of one image."""

    predicted: Landmarks
    truth: Landmarks


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of the truth, and the names of images on one side only."""

    pairs: tuple[Pair, ...]
    unmatched_predicted: tuple[str, ...] = ()
    unmatched_truth: tuple[str, ...] = ()


def pair_images(predicted: Sequence[Landmarks], truth: Sequence[Landmarks]) -> Pairing:
    """Pair images by name (``Landmarks.image``), those that remain by stem.

    The form of accents, the kind of slashes and the case of the suffix do not matter. A
    stem is a name without the suffix of an image.

    Raises
    ------
    UsageError
        If a name occurs twice on one side, if a stem that is needed is ambiguous, or if
        no image is on both sides.
    """
    predicted_by_name = by_name(predicted, "predicted")
    truth_by_name = by_name(truth, "true")
    partner = _same_names(predicted_by_name, truth_by_name)

    predicted_stems = grouped(predicted_by_name, stem)
    truth_stems = grouped(truth_by_name, stem)
    taken = set(partner.values())
    for name in truth_by_name:
        candidates = predicted_stems.get(stem(name), [])
        if name in partner or not set(candidates) - taken:
            continue
        # An image that already has a partner of the same name still makes its
        # stem ambiguous: "001.jpg" may be the copy of "a/001.jpg" or "b/001.jpg".
        if len(candidates) > 1 or len(truth_stems[stem(name)]) > 1:
            raise UsageError(
                f"{first_names(truth_stems[stem(name)])} of the truth and "
                f"{first_names(candidates)} of the predictions share the name "
                f"{stem(name)!r}, so it is not clear which belong together",
                remedy="write the same file names, with their folders, in both files",
            )
        partner[name] = candidates[0]
    if not partner:
        raise UsageError(
            f"no image stands in both files (predicted: "
            f"{first_names(predicted_by_name)}; truth: {first_names(truth_by_name)})",
            remedy="check that the image columns hold the same file names",
        )
    used = set(partner.values())
    return Pairing(
        tuple(
            Pair(predicted_by_name[partner[name]], landmarks)
            for name, landmarks in truth_by_name.items()
            if name in partner
        ),
        tuple(name for name in predicted_by_name if name not in used),
        tuple(name for name in truth_by_name if name not in partner),
    )


def _same_names(predicted: Iterable[str], truth: Iterable[str]) -> dict[str, str]:
    """Pair names that are the same path, in whatever spelling."""
    partner: dict[str, str] = {}
    # The same path, then the same path whatever the case of its ending.
    for key in spellings()[:2]:
        taken = set(partner.values())
        free = grouped((name for name in predicted if name not in taken), key)
        left = grouped((name for name in truth if name not in partner), key)
        for path, names in left.items():
            if len(names) == len(free.get(path, ())) == 1:
                partner[names[0]] = free[path][0]
    return partner


def native_distances_mm(found_yx: ArrayLike, true_yx: ArrayLike, geometry: Geometry) -> Floats:
    """Return the (N,) distances in mm between (N, 2) points in image pixels."""
    return np.round(geometry.distances_mm(found_yx, true_yx), DECIMALS_MM)


def grid384_distances_mm(found_yx: ArrayLike, true_yx: ArrayLike, geometry: Geometry) -> Floats:
    """Return the (N,) errors in mm of (N, 2) points as the published CC2D evaluation has them.

    CC2D compares integer cells of a 384 x 384 grid that covers the image: its prediction
    is the index of a cell, its truth is scaled to the grid and truncated, a cell measures
    ``spacing * size / 384`` mm along each axis, and thresholds compare strictly. Errors
    therefore lie on a lattice; on cephalograms of 1935 x 2400 pixels at 0.1 mm a cell is
    0.504 x 0.625 mm, and SDR at 2.5 mm is two to three points lower than at native
    resolution.

    Here both points go to the cell that contains them, ``floor((p + 0.5) * 384 / size)``
    for pixel centres at integers. The published code drops the half pixel (0.1 cell), for
    the truth only; this form does not depend on the resolution at which an image is
    stored, and gives a perfect detector an error of zero. On 150 cephalograms the two
    differ by 0.002 mm in MRE and by less than 0.4 points in SDR. Cells outside the grid
    are moved to its border.

    References
    ----------
    Yao et al., "One-Shot Medical Landmark Detection", MICCAI 2021, and its
    public code.
    """
    on_384 = geometry.with_network_shape(NETWORK_SHAPE_YX)
    last_cell = np.array(NETWORK_SHAPE_YX) - 1
    found, true = (
        on_384.points_from_network(
            np.clip(np.floor(on_384.points_to_network(points) + 0.5), 0, last_cell)
        )
        for points in (found_yx, true_yx)
    )
    return np.round(on_384.distances_mm(found, true), DECIMALS_MM)


def measure_errors(
    pairing: Pairing, spacing_mm_yx: float | tuple[float, float] | None = None
) -> ErrorTable:
    """Measure every landmark of every paired image.

    Parameters
    ----------
    pairing : Pairing
        From `pair_images`.
    spacing_mm_yx : float or pair of float, optional
        Millimetres per pixel, (row, column), for all images. Otherwise each
        image's own spacing: the truth's, else the predictions'.

    Raises
    ------
    GeometryError
        If an image's spacing is unknown or makes no sense, or the two sides describe
        images of different sizes.
    UsageError
        If no landmark name is on both sides.
    """
    given = checked_spacing(spacing_mm_yx)
    names = tuple(dict.fromkeys(n for pair in pairing.pairs for n in pair.truth.names))
    if not any(n in names for pair in pairing.pairs for n in pair.predicted.names):
        what = "no landmark name stands in both files"
        raise UsageError(what, remedy="check that the landmark columns hold the same names")
    _require_spacing(pairing, given)
    points: list[PointError] = []
    sources: set[SpacingSource] = set()
    sizes_unknown: list[str] = []
    for pair in pairing.pairs:
        geometry, source, size_known = _geometry(pair, given)
        sources.add(source)
        if not size_known:
            sizes_unknown.append(pair.truth.image)
        points += _point_errors(pair, geometry, size_known)
    images = tuple(pair.truth.image for pair in pairing.pairs)
    return ErrorTable(tuple(points), images, names, frozenset(sources), tuple(sizes_unknown))


def _point_errors(pair: Pair, geometry: Geometry, size_known: bool) -> list[PointError]:
    by_name = {point.name: point for point in pair.predicted}
    compared = []
    for true in pair.truth:
        found = by_name.get(true.name) or Landmark(true.name, None, State.SKIPPED)
        compared.append((found, true, _outcome(found, true)))
    scored = [(f.position_yx, t.position_yx) for f, t, o in compared if o is Outcome.SCORED]
    found_yx, true_yx = np.array(scored, dtype=np.float64).reshape(-1, 2, 2).swapaxes(0, 1)
    native = iter(native_distances_mm(found_yx, true_yx, geometry).tolist())
    on_grid = grid384_distances_mm(found_yx, true_yx, geometry).tolist() if size_known else ()
    grid384 = iter(on_grid)
    return [
        PointError(
            pair.truth.image,
            true.name,
            outcome,
            next(native) if outcome is Outcome.SCORED else None,
            next(grid384, None) if outcome is Outcome.SCORED else None,
            found.position_yx,
            true.position_yx,
            found.score,
            found.unsure,
            found.lengths(geometry)["radius_90_mm"],
        )
        for found, true, outcome in compared
    ]


def _outcome(found: Landmark, true: Landmark) -> Outcome:
    if true.state is State.SKIPPED:
        return Outcome.NOT_ANNOTATED
    if true.state is State.ABSENT:
        return Outcome.FALSE_FOUND if found.state is State.PLACED else Outcome.RIGHTLY_ABSENT
    return {
        State.PLACED: Outcome.SCORED,
        State.ABSENT: Outcome.FALSE_ABSENT,
        State.SKIPPED: Outcome.MISSED,
    }[found.state]


def _require_spacing(pairing: Pairing, given: tuple[float, float] | None) -> None:
    unknown = [
        pair.truth.image
        for pair in pairing.pairs
        if not any(s.geometry and s.geometry.spacing_mm_yx for s in (pair.truth, pair.predicted))
    ]
    if unknown and given is None:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise GeometryError(
            f"the pixel spacing of {unknown[0]}{others} is unknown, so errors cannot "
            "be given in millimetres",
            remedy="give it in millimetres per pixel, for example --spacing 0.1",
        )


def _geometry(
    pair: Pair, given: tuple[float, float] | None
) -> tuple[Geometry, SpacingSource, bool]:
    """Return an image's geometry, where its spacing is from, and whether its size is known."""
    sides = {
        SpacingSource.TRUTH: pair.truth.geometry,
        SpacingSource.PREDICTED: pair.predicted.geometry,
    }
    known = {side: geometry for side, geometry in sides.items() if geometry is not None}
    if len({geometry.image_shape_yx for geometry in known.values()}) > 1:
        true, found = (" x ".join(map(str, g.image_shape_yx[::-1])) for g in known.values())
        raise GeometryError(
            f"the truth describes an image of {true} pixels, the predictions one of {found}",
            file=pair.truth.image,
            remedy="detect and annotate on the same version of the image",
        )
    spacings = {SpacingSource.GIVEN: given} | {s: g.spacing_mm_yx for s, g in known.items()}
    source = next(source for source, spacing in spacings.items() if spacing is not None)
    # Native distances need no image size; the 384 grid does.
    geometry = next(iter(known.values()), Geometry((1, 1)))
    return geometry.with_spacing(spacings[source]), source, bool(known)
