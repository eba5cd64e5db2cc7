"""Two encoders used as one: the levels of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from napari_oneshot_lmk.encoders.encoder import Encoder, EncoderCard, FeaturePyramid


class ConcatEncoder(nn.Module):
    """Runs two encoders on the same image and concatenates their pyramids.

    Matching adds the logarithms of all levels' similarities, so encoders that err
    in different places correct each other.

    Parameters
    ----------
    first, second : Encoder
        On the same device.
    """

    def __init__(self, first: Encoder, second: Encoder) -> None:
        super().__init__()
        self.parts = (first, second)
        for part in self.parts:
            if isinstance(part, nn.Module):
                self.add_module(part.card.name, part)
        self.card = concat_cards([part.card for part in self.parts])
        self.device = first.device

    def forward(self, images: torch.Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1."""
        maps = tuple(m for part in self.parts for m in part(images).maps)
        return FeaturePyramid(maps, self.card.levels)


def concat_cards(cards: Sequence[EncoderCard]) -> EncoderCard:
    """Return the card of several encoders, in their order, that are used as one."""
    hashes = "".join(card.weights_sha256 for card in cards)
    return EncoderCard(
        name="+".join(card.name for card in cards),
        title=" and ".join(card.title for card in cards),
        weights_sha256=hashlib.sha256(hashes.encode()).hexdigest() if hashes else "",
        levels=tuple(
            # The networks read only the first encoder's maps after a pooling.
            level if card is cards[0] else replace(level, after_pooling=False)
            for card in cards
            for level in card.levels
        ),
        note=" ".join(card.note for card in cards if card.note),
        origin=next((card.origin for card in cards if card.origin), None),
    )
