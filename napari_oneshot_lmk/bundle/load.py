"""Loads a bundle as a model, without running anything in it: a stranger's can be opened safely.

The card in metadata.json is parsed as data, weights are loaded as tensors and nothing else, the
configurations are not read. Only `ScriptedDetector` runs its TorchScript, which is a program,
and only where the user allows it.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from napari_oneshot_lmk.bundle.layout import (
    METADATA,
    SCHEMA_VERSION,
    SCRIPTED,
    SECTION,
    STATE,
    TEMPLATE,
    BundleCard,
    is_bundle,
)
from napari_oneshot_lmk.bundle.network import COLUMNS, FEWEST_COLUMNS, PointNetwork
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.encoded_image import EncodedImage
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.orientation import UPRIGHT
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import EncoderCard, FeaturePyramid
from napari_oneshot_lmk.encoders.vgg19 import InputNormalisation, checked_parameters, content_sha256
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights
from napari_oneshot_lmk.errors import ModelError, UsageError, WeightsError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.matching.shape import Decided

LARGEST_TEXT = 10_000_000
"""Of metadata.json and of a pickle, in bytes. A hundred networks need a tenth of it."""
_ASK = "ask whoever made the bundle"


def load_model(path: str | Path, device: str | torch.device = "cpu") -> TrainedModel:
    """Load a model from a bundle, a model's folder or the run that contains it.

    Parameters
    ----------
    path : str or Path
        The folder.
    device : str or torch.device
        Of the networks.

    Raises
    ------
    ModelError
        If it is damaged, malicious, of a newer version, or a bundle of another program.
    """
    path = Path(path)
    if not is_bundle(path):
        return TrainedModel.load(path, device)
    content = read_metadata(path)
    if SECTION not in content:
        raise _foreign(path)
    return _load_bundle(path, content, device)


def point_network(folder: str) -> PointNetwork:
    """Make the network of a bundle of this program, for ``ckpt_export`` and training."""
    model = load_model(folder)
    encoder = encoder_for(model, None, "cpu")
    return PointNetwork(TrainedDetector(model, model.template, encoder, model.precision))


def _load_bundle(folder: Path, content: dict[str, Any], device: str | torch.device) -> TrainedModel:
    schema = content[SECTION]
    known = schema.get("schema_version") if isinstance(schema, dict) else None
    if isinstance(known, int) and known > SCHEMA_VERSION:
        what = f"the bundle was written by a newer version of this program ({known})"
        raise ModelError(what, file=folder, remedy="update napari-oneshot-lmk")
    try:
        card = BundleCard.model_validate(schema)
    except (ValidationError, RecursionError) as error:
        raise _damaged(folder, METADATA) from error
    template = Template.load(inside(folder, TEMPLATE))
    state = read_state(inside(folder, STATE), folder)
    try:
        parts = tuple(
            Part.build(entry, _below(f"networks.{index}.", state), device)
            for index, entry in enumerate(card.networks)
        )
        weights = _encoder_weights(folder, card, state)
        fine = None
        if card.fine is not None:
            own = _below("fine.network.", state)
            fine = FineStage.build(card.fine, own, template.image.geometry).to(device)
    except (UsageError, WeightsError, RuntimeError) as error:
        raise _damaged(folder, STATE) from error
    return TrainedModel(card.model, parts, template, weights, "float32", fine=fine)


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries whose names begin with a prefix, without it."""
    found = {name: value for name, value in state.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in found.items()}


def _encoder_weights(
    folder: Path, card: BundleCard, state: Mapping[str, Tensor]
) -> EncoderWeights | None:
    if card.encoder is None:
        return None
    parameters = checked_parameters(_below("encoder.vgg19.", state))
    return EncoderWeights(
        parameters,
        InputNormalisation(card.encoder.mean, card.encoder.std),
        content_sha256(parameters),
        source=card.encoder.source or str(folder),
        licence=card.encoder.licence,
    )


