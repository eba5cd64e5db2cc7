"""The files of a bundle and the card in its metadata."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, model_validator

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
    networks: tuple[NetworkEntry, ...]
    """In the order of the state_dict; none where a fine stage follows instant detection."""
    encoder: EncoderEntry | None = None
    """None where the model was trained on the encoder that needs no weights."""
    fine: FineCard | None = None
    """Of its fine stage, whose parameters are in the same state_dict."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> BundleCard:
        if not self.networks and self.fine is None:
            raise ValueError("neither a network nor a fine stage")
        return self
