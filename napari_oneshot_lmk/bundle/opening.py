"""Opens a bundle as a model. Nothing in it is run.

The card in metadata.json is parsed as data, weights are loaded as tensors and
nothing else, the configurations are not read at all. So a bundle of a stranger can
be opened without a thought; TorchScript, which is a program, is not touched.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from napari_oneshot_lmk.bundle.card import (
    ENCODER_KEY,
    SCHEMA_VERSION,
    SECTION,
    BundleCard,
    below,
    network_key,
)
from napari_oneshot_lmk.bundle.layout import METADATA, SCRIPTED, STATE, TEMPLATE, is_bundle
from napari_oneshot_lmk.bundle.point_network import PointNetwork
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.model_network import network_of
from napari_oneshot_lmk.detection.trained import TrainedDetector
from napari_oneshot_lmk.encoders.vgg19 import InputNormalisation, checked_parameters, content_sha256
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights
from napari_oneshot_lmk.errors import ModelError, UsageError, WeightsError
from napari_oneshot_lmk.landmarks.template import Template

LARGEST_JSON = 10_000_000
LARGEST_PICKLE = 10_000_000
"""Bytes. The names and shapes of a hundred networks need a tenth of it."""
_AGAIN = "fetch it again, or ask whoever made it"


def open_model(path: str | Path, device: str | torch.device = "cpu") -> TrainedModel:
    """Open a bundle, a model's folder or the run that made it.

    Parameters
    ----------
    path : str or Path
        The folder.
    device : str or torch.device
        Where the networks go.

    Raises
    ------
    ModelError
        If it is damaged, hostile, of a newer version, or a bundle of another program.
    """
    path = Path(path)
    if not is_bundle(path):
        return TrainedModel.load(path, device)
    content = read_metadata(path)
    if SECTION not in content:
        raise _foreign(path)
    return _opened(path, content, device)


def point_network(folder: str) -> PointNetwork:
    """Make the network of one of our bundles, for ``ckpt_export`` and training.

    Parameters
    ----------
    folder : str
        The bundle's.
    """
    model = open_model(folder)
    encoder = encoder_for(model, None, "cpu")
    return PointNetwork(TrainedDetector(model, model.template, encoder, model.precision))


def _opened(folder: Path, content: dict[str, Any], device: str | torch.device) -> TrainedModel:
    schema = content[SECTION]
    known = schema.get("schema_version") if isinstance(schema, dict) else None
    if isinstance(known, int) and known > SCHEMA_VERSION:
        raise ModelError(
            f"the bundle was written by a newer version of this program ({known})",
            file=folder,
            remedy="update napari-oneshot-lmk",
        )
    try:
        card = BundleCard.model_validate(schema)
    except (ValidationError, RecursionError) as error:
        raise _damaged(folder, METADATA) from error
    state = read_state(inside(folder, STATE), folder)
    try:
        parts = tuple(
            Part(
                entry.landmarks,
                network_of(entry.landmarks, entry.layout, below(state, network_key(index))).to(
                    device
                ),
            )
            for index, entry in enumerate(card.networks)
        )
        weights = _encoder_weights(folder, card, state)
    except (UsageError, WeightsError, RuntimeError) as error:
        raise _damaged(folder, STATE) from error
    template = Template.load(inside(folder, TEMPLATE))
    return TrainedModel(card.model, parts, template, weights, "float32")


def _encoder_weights(
    folder: Path, card: BundleCard, state: dict[str, Tensor]
) -> EncoderWeights | None:
    if card.encoder is None:
        return None
    parameters = checked_parameters(below(state, ENCODER_KEY))
    return EncoderWeights(
        parameters,
        InputNormalisation(card.encoder.mean, card.encoder.std),
        content_sha256(parameters),
        source=card.encoder.source or str(folder),
        licence=card.encoder.licence,
    )


def inside(folder: Path, name: Path) -> Path:
    """Return a place in the bundle; links do not lead out of it.

    Raises
    ------
    ModelError
        If it is missing or leads elsewhere.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(
            f"{name.as_posix()} is a link that leads out of the bundle",
            file=folder,
            remedy="open it only if you know who made it, after replacing the link",
        )
    if not path.exists():
        raise _damaged(folder, name)
    return path


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the content of configs/metadata.json, as data.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    path = inside(folder, METADATA)
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, METADATA) from error
    if not isinstance(content, dict):
        raise _damaged(folder, METADATA)
    return content


def read_state(path: Path, folder: Path) -> dict[str, Tensor]:
    """Read a file of tensors as ``torch.save`` writes it, and nothing else.

    Sizes are checked against the file's before anything is made: a header may claim
    what it likes.

    Raises
    ------
    ModelError
        If it holds more than tensors, or claims more than it holds.
    """
    try:
        _check_archive(path, folder)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{STATE.as_posix()} holds more than tensors, and opening it could run "
            "code; it was not opened",
            file=folder,
            remedy="ask whoever made the bundle for plain weights",
        ) from error
    except ModelError:
        raise
    except Exception as error:
        # A damaged or hostile file can fail anywhere in the unpickler.
        raise _damaged(folder, STATE) from error
    tensors = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    size = path.stat().st_size
    claimed = (
        sum(value.numel() * value.element_size() for value in state.values()) if tensors else 0
    )
    if not tensors or claimed > size:
        raise _damaged(folder, STATE)
    return dict(state)


def _check_archive(path: Path, folder: Path) -> None:
    """Refuse archives that are packed, or larger inside than outside."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    claimed = sum(entry.file_size for entry in entries)
    pickles = [e.file_size for e in entries if e.filename.endswith(".pkl")]
    if packed or claimed > path.stat().st_size or max(pickles, default=0) > (LARGEST_PICKLE):
        raise _damaged(folder, STATE)


def _foreign(folder: Path) -> ModelError:
    if (folder / SCRIPTED).is_file():
        return ModelError(
            "this MONAI bundle was not made by this program; its TorchScript is a "
            "program of whoever made it and was not run",
            file=folder,
            remedy="use --trust if you know who that is",
        )
    return ModelError(
        "this MONAI bundle was not made by this program",
        file=folder,
        remedy="run it with python -m monai.bundle if you know who made it",
    )


def _damaged(folder: Path, name: Path) -> ModelError:
    return ModelError(
        f"the bundle's {name.as_posix()} is missing, damaged or not of this program",
        file=folder,
        remedy=_AGAIN,
    )
