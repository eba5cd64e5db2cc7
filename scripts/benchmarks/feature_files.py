"""Feature pyramids in files: an image is encoded once, however often it is matched."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.encoder import Encoder, FeaturePyramid
from napari_oneshot_lmk.storage.atomic import atomic_write

LARGEST_HALF = torch.finfo(torch.float16).max


class FeatureFiles:
    """An encoder that keeps all maps in half precision, about 30 MB per image for VGG19.

    Parameters
    ----------
    encoder : Encoder
    folder : Path
        Made where it is missing; it may be used again, with other encoders, too.
    """

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        self._encoder = encoder
        self.card, self.device = encoder.card, encoder.device
        self._folder = folder / encoder.card.identity
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (1, 1, H, W) grey images; the maps are float32, rounded to half precision."""
        pixels = images.cpu().numpy()
        path = (
            self._folder
            / f"{sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()}.pt"
        )
        if not path.exists():
            maps = [each.clamp(-LARGEST_HALF, LARGEST_HALF) for each in self._encoder(images).maps]
            with atomic_write(path, overwrite=True) as partial:
                torch.save([each.half().cpu() for each in maps], partial)
        maps = torch.load(path, weights_only=True)
        levels = self.card.levels
        return FeaturePyramid(tuple(each.float().to(self.device) for each in maps), levels)
