"""The description of a trained model, as in its ``model.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Training(BaseModel):
    """How a model was trained."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preset: str = ""
    images: int = 0
    epoch: int = 0
    epochs: int = 0
    seed: int = 0
    seconds: float = 0.0
    created: str = ""
    version: str = ""


class ModelCard(BaseModel):
    """The description of a trained model.

    ``instant_share`` and ``search_cells`` are those of `DetectionSettings`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    method: str = Field(pattern="^[a-z][a-z0-9-]*$", description="name of a training method")
    encoder: str = Field(description="identity of the encoder it was trained on")
    anchor: Literal["patch", "template"] = "template"
    patch_px: int = 192
    instant_share: float = Field(default=0.0, ge=0)
    search_cells: int = Field(default=0, ge=0)
    training: Training = Training()
