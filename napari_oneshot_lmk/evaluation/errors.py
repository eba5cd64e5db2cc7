"""How far found landmarks lie from the true ones, in millimetres."""

from __future__ import annotations

import numpy as np

from napari_oneshot_lmk.errors import GeometryError, UsageError
from napari_oneshot_lmk.evaluation.distances import grid384_distances_mm, native_distances_mm
from napari_oneshot_lmk.evaluation.error_table import ErrorTable, Outcome, PointError, SpacingSource
from napari_oneshot_lmk.evaluation.pairing import Pair, Pairing
from napari_oneshot_lmk.geometry import Geometry, checked_spacing
from napari_oneshot_lmk.landmarks.landmarks import Landmark, State


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
    return ErrorTable(tuple(points), images, names, frozenset(sources), tuple(sizes_unknown))


def _point_errors(pair: Pair, geometry: Geometry, size_known: bool) -> list[PointError]:
    found_points = {point.name: point for point in pair.predicted}
    outcomes = {true.name: _outcome(found_points.get(true.name), true) for true in pair.truth}
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
            f"the truth describes an image of {sizes[0]} pixels, the predictions one of {sizes[1]}",
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
