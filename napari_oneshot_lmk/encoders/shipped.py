"""Encoders that need no download: the one that is shipped, and the one that was before it.

The shipped one is used alone, or beside VGG19. Models and bundles name in their card what they
were trained on: those of earlier versions gradient orientations, alone or beside VGG19.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_oneshot_lmk.encoders.compact import CompactEncoder, compact_card
from napari_oneshot_lmk.encoders.device import Precision
from napari_oneshot_lmk.encoders.encoder import Encoder, EncoderCard
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder, orientation_card

_ORIENTATION_BESIDE_VGG19 = "vgg19+orientation-"


def shipped_encoder(
    device: torch.device | str = "cpu", note: str = "", precision: Precision = "auto"
) -> CompactEncoder:
    """Return the best encoder that is usable without any download; ``note`` is its card's.

    Raises `WeightsError` if its weights in this installation are missing or damaged.
    """
    return CompactEncoder(torch.device(device), note, precision)


def shipped_card(note: str = "") -> EncoderCard:
    """Return the card of `shipped_encoder` without reading its weights."""
    return compact_card(note)


def encoder_without_download(
    identity: str, device: torch.device | str = "cpu", precision: Precision = "auto"
) -> Encoder | None:
    """Return the encoder of this identity; None where there is none without a download."""
    where = torch.device(device)
    known: dict[str, Callable[[], Encoder]] = {
        shipped_card().identity: lambda: shipped_encoder(where, precision=precision),
        "orientation": lambda: OrientationEncoder(where),
    }
    make = known.get(identity)
    return None if make is None else make()


def card_beside_vgg19(identity: str = "") -> EncoderCard:
    """Return the card of the encoder that is used beside VGG19.

    ``identity`` is that of both together, as a model names it; by default, and where it is of
    another form, it is the shipped encoder.
    """
    earlier = identity.startswith(_ORIENTATION_BESIDE_VGG19)
    return orientation_card() if earlier else shipped_card()


def encoder_beside_vgg19(
    device: torch.device, precision: Precision = "auto", identity: str = ""
) -> CompactEncoder | OrientationEncoder:
    """Return the encoder of `card_beside_vgg19`."""
    if identity.startswith(_ORIENTATION_BESIDE_VGG19):
        return OrientationEncoder(device)
    return shipped_encoder(device, precision=precision)
