"""The fine stage of a model: a second look around each found point, at a finer resolution.

Each point is looked at in a crop that is centred on it, found anew there, and looked at once more
around the new place; the result is combined with the point that was there before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.detection.encoded_image import EncodedImage
from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.encoders.device import Precision, autocast, resolve_precision
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.crop_grid import CropGrid
from napari_oneshot_lmk.matching.crops import (
    cut_crops,
    image_size_yx,
    log_gaussian,
    pool_image,
    soft_argmax,
)
from napari_oneshot_lmk.network.crop_network import CropNetwork
from napari_oneshot_lmk.network.meta_device import on_meta_device


class FineStage(nn.Module):
    """Looks a second time; part of a `TrainedModel`.

    Parameters
    ----------
    card : FineCard
    network : CropNetwork
    template : Geometry
        Of the template's image, which the size of crops refers to.
    """

    precision: Precision = "float32"
    """That `refined` computes in."""

    def __init__(self, card: FineCard, network: CropNetwork, template: Geometry) -> None:
        super().__init__()
        self.card, self.network = card, network
        self.grid = CropGrid(template, card.pixel)

    @classmethod
    def build(cls, card: FineCard, state: Mapping[str, Tensor], template: Geometry) -> FineStage:
        """Build one in evaluation mode and load the state_dict of its network.

        A `UsageError` is raised where card and state_dict do not fit together.
        """
        with on_meta_device():
            expected = CropNetwork(card.network).state_dict()
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in expected.items()}:
            raise UsageError("the numbers do not fit the layout of the fine stage")
        network = CropNetwork(card.network)
        network.load_state_dict(state)
        return cls(card, network.requires_grad_(False).eval(), template)

    def in_precision(self, precision: Precision) -> FineStage:
        """Return the same stage, with the same parameters, that computes in another precision."""
        stage = copy(self)
        stage.precision = precision
        return stage

    def forward(self, image: Tensor, points_yx: Tensor, landmarks: Tensor) -> Tensor:
        """Look around points of one image and return where the landmarks are, (K, 2) float32.

        Parameters
        ----------
        image : Tensor, (1, 1, h, w)
            On the stage's grid, float32 in 0..1, in the template's orientation.
        points_yx : Tensor, (K, 2)
            Where to look, in pixels of that grid.
        landmarks : Tensor, (K,)
            Indices of the card's landmarks.
        """
        pooled = pool_image(image, self.card.factors)
        last_yx = image_size_yx(image) - 0.5
        coarse = seen = points_yx.to(image)
        for _ in range(self.card.looks):
            crops = cut_crops(pooled, self.card.factors, seen, self.card.side)
            maps = self.network(crops, landmarks).float()
            if self.card.coarse_sd_px:
                # Both as probabilities: what is seen here, times how far off the point may be.
                maps = maps + log_gaussian(coarse - seen, self.card.side, self.card.coarse_sd_px)
            seen = seen + soft_argmax(maps, self.card.window)
            seen = seen.clamp_min(-0.5).minimum(last_yx)
        return seen

    def refined(self, encoded: EncodedImage, names: Sequence[str], found: Tensor) -> Tensor:
        """Return the points of `Detector.points` after the second look.

        Parameters
        ----------
        encoded : EncodedImage
            Whose `PreparedImage` has ``crop_pixels``.
        names : sequence of str
            The landmark of each point; those that the stage does not know stay.
        found : Tensor, (N, 7), float64
            As of `Detector.points`; its first two columns change.
        """
        pixels = encoded.prepared.crop_pixels
        if pixels is None:
            return found
        # As `forward` takes it: in 0..1, in the template's orientation.
        image = encoded.lies.undone(pixels).float() / 255
        device = self.network.landmark.weight.device
        image = image.to(device)
        shape_yx = encoded.prepared.geometry.network_shape_yx
        with torch.inference_mode(), autocast(device, resolve_precision(device, self.precision)):
            return self.look_again(image, shape_yx, names, found)

    def look_again(
        self, image: Tensor, network_shape_yx: tuple[int, int], names: Sequence[str], found: Tensor
    ) -> Tensor:
        """Return ``found`` with refined points, as `refined` does.

        ``image`` is that of `forward`, the points are in pixels of a network grid of that shape.
        """
        rows = [i for i, name in enumerate(names) if name in self.card.landmarks]
        if not rows:
            return found
        known = torch.tensor([self.card.landmarks.index(names[row]) for row in rows])
        share = torch.tensor(self.card.shares, dtype=torch.float64)[known][:, None]
        grid_yx = torch.tensor(network_shape_yx, dtype=torch.float64)
        scale_yx = image_size_yx(image).double().to(found.device) / grid_yx
        before = found[rows, :2]
        seen = self(image, (before + 0.5) * scale_yx - 0.5, known.to(image.device))
        after = (seen.double().to(found.device) + 0.5) / scale_yx - 0.5
        points = found[:, :2].index_copy(0, torch.tensor(rows), before + share * (after - before))
        return torch.cat((points, found[:, 2:]), 1)
