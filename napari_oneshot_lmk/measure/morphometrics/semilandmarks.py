"""Semilandmarks: points at equal distances along a curve between landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_oneshot_lmk.errors import LandmarkError, UsageError
from napari_oneshot_lmk.landmarks.curve import Curve
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks

LEAST_POINTS = 3
"""Of a resampled curve: its two ends and one semilandmark between them."""


def resample_curve(
    points_yx: ArrayLike, count: int, spacing_mm_yx: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return points at equal arc lengths along a polyline, its two ends among them.

    Parameters
    ----------
    points_yx : array_like, (N, 2)
        Corners of the polyline, (row, column) in pixels.
    count : int
        How many points to return, two or more.
    spacing_mm_yx : tuple of float, optional
        Millimetres per pixel along (row, column): lengths are measured with it, so that pixels
        that are not square do not distort them.

    Returns
    -------
    ndarray, (count, 2)
        (row, column) in pixels.

    Raises
    ------
    LandmarkError
        If the polyline has no length.
    UsageError
        If fewer than two points are wanted.

    Examples
    --------
    >>> resample_curve([(0, 0), (0, 4), (2, 4)], 4).tolist()
    [[0.0, 0.0], [0.0, 2.0], [0.0, 4.0], [2.0, 4.0]]
    """
    if count < 2:
        raise UsageError(f"a curve cannot have {count} points", remedy="give two or more")
    points = np.asarray(points_yx, dtype=np.float64).reshape(-1, 2)
    steps = np.diff(points, axis=0) * np.array(spacing_mm_yx or (1.0, 1.0))
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
    if lengths[-1] <= 0:
        raise LandmarkError("has no length", remedy="digitise at least two different points of it")
    # Of corners that coincide one is kept: positions along the curve must increase.
    kept = np.concatenate([[True], np.diff(lengths) > 0])
    wanted = np.linspace(0.0, lengths[-1], count)
    axes = [np.interp(wanted, lengths[kept], column[kept]) for column in points.T]
    return np.stack(axes, axis=1)


@dataclass(frozen=True)
class CurveDefinition:
    """A curve through landmarks of the annotation, in their order."""

    name: str
    landmarks: tuple[str, ...]
    """Two or more names."""

    def on(self, landmarks: Landmarks) -> Curve:
        """Return the polyline through the landmarks of an image.

        A LandmarkError says which of them is not placed.
        """
        positions = {point.name: point.position_yx for point in landmarks.placed}
        lacking = [name for name in self.landmarks if name not in positions]
        if lacking:
            what = f"curve {self.name!r} goes through {', '.join(lacking)}, which is not placed"
            raise LandmarkError(what, file=landmarks.image)
        points = (positions[name] for name in self.landmarks)
        return Curve(self.name, tuple(yx for yx in points if yx is not None))


def resample_curves(
    landmarks: Landmarks, count: int, definitions: Iterable[CurveDefinition] = ()
) -> Landmarks:
    """Return landmarks with all their curves resampled to equal arc lengths.

    Parameters
    ----------
    landmarks : Landmarks
        Of one image, with curves from a file, if any. Where the spacing is known, lengths are
        measured in millimetres.
    count : int
        Points of each curve, its ends among them; three or more.
    definitions : iterable of CurveDefinition
        Further curves, through landmarks; one with the name of a curve of the file replaces it.

    Raises
    ------
    LandmarkError
        If there is no curve, one has no length, or goes through a landmark that is not placed.
    UsageError
        If fewer than three points are wanted.
    """
    if count < LEAST_POINTS:
        what = f"a curve of {count} points has no semilandmark between its ends"
        raise UsageError(what, remedy="give three or more")
    curves = {curve.name: curve for curve in landmarks.curves}
    curves |= {each.name: each.on(landmarks) for each in definitions}
    if not curves:
        raise LandmarkError(
            "has no curves",
            file=landmarks.image,
            remedy="digitise some, or name the landmarks of one: --curve jaw=gonion,menton",
        )
    geometry = landmarks.geometry
    spacing = None if geometry is None else geometry.spacing_mm_yx
    resampled = []
    for curve in curves.values():
        try:
            points = resample_curve(curve.points_yx, count, spacing)
        except LandmarkError as error:
            what = f"curve {curve.name!r} {error.what}"
            raise LandmarkError(what, file=landmarks.image, remedy=error.remedy) from error
        resampled.append(Curve(curve.name, tuple((float(y), float(x)) for y, x in points)))
    return replace(landmarks, curves=tuple(resampled))


def semilandmark_name(curve: str, number: int) -> str:
    """Return the name of the point of a curve, counted from 1."""
    return f"{curve}:{number}"


def semilandmark_names(
    images: Sequence[Landmarks], *, join_ends: bool = True
) -> dict[str, tuple[str, ...]]:
    """Return curve -> names of its points, in order.

    They are those of `semilandmark_name`, but with ``join_ends`` for an end of a curve that
    lies on the same landmark on all images: it is that landmark.

    Raises
    ------
    UsageError
        If a curve has not the same number of points on all images that have it.
    """
    having: dict[str, list[tuple[Landmarks, Curve]]] = {}
    for landmarks in images:
        for curve in landmarks.curves:
            having.setdefault(curve.name, []).append((landmarks, curve))
    names = {}
    for name, found in having.items():
        first, count = found[0][0].image, len(found[0][1])
        for landmarks, curve in found:
            if len(curve) != count:
                raise UsageError(
                    f"curve {name!r} has {count} points on {first}, but {len(curve)} on "
                    f"{landmarks.image}",
                    remedy="give all the same number: oneshot-lmk morphometrics resample",
                )
        of_points = [semilandmark_name(name, n + 1) for n in range(count)]
        for end in {0, count - 1} if join_ends else ():
            on_end = [_names_at(landmarks, curve.points_yx[end]) for landmarks, curve in found]
            if shared := [each for each in on_end[0] if all(each in others for others in on_end)]:
                of_points[end] = shared[0]
        names[name] = tuple(of_points)
    return names


def _names_at(landmarks: Landmarks, position_yx: tuple[float, float]) -> list[str]:
    places = ((point.name, point.position_yx) for point in landmarks.placed)
    return [name for name, yx in places if yx and np.allclose(yx, position_yx, rtol=0, atol=1e-6)]


def with_semilandmarks(images: Sequence[Landmarks]) -> tuple[Landmarks, ...]:
    """Return landmarks with the points of their curves as further landmarks.

    Names and errors are those of `semilandmark_names`.
    """
    names = semilandmark_names(images)
    return tuple(
        replace(
            landmarks,
            points=landmarks.points
            + tuple(
                Landmark(name, position)
                for curve in landmarks.curves
                for name, position in zip(names[curve.name], curve.points_yx, strict=True)
                if name not in landmarks
            ),
            curves=(),
        )
        for landmarks in images
    )


@dataclass(frozen=True)
class Slider:
    """One semilandmark between its neighbours along a curve."""

    curve: str
    before: str
    semilandmark: str
    after: str


def sliders(images: Sequence[Landmarks], *, join_ends: bool = True) -> tuple[Slider, ...]:
    """Say which semilandmark lies on which curve, and between which two points.

    The rows are those of geomorph's matrix of sliding semilandmarks (``curves`` of gpagen),
    by name; ``join_ends`` as in `semilandmark_names`.
    """
    return tuple(
        Slider(curve, *triple)
        for curve, names in semilandmark_names(images, join_ends=join_ends).items()
        for triple in zip(names, names[1:], names[2:], strict=False)
    )