def inside(folder: Path, name: Path) -> Path:
    """Return the path of a file in the bundle.

    Raises `ModelError` if it is missing or a link out of the bundle.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        what = f"{name.as_posix()} is a link that leads out of the bundle"
        remedy = "open it only if you know who made it, after replacing the link"
        raise ModelError(what, file=folder, remedy=remedy)
    if not path.exists():
        raise _damaged(folder, name)
    return path


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the content of configs/metadata.json; `ModelError` if it cannot be read."""
    path = inside(folder, METADATA)
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise ValueError("too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, METADATA) from error
    if not isinstance(content, dict):
        raise _damaged(folder, METADATA)
    return content


def read_state(path: Path, folder: Path) -> dict[str, Tensor]:
    """Read a file of tensors that ``torch.save`` has written, and nothing else.

    Sizes are compared with the file's before anything is allocated. Raises `ModelError` if it
    holds more than tensors, or claims more than it holds.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        pickles = [e.file_size for e in entries if e.filename.endswith(".pkl")]
        if packed or sum(entry.file_size for entry in entries) > size:
            raise ValueError("compressed, or larger inside than outside")
        if max(pickles, default=0) > LARGEST_TEXT:
            raise ValueError("too large a pickle")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{STATE.as_posix()} holds more than tensors, and opening it could run "
            "code; it was not opened",
            file=folder,
            remedy="ask whoever made the bundle for plain weights",
        ) from error
    except Exception as error:
        # A damaged or malicious file can fail anywhere in the unpickler.
        raise _damaged(folder, STATE) from error
    tensors = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    if not tensors or sum(v.numel() * v.element_size() for v in state.values()) > size:
        raise _damaged(folder, STATE)
    return dict(state)


def _foreign(folder: Path) -> ModelError:
    what = "this MONAI bundle was not made by this program"
    remedy = "run it with python -m monai.bundle if you know who made it"
    if (folder / SCRIPTED).is_file():
        what += "; its TorchScript is a program of whoever made it and was not run"
        remedy = "use --trust if you know who that is"
    return ModelError(what, file=folder, remedy=remedy)


def _damaged(folder: Path, name: Path) -> ModelError:
    what = f"the bundle's {name.as_posix()} is missing, damaged or not of this program"
    return ModelError(what, file=folder, remedy="fetch it again, or ask whoever made it")


class _Identity:
    """In place of an encoder: the recorded network contains its own."""

    def __init__(self, card: EncoderCard) -> None:
        self.card, self.device = card, torch.device("cpu")

    def __call__(self, images: Tensor) -> FeaturePyramid:
        return FeaturePyramid((images,), ())


class ScriptedDetector(Detector):
    """Detects with the TorchScript of a bundle, a program of whoever made that.

    Only ``--trust`` leads here, and only for bundles that `load_model` cannot open.

    Parameters
    ----------
    folder : Path
        A MONAI bundle with a template in ``template/``, whose metadata describe input and
        output as in docs/bundle.md.

    Raises
    ------
    ModelError
        If they describe anything else, or the TorchScript cannot be loaded.
    """

    method = "torchscript"
    upright = True

    # Not Detector's: there are no features to describe the template with.
    def __init__(self, folder: Path) -> None:
        self.template = Template.load(inside(folder, TEMPLATE))
        self._names = [point.name for point in self.template.landmarks.placed]
        metadata = read_metadata(folder)
        self._check(folder, metadata)
        self._columns = len(metadata["coordinate_def"])
        path = inside(folder, SCRIPTED)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            what = f"{SCRIPTED.as_posix()} is damaged, or of another version of PyTorch"
            raise ModelError(what, file=folder, remedy=_ASK) from error
        self._network.eval()
        self._encoder = _Identity(EncoderCard("torchscript", folder.name, digest, ()))
        self._current = None

    def _look(self, encoded: EncodedImage) -> tuple[EncodedImage, Tensor]:
        """Run the network on the image as it lies."""
        return replace(encoded, orientation=UPRIGHT), self.points(encoded.pyramid)

    def points(self, pyramid: FeaturePyramid, decided: Decided | None = None) -> Tensor:
        """Run the network; see `Detector.points`. What it does not tell is NaN.

        Raises `ModelError` if it does not return what the bundle's metadata describe, or if
        landmarks were ``decided``: a network of another program cannot take them into account.
        """
        if decided is not None:
            raise ModelError(
                "the bundle's TorchScript cannot find landmarks given others",
                remedy="correct each point by hand, or use a model of this program",
            )
        try:
            found = self._network(pyramid.maps[0])
        except RuntimeError as error:
            what = "the bundle's TorchScript failed on this image"
            raise ModelError(what, remedy=_ASK) from error
        shape = (1, len(self._names), self._columns)
        alike = isinstance(found, Tensor) and tuple(found.shape) == shape
        if not alike or not torch.isfinite(found).all():
            what = "the bundle's TorchScript gives something else than its metadata says"
            raise ModelError(what, remedy=_ASK)
        rows = torch.full((len(self._names), len(COLUMNS)), math.nan, dtype=torch.float64)
        rows[:, : self._columns] = found[0]
        rows[:, COLUMNS.index("score")].clamp_(0, 1)
        rows[:, len(FEWEST_COLUMNS) :].clamp_(min=0)
        return rows

    def _check(self, folder: Path, content: dict[str, Any]) -> None:
        rows, columns = self.template.image.geometry.network_shape_yx
        try:
            image = content["network_data_format"]["inputs"]["image"]
            points = content["network_data_format"]["outputs"]["pred"]
            meanings = content["coordinate_def"]
            agreed = (
                image["num_channels"] == 1
                and image["spatial_shape"] == [rows, columns]
                and (points["type"], points["format"]) == ("tuples", "points")
                and list(points["channel_def"].values()) == self._names
                and tuple(each["name"] for each in meanings.values()) in (COLUMNS, FEWEST_COLUMNS)
            )
        except (KeyError, TypeError, AttributeError):
            agreed = False
        if not agreed:
            raise ModelError(
                f"{METADATA.as_posix()} describes another input or output than "
                "landmarks of its template",
                file=folder,
                remedy="run it with python -m monai.bundle",
            )


def needs_trust(path: Path) -> bool:
    """Return whether a folder is a bundle that only its own TorchScript can run.

    Raises `ModelError` if it is a bundle whose metadata cannot be read.
    """
    return is_bundle(path) and SECTION not in read_metadata(path)
