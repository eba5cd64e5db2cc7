"""A trained model as a folder of data without code: a stranger's can be opened safely.

``model.json`` describes it, ``network-*.safetensors`` hold the weights, ``fine.safetensors`` those
of its fine stage, if it has one, ``template/`` is the template that it was trained from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.model_card import SCHEMA_VERSION, ModelCard, NetworkEntry
from napari_oneshot_lmk.encoders.device import Precision
from napari_oneshot_lmk.encoders.encoder import WeightsOrigin
from napari_oneshot_lmk.encoders.model_weights import encoder_identity
from napari_oneshot_lmk.encoders.weights_file import (
    EncoderWeights,
    half_precision,
    read_weights,
    write_weights,
)
from napari_oneshot_lmk.errors import ModelError, UsageError, WeightsError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.heatmap_network import Network, build_network
from napari_oneshot_lmk.network.meta_device import on_meta_device
from napari_oneshot_lmk.storage.atomic import atomic_write

DESCRIPTION_FILE = "model.json"
TEMPLATE_FOLDER = "template"
FINE_FILE = "fine.safetensors"
ENCODER_FILE = "encoder.safetensors"
"""The encoder's weights in half precision, where they were packed into the model."""


@dataclass(frozen=True, eq=False)
class Part:
    """One network of a model, with an adapter per landmark or one for all of them."""

    landmarks: tuple[str, ...]
    network: Network

    def adapters(self, landmarks: tuple[str, ...]) -> list[int]:
        """Return the adapter of each landmark."""
        if self.network.config.num_landmarks == 1:
            return [0] * len(landmarks)
        return [self.landmarks.index(name) for name in landmarks]

    @property
    def entry(self) -> NetworkEntry:
        """Its description, from which `build` makes it again."""
        return NetworkEntry(landmarks=self.landmarks, layout=self.network.config.to_json())

    @classmethod
    def build(
        cls, entry: NetworkEntry, state: Mapping[str, Tensor], device: str | torch.device
    ) -> Part:
        """Build a network in evaluation mode and load its state_dict.

        A `UsageError` is raised where description and state_dict do not fit together.
        """
        sizes = NetworkConfig.from_json(entry.layout)
        if sizes.num_landmarks not in (1, len(entry.landmarks)):
            raise UsageError("adapters and landmarks do not match")
        # A layout that claims terabytes costs nothing to refuse.
        with on_meta_device():
            expected = build_network(sizes).state_dict()
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in expected.items()}:
            raise UsageError("the numbers do not fit the layout")
        network = build_network(sizes)
        network.load_state_dict(state)
        return cls(entry.landmarks, network.requires_grad_(False).eval().to(device))


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model: one network for all landmarks, or one for each; or a fine stage alone."""

    card: ModelCard
    parts: tuple[Part, ...]
    """Its networks; no landmark is in two of them."""
    template: Template
    """That it was trained from."""
    encoder_weights: EncoderWeights | None = None
    """Where the model contains them."""
    precision: Precision = "auto"
    origin: WeightsOrigin | None = None
    """Of the weights of its encoder; None where that needs none."""
    fine: FineStage | None = None
    """What looks a second time around each point."""

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks that were trained."""
        if not self.parts and self.fine is not None:
            return self.fine.card.landmarks
        return tuple(name for part in self.parts for name in part.landmarks)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        networks: list[torch.nn.Module] = [part.network for part in self.parts]
        networks += [] if self.fine is None else [self.fine]
        return sum(p.numel() for network in networks for p in network.parameters())

    @property
    def packed(self) -> bool:
        """Whether the model contains the encoder's weights, in half precision."""
        return self.origin is not None and bool(self.origin.packed_sha256)

    @cached_property
    def encoders(self) -> tuple[str, ...]:
        """Identities of the encoders whose features it takes.

        The one that it was trained on and, if packed, the same with rounded weights.
        """
        if self.origin is None or not self.packed:
            return (self.card.encoder,)
        return tuple(
            {self.card.encoder, encoder_identity(self.origin.packed_sha256, self.card.encoder)}
        )

    def with_packed(self, weights: EncoderWeights) -> TrainedModel:
        """Return the model with its encoder's weights, as `half_precision` rounds them."""
        rounded = half_precision(weights)
        known = self.origin or WeightsOrigin(sha256=weights.sha256)
        origin = known.model_copy(update={"packed_sha256": rounded.sha256})
        return replace(self, encoder_weights=rounded, origin=origin)

    @cached_property
    def content_sha256(self) -> str:
        """Hash of all that detection depends on: the card and the networks' weights."""
        about = self.card.model_dump(exclude={"training", "schema_version"})
        about["precision"] = self.precision
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for part in self.parts:
            digest.update(json.dumps(part.landmarks).encode())
            _add_weights(digest, part.network)
        if self.fine is not None:
            # What detection does not depend on, and what models from before do not have.
            unsaid = {"target_sds_px", *(() if self.fine.card.coarse_sd_px else ("coarse_sd_px",))}
            digest.update(self.fine.card.model_dump_json(exclude=unsaid).encode())
            _add_weights(digest, self.fine.network)
        return digest.hexdigest()

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the model as a folder; raises as `atomic_write`."""
        parts = {f"network-{i:03d}.safetensors": part for i, part in enumerate(self.parts)}
        networks = [{"file": file, **part.entry.model_dump()} for file, part in parts.items()]
        content = {**self.card.model_dump(), "networks": networks}
        if self.origin is not None:
            content["encoder_weights"] = self.origin.model_dump()
        if self.fine is not None:
            content["fine"] = self.fine.card.model_dump()
        text = json.dumps(content, indent=1, ensure_ascii=False)
        with atomic_write(Path(folder), overwrite=overwrite, folder=True) as partial:
            for file, part in parts.items():
                save_file(_tensors(part.network), partial / file)
            if self.fine is not None:
                save_file(_tensors(self.fine.network), partial / FINE_FILE)
            if self.packed and self.encoder_weights is not None:
                write_weights(partial / ENCODER_FILE, self.encoder_weights, half=True)
            (partial / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")
            self.template.save(partial / TEMPLATE_FOLDER)

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> TrainedModel:
        """Read a model's folder, or the run that contains it, onto a device.

        Raises
        ------
        ModelError
            If there is none, or it is damaged or of a newer version.
        """
        folder = model_folder(Path(folder))
        content = _read_description(folder)
        try:
            card = ModelCard.model_validate(content)
            description = _Networks.model_validate(content)
        except ValidationError as error:
            raise _damaged(folder, DESCRIPTION_FILE) from error
        parts = tuple(_load_part(folder, entry, device) for entry in description.networks)
        weights = _packed_weights(folder, description.encoder_weights)
        template = Template.load(folder / TEMPLATE_FOLDER)
        fine = _load_fine(folder, description.fine, template, device)
        return cls(card, parts, template, weights, origin=description.encoder_weights, fine=fine)


class _NetworkFile(NetworkEntry, frozen=True):
    """One entry of ``networks``. The file is a plain name, never a path out of the folder."""

    file: str = Field(pattern=r"^[A-Za-z0-9_-]+\.safetensors$")


class _Networks(BaseModel):
    """What ``model.json`` holds beside the card."""

    networks: tuple[_NetworkFile, ...]
    encoder_weights: WeightsOrigin | None = None
    fine: FineCard | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> _Networks:
        if not self.networks and self.fine is None:
            raise ValueError("neither a network nor a fine stage")
        return self


def _add_weights(digest: hashlib._Hash, network: torch.nn.Module) -> None:
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        numbers = value.detach().cpu().reshape(-1).view(torch.uint8)
        digest.update(numbers.numpy().tobytes())


def _tensors(network: torch.nn.Module) -> dict[str, Tensor]:
    return {k: value.detach().cpu().contiguous() for k, value in network.state_dict().items()}


def model_folder(path: Path) -> Path:
    """Return the model's own folder, given that or its run; `ModelError` if there is no model."""
    for folder in (path, path / "model"):
        if (folder / DESCRIPTION_FILE).is_file():
            return folder
    if (path / "run.json").is_file():
        what = "the training has not finished, there is no model yet"
        remedy = "give the same train command again to go on with it"
        raise ModelError(what, file=path, remedy=remedy)
    raise ModelError(
        "holds no trained model", file=path, remedy="name the folder that oneshot-lmk train wrote"
    )


