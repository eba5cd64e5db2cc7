"""Which encoder to use: VGG19 where its weights can be had, else the shipped one.

Instant detection reads the shipped encoder's maps beside those of VGG19
(docs/benchmarks/shipped_encoder.md); training reads VGG19's alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.encoders.device import Precision, resolve_device
from napari_oneshot_lmk.encoders.encoder import WeightsOrigin
from napari_oneshot_lmk.errors import WeightsError

if TYPE_CHECKING:
    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.encoders.weights import Progress
    from napari_oneshot_lmk.encoders.weights_file import EncoderWeights


def build_encoder(
    weights: Path | None = None,
    device: str = "auto",
    allow_download: bool = True,
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Encoder:
    """Return VGG19 with the best weights at hand, or else the shipped encoder.

    Parameters
    ----------
    weights : Path, optional
        A file that the user named. Only this one is used then.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    allow_download : bool
        Whether the network may be asked. A download that failed is not tried again
        in the same process.
    progress : callable, optional
        Called with bytes done and bytes in all during a download.
    precision : {"auto", "float32", "bfloat16"}
        Of VGG19; see `VGG19Encoder`.

    Returns
    -------
    Encoder
        The shipped one says in ``card.note`` why it was taken and how to get
        VGG19's weights.

    Raises
    ------
    WeightsError
        If the file that the user named cannot be used. Nothing replaces it
        silently.
    UsageError
        If the device is unknown or missing.
    """
    from napari_oneshot_lmk.encoders.weights import find_weights

    where = resolve_device(device)
    try:
        found = find_weights(weights, allow_download=allow_download, progress=progress)
    except WeightsError as error:
        if weights is not None:
            raise
        from napari_oneshot_lmk.encoders.noted import EncoderWithNote
        from napari_oneshot_lmk.encoders.orientation import shipped_encoder

        shipped = shipped_encoder(where)
        note = f"The shipped encoder ({shipped.card.title}) is used alone: {error}."
        return EncoderWithNote(shipped, note)
    return _vgg19(found, where, precision, weights)


def instant_encoder(
    weights: Path | None = None,
    device: str = "auto",
    allow_download: bool = True,
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Encoder:
    """Return what instant detection reads: VGG19 and the shipped encoder together.

    Without VGG19's weights it is the shipped encoder alone.

    Parameters
    ----------
    weights, device, allow_download, progress, precision
        As for `build_encoder`.

    Raises
    ------
    WeightsError, UsageError
        As `build_encoder`.
    """
    from napari_oneshot_lmk.encoders.ensemble import JoinedEncoder
    from napari_oneshot_lmk.encoders.noted import EncoderWithNote
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder

    chosen = build_encoder(weights, device, allow_download, progress, precision=precision)
    if isinstance(chosen, EncoderWithNote):
        return chosen
    return JoinedEncoder(chosen, shipped_encoder(chosen.device))


def encoder_from_weights(
    weights: EncoderWeights,
    device: str = "auto",
    precision: Precision = "auto",
    given: Path | None = None,
) -> Encoder:
    """Return what instant detection reads, made of weights that are at hand.

    Parameters
    ----------
    weights : EncoderWeights
        VGG19's.
    device, precision
        As for `build_encoder`.
    given : Path, optional
        How the user named them when the model was trained; stands in the title.
    """
    from napari_oneshot_lmk.encoders.ensemble import JoinedEncoder
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder

    where = resolve_device(device)
    vgg19 = _vgg19(weights, where, precision, given)
    return JoinedEncoder(vgg19, shipped_encoder(where))


def _vgg19(
    weights: EncoderWeights, device: torch.device, precision: Precision, given: Path | None
) -> Encoder:
    from napari_oneshot_lmk.encoders.vgg19 import VGG19Encoder

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
