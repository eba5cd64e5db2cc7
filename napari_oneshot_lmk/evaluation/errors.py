"""How far found landmarks lie from the true ones, in millimetres.

Two scorings stand side by side:

``native``
    The distance between the points as they are, at the image's own resolution.
``grid384``
    The published CC2D evaluation, see `grid384_distances_mm`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.evaluation.pairing import Pair, Pairing
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Geometry, checked_spacing
from napari_oneshot_lmk.landmarks.landmark import Landmark, State

Floats = NDArray[np.float64]

# SDR compares strictly, and four cells of the published grid are exactly 2.5 mm:
# rounding noise must not decide on which side of a threshold such an error falls.
DECIMALS_MM = 9


class Outcome(StrEnum):
    """What became of one landmark of the truth."""

    SCORED = "scored"
    """Placed by both; it has an error."""
    MISSED = "missed"
    """True position known, nothing found: skipped, or not in the predictions."""
    FALSE_ABSENT = "false_absent"
    """True position known, but said to be absent."""
    FALSE_FOUND = "false_found"
    """Absent in truth, but a position was found."""
    RIGHTLY_ABSENT = "rightly_absent"
    """Absent in truth, and no position was found."""
    NOT_ANNOTATED = "not_annotated"
    """The truth says nothing."""


class SpacingSource(StrEnum):
    """Where the pixel spacing of an image was found."""

    GIVEN = "given"
    TRUTH = "truth file"
    PREDICTED = "predicted file"


@dataclass(frozen=True)
class PointError:
    """One landmark on one image.

    Parameters
    ----------
    image, landmark : str
        Names as in the truth.
    outcome : Outcome
        Only SCORED points have errors.
    native_mm, grid384_mm : float, optional
        Error in millimetres; ``grid384_mm`` is None where the image's size is
        unknown.
    found_yx, true_yx : tuple of float, optional
        (row, column) in image pixels.
    score : float, optional
        Confidence of the found point.
    unsure : bool
        Whether the detector asked for a second look.
    """

    image: str
    landmark: str
    outcome: Outcome
    native_mm: float | None = None
    grid384_mm: float | None = None
    found_yx: tuple[float, float] | None = None
    true_yx: tuple[float, float] | None = None
    score: float | None = None
    unsure: bool = False


@dataclass(frozen=True)
class ErrorTable:
    """All errors of an evaluation, image by image.

    Parameters
    ----------
    points : tuple of PointError
        One for each image and landmark of the truth.
    images, landmarks : tuple of str
        Names, in order.
    spacing_sources : frozenset of SpacingSource
        Where the pixel spacings came from.
    sizes_unknown : tuple of str
        Images whose size in pixels no file says.
    """

    points: tuple[PointError, ...]
    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    spacing_sources: frozenset[SpacingSource] = frozenset()
    sizes_unknown: tuple[str, ...] = ()

    def native_mm(self) -> Floats:
        """Return the (images, landmarks) native errors, NaN where not scored."""
        return self._matrix([p.native_mm for p in self.points])

    def grid384_mm(self) -> Floats | None:
        """Return the (images, landmarks) errors on the 384 grid.

        None where any image's size is unknown: a mean over the other images
        would look comparable with the native one and would not be.
        """
        if self.sizes_unknown:
            return None
        return self._matrix([p.grid384_mm for p in self.points])

    def count(self, outcome: Outcome, landmark: str | None = None) -> int:
        """Count an outcome, overall or for one landmark."""
        return sum(
            p.outcome is outcome and landmark in (None, p.landmark) for p in self.points
        )

    def without(self, images: Iterable[str]) -> ErrorTable:
        """Return the table without some images."""
        left_out = set(images)
        return ErrorTable(
            tuple(p for p in self.points if p.image not in left_out),
            tuple(image for image in self.images if image not in left_out),
            self.landmarks,
            self.spacing_sources,
            tuple(image for image in self.sizes_unknown if image not in left_out),
        )

    def _matrix(self, values: Iterable[float | None]) -> Floats:
        row = {image: index for index, image in enumerate(self.images)}
        column = {name: index for index, name in enumerate(self.landmarks)}
        matrix = np.full((len(self.images), len(self.landmarks)), np.nan)
        for point, value in zip(self.points, values, strict=True):
            if value is not None:
                matrix[row[point.image], column[point.landmark]] = value
        return matrix


def native_distances_mm(
    found_yx: ArrayLike, true_yx: ArrayLike, geometry: Geometry
) -> Floats:
    """Return the (N,) distances in mm between (N, 2) points in image pixels."""
    return np.round(geometry.distances_mm(found_yx, true_yx), DECIMALS_MM)


def grid384_distances_mm(
    found_yx: ArrayLike, true_yx: ArrayLike, geometry: Geometry
) -> Floats:
    """Return the (N,) errors in mm of the published CC2D evaluation.

    CC2D scores integer cells of a 384 x 384 grid that covers the image: its
    prediction is the index of a cell, its truth is scaled to the grid and
    truncated, a cell measures ``spacing * size / 384`` mm along each axis, and
    thresholds compare strictly. Errors therefore lie on a lattice; on
    cephalograms of 1935 x 2400 pixels at 0.1 mm a cell is 0.504 x 0.625 mm and
    SDR at 2.5 mm reads two to three points lower than at native resolution.

    Here both points go to the cell that they lie in,
    ``floor((p + 0.5) * 384 / size)`` for pixel centres at integers. That is the
    published truncation apart from half an original pixel (0.1 cell), which the
    published code drops on the side of the truth only; this form does not depend
    on the resolution at which an image is stored, and gives a perfect detector
    an error of zero. On 150 cephalograms the two differ by 0.002 mm in MRE and by
    less than 0.4 points in SDR. Cells outside the grid are moved to its border.

    Parameters
    ----------
    found_yx, true_yx : array_like, (N, 2)
        (row, column) in image pixels.
    geometry : Geometry
        Size and spacing of the image.

    References
    ----------
    Yao et al., "One-Shot Medical Landmark Detection", MICCAI 2021, and its
    public code.
    """
    on_384 = geometry.with_network_shape(NETWORK_SHAPE_YX)
    found, true = (
        np.clip(
            np.floor(on_384.points_to_network(points) + 0.5),
            0,
            np.array(NETWORK_SHAPE_YX) - 1,
        )
        for points in (found_yx, true_yx)
    )
    distances_mm = on_384.distances_mm(
        on_384.points_from_network(found), on_384.points_from_network(true)
    )
    return np.round(distances_mm, DECIMALS_MM)


def measure_errors(
    pairing: Pairing, spacing_mm_yx: float | tuple[float, float] | None = None
) -> ErrorTable:
    """Measure every landmark of every paired image.

    Parameters
    ----------
    pairing : Pairing
        See `pairing.pair_images`.
    spacing_mm_yx : float or pair of float, optional
        Millimetres per pixel, (row, column), for all images. Otherwise each
        image's own spacing: the truth's, else the predictions'.

    Raises
    ------
    GeometryError
        If an image's spacing is unknown or senseless, or the two files describe
        images of different size.
    UsageError
        If no landmark name stands in both files.
    """
    given = checked_spacing(spacing_mm_yx)
    names = tuple(dict.fromkeys(n for pair in pairing.pairs for n in pair.truth.names))
    if not any(n in names for pair in pairing.pairs for n in pair.predicted.names):
        raise UsageError(
            "no landmark name stands in both files",
            remedy="check that the landmark columns hold the same names",
        )
    _require_spacing(pairing, given)
    points: list[PointError] = []
    sources: set[SpacingSource] = set()
    sizes_unknown: list[str] = []
    for pair in pairing.pairs:
        geometry, source, size_known = _geometry(pair, given)
        sources.add(source)
        if not size_known:
            sizes_unknown.append(pair.truth.image)
        points.extend(_point_errors(pair, geometry, size_known))
    images = tuple(pair.truth.image for pair in pairing.pairs)
    return ErrorTable(
        tuple(points), images, names, frozenset(sources), tuple(sizes_unknown)
    )


def _point_errors(pair: Pair, geometry: Geometry, size_known: bool) -> list[PointError]:
    found_points = {point.name: point for point in pair.predicted}
    outcomes = {
        true.name: _outcome(found_points.get(true.name), true) for true in pair.truth
    }
    scored = [n for n, outcome in outcomes.items() if outcome is Outcome.SCORED]
    native: dict[str, float] = {}
    grid384: dict[str, float] = {}
    if scored:
        points_yx = (
            np.array([found_points[name].position_yx for name in scored]),
            np.array([pair.truth[name].position_yx for name in scored]),
        )
        distances_mm = native_distances_mm(*points_yx, geometry)
        native = dict(zip(scored, distances_mm.tolist(), strict=True))
        if size_known:
            distances_mm = grid384_distances_mm(*points_yx, geometry)
            grid384 = dict(zip(scored, distances_mm.tolist(), strict=True))
    return [
        _point_error(
            pair.truth.image,
            true,
            found_points.get(true.name),
            outcomes[true.name],
            native.get(true.name),
            grid384.get(true.name),
        )
        for true in pair.truth
    ]


def _point_error(
    image: str,
    true: Landmark,
    found: Landmark | None,
    outcome: Outcome,
    native_mm: float | None,
    grid384_mm: float | None,
) -> PointError:
    return PointError(
        image,
        true.name,
        outcome,
        native_mm,
        grid384_mm,
        found.position_yx if found else None,
        true.position_yx,
        found.score if found else None,
        found.unsure if found else False,
    )


def _outcome(found: Landmark | None, true: Landmark) -> Outcome:
    placed = found is not None and found.state is State.PLACED
    if true.state is State.SKIPPED:
        return Outcome.NOT_ANNOTATED
    if true.state is State.ABSENT:
        return Outcome.FALSE_FOUND if placed else Outcome.RIGHTLY_ABSENT
    if placed:
        return Outcome.SCORED
    if found is not None and found.state is State.ABSENT:
        return Outcome.FALSE_ABSENT
    return Outcome.MISSED


def _require_spacing(pairing: Pairing, given: tuple[float, float] | None) -> None:
    unknown = [
        pair.truth.image
        for pair in pairing.pairs
        if given is None
        and not any(
            side.geometry is not None and side.geometry.spacing_mm_yx is not None
            for side in (pair.truth, pair.predicted)
        )
    ]
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise GeometryError(
            f"the pixel spacing of {unknown[0]}{others} is unknown, so errors cannot "
            "be given in millimetres",
            remedy="give it in millimetres per pixel, for example --spacing 0.1",
        )


def _geometry(
    pair: Pair, given: tuple[float, float] | None
) -> tuple[Geometry, SpacingSource, bool]:
    """Join what the two files know of an image: geometry, source, size known."""
    sides = {
        SpacingSource.TRUTH: pair.truth.geometry,
        SpacingSource.PREDICTED: pair.predicted.geometry,
    }
    known = [geometry for geometry in sides.values() if geometry is not None]
    if len({geometry.image_shape_yx for geometry in known}) > 1:
        sizes = [" x ".join(map(str, g.image_shape_yx[::-1])) for g in known]
        raise GeometryError(
            f"the truth describes an image of {sizes[0]} pixels, the predictions one "
            f"of {sizes[1]}",
            file=pair.truth.image,
            remedy="detect and annotate on the same version of the image",
        )
    source = SpacingSource.GIVEN
    spacing = given
    for side, geometry in sides.items():
        if spacing is None and geometry is not None:
            source, spacing = side, geometry.spacing_mm_yx
    # Native distances need no image size; without one there is no 384 grid, and
    # the caller is told so.
    geometry = known[0] if known else Geometry((1, 1))
    return geometry.with_spacing(spacing), source, bool(known)
