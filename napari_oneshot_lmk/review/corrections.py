"""What corrected images are worth as further templates, measured on themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LeftOut:
    """Errors on one corrected image, with and without the other corrected images.

    Distances of each landmark from where the person has it, in mm, or in pixels where the
    spacing is unknown; NaN where one of both is not placed.
    """

    image: str
    unit: str
    before: Floats
    """(N,), with the template alone."""
    after: Floats
    """(N,), with all corrected images but this one as further templates."""


@dataclass(frozen=True)
class Gain:
    """What the corrected images gain together, over all that were left out in turn."""

    unit: str
    images: int
    points: int
    mean_before: float
    mean_after: float
    better: int
    """Points that came nearer by more than a tenth of the unit."""
    worse: int
    """Points that went further away by more than that."""


def leave_each_out(detector: Detector) -> Iterator[LeftOut]:
    """Detect on each of a detector's further templates as if it were not corrected yet.

    Each image is encoded once.

    Parameters
    ----------
    detector : Detector
        With the corrected images as its ``further`` templates.
    """
    for template in detector.further:
        rest = detector.with_further([t for t in detector.further if t is not template])
        rest.set_image(template.image)
        alone = rest.with_further([])
        before, after = alone.detect(), rest.detect()
        unit = "px" if template.image.geometry.spacing_mm_yx is None else "mm"
        yield LeftOut(
            template.image.name, unit, _errors(before, template), _errors(after, template)
        )


def gain(images: Sequence[LeftOut]) -> tuple[Gain, ...]:
    """Sum up, once for the images with millimetres and once for those without."""
    gains = []
    for unit in ("mm", "px"):
        chosen = [image for image in images if image.unit == unit]
        if not chosen:
            continue
        before = np.concatenate([image.before for image in chosen])
        after = np.concatenate([image.after for image in chosen])
        known = np.isfinite(before) & np.isfinite(after)
        moved = (after - before)[known]
        gains.append(
            Gain(
                unit,
                len(chosen),
                int(known.sum()),
                float(before[known].mean()) if known.any() else float("nan"),
                float(after[known].mean()) if known.any() else float("nan"),
                int((moved < -0.1).sum()),
                int((moved > 0.1).sum()),
            )
        )
    return tuple(gains)


def _errors(found: Landmarks, template: Template) -> Floats:
    geometry = template.image.geometry
    truth = {point.name: point.position_yx for point in template.landmarks.placed}
    missing = (np.nan, np.nan)
    points = np.array([point.position_yx or missing for point in found], dtype=float)
    wanted = np.array([truth.get(point.name) or missing for point in found], dtype=float)
    if geometry.spacing_mm_yx is None:
        return np.asarray(np.hypot(*(points - wanted).T))
    return geometry.distances_mm(points, wanted)
