"""The files of a bundle and the card in its metadata."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.detection.model_card import ModelCard, NetworkEntry

METADATA = Path("configs", "metadata.json")
INFERENCE = Path("configs", "inference.json")
TRAINING = Path("configs", "train.json")
LOGGING = Path("configs", "logging.conf")
STATE = Path("models", "model.pt")
SCRIPTED = Path("models", "model.ts")
FINE = Path("models", "fine.ts")
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


class EncoderEntry(BaseModel, frozen=True):
    """How the encoder's parameters in the state_dict are used."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str = ""
    licence: str = ""


class BundleCard(BaseModel, frozen=True):
    """What makes a model of a bundle's state_dict and template."""

    schema_version: int = SCHEMA_VERSION
    model: ModelCard
    networks: tuple[NetworkEntry, ...] = Field(min_length=1)
    """In the order of the state_dict."""
    encoder: EncoderEntry | None = None
    """None where the model was trained on the encoder that needs no weights."""
    fine: FineCard | None = None
    """Of its fine stage, whose parameters are in the same state_dict."""
