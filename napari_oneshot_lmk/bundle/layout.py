"""The files of a bundle and the card in its metadata; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from napari_oneshot_lmk.detection.model_card import ModelCard

METADATA = Path("configs", "metadata.json")
INFERENCE = Path("configs", "inference.json")
TRAINING = Path("configs", "train.json")
LOGGING = Path("configs", "logging.conf")
STATE = Path("models", "model.pt")
SCRIPTED = Path("models", "model.ts")
README = Path("docs", "README.md")
DATA_TERMS = Path("docs", "data_license.txt")
LICENCE = Path("LICENSE")
SCRIPTS = Path("scripts")
TEMPLATE = Path("template")

SECTION = "oneshot_lmk"
"""Key of the card in metadata.json."""
SCHEMA_VERSION = 1


def is_bundle(path: str | Path) -> bool:
    """Return whether a folder looks like a MONAI bundle, of this or another program."""
    return (Path(path) / METADATA).is_file()


class NetworkEntry(BaseModel):
    """One network of the model; its place in the list is the one in the state_dict."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    landmarks: tuple[str, ...] = Field(min_length=1)
    layout: dict[str, Any]


class EncoderEntry(BaseModel):
    """How the encoder's parameters in the state_dict are used."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str = ""
    licence: str = ""


class BundleCard(BaseModel):
    """What makes a model of a bundle's state_dict and template.

    ``encoder`` is missing where the model was trained on the encoder that needs no
    weights.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    model: ModelCard
    networks: tuple[NetworkEntry, ...] = Field(min_length=1)
    encoder: EncoderEntry | None = None


def network_key(index: int) -> str:
    """Return the prefix of a network's parameters in the state_dict."""
    return f"networks.{index}."


ENCODER_KEY = "encoder.vgg19."
"""Prefix of VGG19's parameters in the state_dict."""


def below(state: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the entries whose names begin with a prefix, without it."""
    return {name.removeprefix(key): value for name, value in state.items() if name.startswith(key)}