def _read_description(folder: Path) -> Mapping[str, Any]:
    try:
        content = dict(json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(folder, DESCRIPTION_FILE) from error
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        what = f"the model was written by a newer version of this program ({version})"
        raise ModelError(what, file=folder, remedy="update napari-oneshot-lmk")
    return content


def _load_part(folder: Path, entry: _NetworkFile, device: str | torch.device) -> Part:
    try:
        return Part.build(entry, load_file(folder / entry.file), device)
    except (OSError, SafetensorError, UsageError, RuntimeError) as error:
        raise _damaged(folder, entry.file) from error


def _load_fine(
    folder: Path, card: FineCard | None, template: Template, device: str | torch.device
) -> FineStage | None:
    if card is None:
        return None
    try:
        state = load_file(folder / FINE_FILE)
        return FineStage.build(card, state, template.image.geometry).to(device)
    except (OSError, SafetensorError, UsageError, RuntimeError) as error:
        raise _damaged(folder, FINE_FILE) from error


def _packed_weights(folder: Path, origin: WeightsOrigin | None) -> EncoderWeights | None:
    if origin is None or not origin.packed_sha256:
        return None
    try:
        weights = read_weights(folder / ENCODER_FILE)
    except WeightsError as error:
        raise _damaged(folder, ENCODER_FILE) from error
    if weights.sha256 != origin.packed_sha256:
        raise _damaged(folder, ENCODER_FILE)
    return weights


def _damaged(folder: Path, file: str) -> ModelError:
    what = f"the model's {file} is missing, damaged or not of this program"
    return ModelError(what, file=folder, remedy="copy the whole folder again, or train again")
