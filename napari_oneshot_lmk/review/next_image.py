"""Which image to correct next: the one whose corrections help the others most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.review.status import ImageStatus, ReviewState, status_of

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

LEAST_NEED = 0.25
"""What an image without a doubtful point counts: it may still stand for others."""

LEAST_SPREAD = 0.01
"""Distance, in sizes of the body, that counts where an image is like a corrected one."""


@dataclass(frozen=True)
class NextImage:
    """How much would be gained by correcting an image."""

    key: str
    gain: float
    """Only its order means something."""
    doubtful: int
    """Points to be looked at: unsure, far from the shape, out of order …"""
    like_it: int
    """Images that nobody has finished and that it is nearest to, of those not corrected."""
    reason: str
    """In plain words."""


def rank_next(
    works: Mapping[str, Landmarks | None],
    template: Template,
    statuses: Mapping[str, ImageStatus] | None = None,
) -> list[NextImage]:
    """Rank the images that nobody has finished, the most helpful one first.

    An image is worth correcting where much of it is doubtful, and where it stands for many others
    that no corrected image is like: what is expected to be gained is the product of its doubtful
    points and of how much nearer the unfinished images come to a corrected one. Images are compared
    by the shape of their found points, size, place and turn taken off.

    Parameters
    ----------
    works : mapping of str to Landmarks or None
        Landmarks of each image as they are now.
    template : Template
        It counts as corrected.
    statuses : mapping of str to ImageStatus, optional
        Where they are known; by default they are worked out.
    """
    if statuses is None:
        statuses = {key: status_of(landmarks, template) for key, landmarks in works.items()}
    names = [point.name for point in template.landmarks.placed]
    own = _shape(template.landmarks.with_geometry(template.image.geometry), names)
    keys = [
        key
        for key, landmarks in works.items()
        if landmarks is not None and np.isfinite(_shape(landmarks, names)).sum() > 1
    ]
    apart = _distances([own, *(_shape(works[key] or Landmarks(), names) for key in keys)])
    states = [statuses[key].state for key in keys]
    known = [0, *(i for i, state in enumerate(states, start=1) if state in _CORRECTED)]
    open_ = [i for i, state in enumerate(states, start=1) if state is ReviewState.DETECTED]
    far = apart[:, known].min(1)
    ranked = []
    for i in open_:
        nearer = np.maximum(0.0, far[open_] - apart[i, open_])
        # Corrected, an image is like itself.
        like_it = int((nearer > 0).sum()) - bool(far[i] > 0)
        doubtful = len(statuses[keys[i - 1]].reasons)
        gain = (doubtful + LEAST_NEED) * (LEAST_SPREAD + float(nearer.sum()))
        ranked.append(NextImage(keys[i - 1], gain, doubtful, like_it, _reason(doubtful, like_it)))
    return sorted(ranked, key=lambda each: -each.gain)


_CORRECTED = (ReviewState.CORRECTED, ReviewState.ACCEPTED)


def _reason(doubtful: int, like_it: int) -> str:
    points = "1 point is" if doubtful == 1 else f"{doubtful} points are"
    first = f"{points} doubtful" if doubtful else "no point is doubtful"
    if not like_it:
        return f"{first}, the others are more like the template or a corrected image"
    images = "image is" if like_it == 1 else "images are"
    return f"{first}, {like_it} other {images} more like it than like any corrected one"


def _shape(landmarks: Landmarks, names: Sequence[str]) -> Complex:
    """Return landmarks as (N,) complex numbers, centred, of size 1; NaN where not placed."""
    placed = {point.name: point.position_yx for point in landmarks.placed}
    points = np.array([placed.get(name) or (np.nan, np.nan) for name in names], dtype=float)
    geometry = landmarks.geometry
    if geometry is not None and geometry.spacing_mm_yx is not None:
        points = points * geometry.spacing_mm_yx
    plane = points @ np.array([1, 1j])
    known = np.isfinite(plane)
    if not known.any():
        return np.asarray(plane)
    plane = plane - plane[known].mean()
    size = float(np.sqrt((np.abs(plane[known]) ** 2).mean()))
    return np.asarray(plane / size if size > 0 else plane)


def _distances(shapes: Sequence[Complex]) -> Floats:
    """Return the root mean square distances of shapes, each pair turned to fit best.

    (M, M), over the landmarks that both have; 1 where these are fewer than two. In the complex
    plane the best turn is that of the inner product (Dryden & Mardia 2016, section 8.3).
    """
    every = np.stack(shapes)
    known = np.isfinite(every)
    plane, both = np.where(known, every, 0), known.astype(float)
    common = both @ both.T
    squares = (np.abs(plane) ** 2) @ both.T
    inner = np.abs(plane @ plane.conj().T)
    rest = np.maximum(0.0, squares + squares.T - 2 * inner)
    return np.where(common < 2, 1.0, np.sqrt(rest / np.maximum(common, 1)))
