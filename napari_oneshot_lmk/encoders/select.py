"""Which encoder to use: VGG19 where its weights can be had, else the shipped one.

Instant detection uses the shipped encoder's maps beside those of VGG19
(docs/benchmarks/shipped_encoder.md); training uses VGG19's alone.
"""

from __future__ import annotations

from pathlib import Path

import torch

from napari_oneshot_lmk.encoders.device import Precision, resolve_device
from napari_oneshot_lmk.encoders.encoder import Encoder, WeightsOrigin
from napari_oneshot_lmk.encoders.ensemble import ConcatEncoder
from napari_oneshot_lmk.encoders.model_weights import find_model_weights
from napari_oneshot_lmk.encoders.shipped import (
    encoder_beside_vgg19,
    encoder_without_download,
    shipped_encoder,
)
from napari_oneshot_lmk.encoders.vgg19 import VGG19Encoder
from napari_oneshot_lmk.encoders.weights import Progress, find_weights
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights
from napari_oneshot_lmk.errors import WeightsError


def build_encoder(
    weights: Path | None = None,
    device: str = "auto",
    allow_download: bool = True,
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Encoder:
    """Build VGG19 with the best weights at hand, or else the shipped encoder.

    Parameters
    ----------
    weights : Path, optional
        A file that the user named, which is then used and no other.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    allow_download : bool
        A download that failed is not tried again in the same process.
    progress : callable, optional
        Called with bytes done and bytes in all during a download.
    precision : {"auto", "float32", "bfloat16"}
        Of VGG19; see `VGG19Encoder`.

    Returns
    -------
    Encoder
        The shipped one says in ``card.note`` why, and how to get VGG19's weights.

    Raises
    ------
    WeightsError
        If the file that the user named cannot be used.
    UsageError
        If the device is unknown or missing.
    """
    where = resolve_device(device)
    try:
        found = find_weights(weights, allow_download=allow_download, progress=progress)
    except WeightsError as error:
        if weights is not None:
            raise
        note = f"The shipped encoder is used alone: {error}."
        return shipped_encoder(where, note, precision)
    return _build_vgg19(found, where, precision, weights)


def instant_encoder(
    weights: Path | None = None,
    device: str = "auto",
    allow_download: bool = True,
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
    identity: str = "",
) -> Encoder:
    """Build the encoder of instant detection: VGG19 and the shipped one together.

    Without VGG19's weights it is the shipped one alone. ``identity`` is that of the encoder
    which a model was trained on: in earlier versions another one stood beside VGG19. The other
    parameters and the errors are those of `build_encoder`.
    """
    encoder = build_encoder(weights, device, allow_download, progress, precision=precision)
    if not isinstance(encoder, VGG19Encoder):
        return encoder
    return ConcatEncoder(encoder, encoder_beside_vgg19(encoder.device, precision, identity))


def encoder_from_weights(
    weights: EncoderWeights,
    device: str = "auto",
    precision: Precision = "auto",
    given: Path | None = None,
    identity: str = "",
) -> Encoder:
    """Build the encoder of instant detection from weights of VGG19.

    ``given`` is the path that the user named when the model was trained; its name is in the
    title. ``identity`` is as for `instant_encoder`. The other parameters are those of
    `build_encoder`.
    """
    where = resolve_device(device)
    vgg19 = _build_vgg19(weights, where, precision, given)
    return ConcatEncoder(vgg19, encoder_beside_vgg19(where, precision, identity))


def encoder_again(
    identity: str,
    origin: WeightsOrigin | None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Encoder:
    """Build the encoder of earlier results, by its identity and where its weights were.

    Raises
    ------
    WeightsError
        If its weights cannot be found any more, or this version has no such encoder.
    UsageError
        If the device is unknown or missing.
    """
    where = resolve_device(device)
    own = encoder_without_download(identity, where)
    if own is not None:
        return own
    if origin is None:
        raise WeightsError(f"this version of the program has no encoder {identity}")
    found = find_model_weights(identity, origin, progress=progress)
    given = Path(origin.given) if origin.given else None
    encoder = encoder_from_weights(found, device, given=given, identity=identity)
    if encoder.card.identity != identity:
        raise WeightsError(f"this version of the program has no encoder {identity}")
    return encoder


def _build_vgg19(
    weights: EncoderWeights, device: torch.device, precision: Precision, given: Path | None
) -> VGG19Encoder:
    return VGG19Encoder(
        weights.parameters,
        weights.normalisation,
        device,
        precision,
        weights_sha256=weights.sha256,
        title=f"VGG19 ({'ImageNet' if given is None else Path(given).name})",
        origin=WeightsOrigin(
            sha256=weights.sha256,
            path="" if weights.path is None else str(weights.path),
            given="" if given is None else str(given),
            source=weights.source if "://" in weights.source else "",
        ),
    )
