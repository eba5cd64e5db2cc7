"""Finds the weights that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_oneshot_lmk.encoders.encoder import EncoderCard, WeightsOrigin
from napari_oneshot_lmk.encoders.ensemble import concat_cards
from napari_oneshot_lmk.encoders.shipped import card_beside_vgg19
from napari_oneshot_lmk.encoders.weights import (
    WEIGHTS_URL,
    Progress,
    cache_folder,
    cached_files,
    find_weights,
)
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, read_weights
from napari_oneshot_lmk.errors import WeightsError


def encoder_identity(weights_sha256: str, like: str = "") -> str:
    """Return the identity of the encoder that VGG19's weights of a content hash make here.

    ``like`` is the identity that a model names: it tells what stood beside VGG19 then.
    """
    vgg19 = EncoderCard("vgg19", "", weights_sha256, ())
    return concat_cards([vgg19, card_beside_vgg19(like)]).identity


def find_model_weights(
    identity: str,
    origin: WeightsOrigin | None = None,
    usual: Path | None = None,
    *,
    allow_download: bool = True,
    progress: Progress | None = None,
) -> EncoderWeights:
    """Return the weights of an encoder, from the first place that has the same content.

    These are the file of the user's settings, the place where the weights were, and every
    weights file in the caches.

    Parameters
    ----------
    identity : str
        Of the encoder.
    origin : WeightsOrigin, optional
        What the model remembers of its weights; models of earlier versions do not.
    usual : Path, optional
        The file that the user's settings name.
    allow_download : bool
    progress : callable, optional
        Called with bytes done and bytes in all during a download.

    Raises
    ------
    WeightsError
        If they are in no place, or have changed: says which file to bring where.
    """
    changed = ""
    for path, remembered in _places(origin, usual):
        try:
            weights = read_weights(path)
        except WeightsError as error:
            changed = changed or (f"{path}: {error.what}" if remembered else "")
            continue
        if _is_same(weights, identity, origin):
            return weights
        if origin is not None and remembered and not changed:
            changed = (
                f"the file {path} is no longer what the model was trained on (its content's "
                f"SHA-256 begins with {weights.sha256[:8]}, not with {origin.sha256[:8]})"
            )
    can_be_downloaded = origin is None or "://" in origin.source
    if can_be_downloaded and not any(path.is_file() for path in cached_files()):
        weights = find_weights(allow_download=allow_download, progress=progress)
        if _is_same(weights, identity, origin):
            return weights
    raise _missing(identity, origin, changed)


def _places(origin: WeightsOrigin | None, usual: Path | None) -> Iterator[tuple[Path, bool]]:
    """Yield files that exist, and whether the model remembers them."""
    # As it was given, too: a project may have been moved as a whole.
    remembered = [] if origin is None else [Path(p) for p in (origin.path, origin.given) if p]
    cache = cache_folder()
    suffixes = (".safetensors", ".pth", ".pt")
    inside = sorted(cache.iterdir()) if cache.is_dir() else []
    places = [
        *([] if usual is None else [(usual, False)]),
        *((path, True) for path in remembered),
        *((path, False) for path in cached_files()),
        *((path, False) for path in inside if path.suffix.lower() in suffixes),
    ]
    seen: set[Path] = set()
    for place, known in places:
        path = Path(place).expanduser()
        if (where := path.absolute()) not in seen and path.is_file():
            seen.add(where)
            yield path, known


def _is_same(weights: EncoderWeights, identity: str, origin: WeightsOrigin | None) -> bool:
    if origin is not None:
        return weights.sha256 == origin.sha256
    return encoder_identity(weights.sha256, identity) == identity


def _missing(identity: str, origin: WeightsOrigin | None, changed: str) -> WeightsError:
    cache = cache_folder()
    otherwise = "or name it with --encoder-weights or in the settings"
    if changed:
        remedy = f"put the earlier file back or into {cache}, {otherwise}"
        return WeightsError(changed, remedy=remedy)
    if origin is None or "://" in origin.source:
        url = WEIGHTS_URL if origin is None else origin.source
        what = f"of its encoder {identity}" if origin is None else "of its encoder"
        return WeightsError(
            f"the weights {what} are not on this computer",
            remedy=f"fetch {url} and put that file into {cache}, {otherwise}",
        )
    were = f"neither at {origin.path}, where they lay, nor" if origin.path else "not"
    file = f"the file {Path(origin.path).name}" if origin.path else "their file"
    return WeightsError(
        f"the weights of its encoder (SHA-256 {origin.sha256[:8]}…) are {were} in {cache}",
        remedy=f"copy {file} from the computer that trained it into that folder, {otherwise}",
    )
