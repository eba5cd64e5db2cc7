"""Which way up an image lies, and whether it is mirrored, compared with the template.

Features are not invariant to turning: on a mirrored or turned image nearly every match is
wrong. `OrientationFinder` matches coarse gradient orientations of all eight orientations of
an image and asks on which of them maps and shape agree best. It needs no annotation but the
template's, and does not depend on the encoder of the detector. The detector tries the best ones
and takes one where its own points become clearly surer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import FeaturePyramid
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.matching.shape import ShapeModel
from napari_oneshot_lmk.matching.similarity import describe_points, log_similarity

STRIDES = (8, 16)
"""Levels that are compared: the finer ones take four times as long, and the coarser ones see
what lies around the body, collimation for example."""
FEWEST_LANDMARKS = 3
"""Fewer have no shape."""
# The following were chosen without annotations of test images: docs/benchmarks/orientation.md.
POOR_BELOW = 0.55
"""Mean confidence of the points on an image below which the other orientations are tried."""
FITS_FROM = 0.2
"""How well an orientation has to fit to be tried; 0 is a wrong one, 1 the template's own."""
CLOSE = 0.15
"""How much worse than the best one an orientation may fit to be tried. Bodies that look alike
from both sides, hands for example, are decided by the confidence in a full detection."""
TRIED = 2
"""Orientations that are tried at most."""
SURER_BY = 0.05
"""By how much the mean confidence has to rise for an orientation to be taken."""


@dataclass(frozen=True)
class Orientation:
    """How an image lies: the template's way up, then mirrored, then turned.

    Examples
    --------
    >>> lies = Orientation(mirrored=True, quarter_turns=1)
    >>> lies.applied(torch.tensor([[1, 2], [3, 4]]))
    tensor([[4, 2],
            [3, 1]])
    >>> str(lies)
    'mirrored and turned 90 degrees clockwise'
    """

    mirrored: bool = False
    """From left to right."""
    quarter_turns: int = 0
    """Clockwise, 0 … 3."""

    def __str__(self) -> str:
        """Return it in words, "" for the template's own orientation."""
        turned = ""
        if self.quarter_turns:
            turned = f"turned {90 * self.quarter_turns} degrees clockwise"
        return " and ".join(filter(None, ("mirrored" if self.mirrored else "", turned)))

    @classmethod
    def named(cls, words: str) -> Orientation:
        """Return the orientation that ``str`` puts into these words; unknown ones are upright."""
        every = (cls(mirrored, turns) for mirrored in (False, True) for turns in range(4))
        return next((each for each in every if str(each) == words), cls())

    def applied(self, pixels: Tensor) -> Tensor:
        """Turn (..., H, W) pixels from the template's orientation to this one."""
        return torch.rot90(self._mirror(pixels), -self.quarter_turns, (-2, -1))

    def undone(self, pixels: Tensor) -> Tensor:
        """Turn (..., H, W) pixels that lie like this to the template's orientation."""
        return self._mirror(torch.rot90(pixels, self.quarter_turns, (-2, -1)))

    def points_applied(self, points_yx: Tensor, shape_yx: tuple[int, int]) -> Tensor:
        """Move (..., 2) points with the pixels that `applied` turns, of ``shape_yx``."""
        (height, width), (y, x) = shape_yx, points_yx.unbind(-1)
        if self.mirrored:
            x = width - 1 - x
        for _ in range(self.quarter_turns):
            y, x, height, width = x, height - 1 - y, width, height
        return torch.stack([y, x], -1)

    def points_undone(self, points_yx: Tensor, shape_yx: tuple[int, int]) -> Tensor:
        """Move (..., 2) points with the pixels that `undone` turns, of ``shape_yx``."""
        (height, width), (y, x) = shape_yx, points_yx.unbind(-1)
        for _ in range(self.quarter_turns):
            y, x, height, width = width - 1 - x, y, width, height
        if self.mirrored:
            x = width - 1 - x
        return torch.stack([y, x], -1)

    def _mirror(self, pixels: Tensor) -> Tensor:
        return pixels.flip(-1) if self.mirrored else pixels


UPRIGHT = Orientation()
ORIENTATIONS = tuple(Orientation(m, turns) for m in (False, True) for turns in range(4))


class OrientationFinder:
    """Recognises how images lie, compared with a template.

    Parameters
    ----------
    pixels : Tensor, (1, 1, H, W)
        The template on the network's grid, as `prepare_image` makes it.
    points_yx : Tensor, (N, 2)
        Its placed landmarks in pixels of that grid.
    shape : ShapeModel
        Of these landmarks.
    device : torch.device
        Where it computes.
    """

    def __init__(
        self, pixels: Tensor, points_yx: Tensor, shape: ShapeModel, device: torch.device
    ) -> None:
        square = pixels.shape[-2] == pixels.shape[-1]
        # A quarter turn of another grid does not lie on the network's.
        self._orientations = [o for o in ORIENTATIONS if square or o.quarter_turns % 2 == 0]
        self._encoder = OrientationEncoder(device, strides=STRIDES)
        self._shape = shape
        self._descriptors = describe_points(self._encoder(pixels), points_yx)
        own, *wrong = self._rate(pixels).tolist()
        self._wrong = sorted(wrong)[len(wrong) // 2]
        self._range = own - self._wrong

    def candidates(self, pixels: Tensor) -> list[Orientation]:
        """Return the orientations, other than upright, that an image may have; best first.

        ``pixels`` are (1, 1, H, W), as `prepare_image` makes them.
        """
        if self._range <= 0:
            # The template fits no better as it lies than turned: nothing can be told.
            return []
        fits = self.rate(pixels).tolist()
        least = max(FITS_FROM, max(fits) - CLOSE)
        likely = [i for i in range(1, len(fits)) if fits[i] >= least]
        best = sorted(likely, key=lambda i: -fits[i])[:TRIED]
        return [self._orientations[i] for i in best]

    def rate(self, pixels: Tensor) -> Tensor:
        """Return how well each orientation fits, the template's own first.

        The scale is that of the template: 1 is the template as it lies, 0 the median of its
        turned and mirrored copies.
        """
        fits: Tensor = (self._rate(pixels) - self._wrong) / self._range
        return fits

    def _rate(self, pixels: Tensor) -> Tensor:
        """Consistency of the best solution per landmark and orientation, float64."""
        with torch.inference_mode():
            turned = torch.cat([o.undone(pixels) for o in self._orientations])
            pyramid = self._encoder(turned)
            each = []
            for i in range(len(turned)):
                maps = tuple(level[i : i + 1] for level in pyramid.maps)
                log_maps = log_similarity(FeaturePyramid(maps, pyramid.levels), self._descriptors)
                points, expectation, _ = self._shape.fit(log_maps, STRIDES[0], rounds=1)
                each.append(self._shape.consistency(log_maps, STRIDES[0], points, expectation))
            return torch.stack(each) / len(log_maps)
