"""The encoder of a trained model, with the very weights that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.device import resolve_device
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.errors import ModelError, WeightsError

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.weights import Progress
    from napari_oneshot_lmk.encoders.weights_file import EncoderWeights

VGG19 = "vgg19"
"""Beginning of the identity of encoders that need VGG19's weights."""


def encoder_for(
    model: TrainedModel,
    weights: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    *,
    usual: Path | None = None,
    allow_download: bool = True,
) -> Encoder:
    """Return the encoder of a model.

    Its weights are in the model, or are searched where they were when it was trained and in
    the caches.

    Parameters
    ----------
    model : TrainedModel
    weights : Path, optional
        A file that the user named, to use instead.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    progress : callable, optional
        Called with bytes done and bytes in all during a download.
    usual : Path, optional
        The file of the user's settings: tried first, ignored where it has other weights.
    allow_download : bool

    Raises
    ------
    WeightsError
        If its weights cannot be found, or the named file cannot be used.
    ModelError
        If this program has no such encoder.
    UsageError
        If the device is unknown or missing.
    """
    from napari_oneshot_lmk.encoders.select import encoder_from_weights, instant_encoder
    from napari_oneshot_lmk.encoders.shipped import encoder_without_download

    precision = model.precision
    if weights is not None:
        return instant_encoder(
            weights, device, progress=progress, precision=precision, identity=model.card.encoder
        )
    own = encoder_without_download(model.card.encoder, resolve_device(device), precision)
    if own is not None:
        return own
    if not model.card.encoder.startswith(VGG19):
        raise ModelError(
            f"the model was trained on the encoder {model.card.encoder}, which this "
            "version of the program does not have",
            remedy="update napari-oneshot-lmk, or train again",
        )
    found = weights_for(model, usual, allow_download=allow_download, progress=progress)
    given = model.origin.given if model.origin is not None else ""
    return encoder_from_weights(
        found, device, precision, Path(given) if given else None, model.card.encoder
    )


def weights_for(
    model: TrainedModel,
    usual: Path | None = None,
    *,
    allow_download: bool = True,
    progress: Progress | None = None,
) -> EncoderWeights:
    """Return the VGG19 weights of a model; parameters and errors as for `encoder_for`."""
    if model.encoder_weights is not None:
        return model.encoder_weights
    from napari_oneshot_lmk.encoders.model_weights import find_model_weights

    try:
        return find_model_weights(
            *(model.card.encoder, model.origin, usual),
            allow_download=allow_download,
            progress=progress,
        )
    except WeightsError as error:
        raise error.about(f"the model of {model.template.name}") from error
