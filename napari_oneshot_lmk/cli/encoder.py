"""Gets an encoder, with a progress bar where weights are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import warn
from napari_oneshot_lmk.cli.progress import download_bar

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder


def encoder_with_bar(
    weights: Path | None,
    device: str,
    *,
    allow_download: bool = True,
    say_note: bool = True,
    model: TrainedModel | None = None,
) -> Encoder:
    """Return the encoder to use and say what the user should know about it.

    A model gets the one that it was trained on, unless weights are named.
    """
    from napari_oneshot_lmk.encoders.select import instant_encoder

    with download_bar("Fetching the encoder's weights") as advance:
        if model is not None and weights is None:
            from napari_oneshot_lmk.detection.model_encoder import encoder_for

            return encoder_for(model, None, device, advance)
        encoder = instant_encoder(weights, device, allow_download=allow_download, progress=advance)
    if encoder.card.note and say_note:
        warn(encoder.card.note)
    return encoder
