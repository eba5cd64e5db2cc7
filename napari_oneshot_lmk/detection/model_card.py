"""The description of a trained model, as in its ``model.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

SCHEMA_VERSION = 1


class Training(BaseModel, frozen=True):
    """How a model was trained."""

    preset: str = ""
    images: int = 0
    epoch: int = 0
    epochs: int = 0
    seed: int = 0
    seconds: float = 0.0
    corrected: int = 0
    """Images, beside the template, whose annotation it was fine-tuned on: few-shot if not 0."""
    created: str = ""
    version: str = ""


class ModelCard(BaseModel, frozen=True):
    """The description of a trained model.

    ``instant_share`` and ``search_cells`` are those of `DetectionSettings`.
    """

    schema_version: int = SCHEMA_VERSION
    method: str = Field(pattern="^[a-z][a-z0-9-]*$", description="name of a training method")
    encoder: str = Field(description="identity of the encoder it was trained on")
    anchor: Literal["patch", "template"] = "template"
    patch_px: int = 192
    instant_share: float = Field(default=0.0, ge=0)
    search_cells: int = Field(default=0, ge=0)
    instant: tuple[str, ...] = ()
    """Landmarks that the training has made worse: they are detected as without it."""
    sharpness: float | None = Field(default=None, ge=0.01, le=100)
    """Of `Detector`, measured at the end of the training; older models have none."""
    training: Training = Training()


class NetworkEntry(BaseModel, frozen=True):
    """One network of a model: its landmarks, and its sizes as `NetworkConfig.to_json`."""

    landmarks: tuple[str, ...] = Field(min_length=1)
    layout: dict[str, Any]
