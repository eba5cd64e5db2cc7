"""An encoder with something that a user should know about it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from napari_oneshot_lmk.encoders.encoder import Encoder, EncoderCard, FeaturePyramid


class EncoderWithNote(nn.Module):
    """Another encoder, with something that a user should know about the choice."""

    def __init__(self, encoder: Encoder, note: str) -> None:
        super().__init__()
        self.encoder = encoder
        notes = [text for text in (note, encoder.card.note) if text]
        self._card = replace(encoder.card, note=" ".join(notes))

    @property
    def card(self) -> EncoderCard:
        """Identity and levels, and the note."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.device

    def forward(self, images: torch.Tensor) -> FeaturePyramid:
        """Encode (B, 1, H, W) grey images in 0..1."""
        return self.encoder(images)
