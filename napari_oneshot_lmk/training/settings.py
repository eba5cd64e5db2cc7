"""The settings of a training, section by section.

The defaults are the published ones; docs/method.md says where each comes from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

STRIDE = 32
"""The coarsest level's: patches are whole cells of it."""


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number should not be larger than the second")
    return pair


class Section(BaseModel):
    """One table of a preset: checked, and never changed."""

    # Infinity and NaN are numbers to TOML.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkSettings(Section):
    """How large the network is."""

    width: PositiveFloat = Field(
        default=1.0, description="multiplies the channels of all shared layers"
    )
    adapter_channels: NonNegativeInt = Field(
        default=16, description="of each landmark's own layers (C_A); 0: no adapters"
    )
    embedding_channels: PositiveInt = Field(
        default=64, description="length of the vectors that are compared"
    )
    normalisation: Literal["batch", "landmark", "none"] = Field(
        default="batch",
        description="batch norm of the shared layers: one for all landmarks "
        "(batch), one each (landmark), or none",
    )
    lateral_channels: NonNegativeInt = Field(
        default=0,
        description="to which each encoder map is reduced before the decoder reads "
        "it; 0: it reads them whole, as published",
    )
    rfb: bool = Field(
        default=True, description="whether levels 3 to 5 have receptive field blocks, as published"
    )


class TemplateCopySettings(Section):
    """How the augmented copies of the template differ from it."""

    count: PositiveInt = Field(default=500, description="copies, made once")
    shift: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        default=0.02, description="at most, as a part of the frame's height and width"
    )
    scale: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01, description="at most, 0.01: between 99 and 101 %"
    )
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        default=5.0, description="at most, either way"
    )
    gamma: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)] = Field(
        default=(1.0, 1.0), description="exponent of the grey values, from to"
    )
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="at most, 0.25: factors from 0.75 to 1.25"
    )
    noise: NonNegativeFloat = Field(
        default=0.0, description="standard deviation at most, grey values run from 0 to 1"
    )


class PatchSettings(Section):
    """How patches are cut and augmented, where the anchor is one."""

    size: Annotated[int, Field(gt=0, multiple_of=STRIDE)] = Field(
        default=192, description="side in network pixels, a multiple of 32"
    )
    placement: Literal["centred", "jittered", "aligned"] = Field(
        default="centred",
        description="the point lies in the middle (centred), near it (jittered), or "
        "the patch's cells coincide with the image's (aligned)",
    )
    jitter_px: NonNegativeInt = Field(
        default=16, description="at most, along rows and columns, where jittered"
    )
    brightness: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.15, description="at most, 0.15: factors from 0.85 to 1.15"
    )
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.25, description="at most, 0.25: factors from 0.75 to 1.25"
    )
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        default=20.0, description="at most, about the patch's middle"
    )


class LossSettings(Section):
    """The contrastive loss, the same on all five levels."""

    temperature: PositiveFloat = Field(default=10.0, description="factor of the cosine")
    bias_per_cell: NonNegativeFloat = Field(
        default=0.07,
        description="added to the cosine of a wrong cell for each cell of its distance",
    )
    bias_cap: NonNegativeFloat = Field(default=0.8, description="largest sum that is added")
    window: Annotated[int, Field(gt=0, multiple_of=2)] = Field(
        default=22, description="cells along a side that the right cell competes with"
    )
    soft_sigma_cells: NonNegativeFloat = Field(
        default=0.0, description="width of a soft sub-pixel target; 0: one right cell"
    )


class LabelSettings(Section):
    """Pseudo-labels of the unlabelled images."""

    initial: Literal["instant", "random"] = Field(
        default="random", description="found by instant detection, or anywhere"
    )
    weigh: bool = Field(
        default=False, description="whether doubtful pseudo-labels count less in the loss"
    )
    renew_every: PositiveInt = Field(default=1, description="epochs between new pseudo-labels")


class DetectionSettings(Section):
    """What the trained network works together with when it detects."""

    instant_share: NonNegativeFloat = Field(
        default=0.0, description="of the similarity seen without training that is added; 0: none"
    )
    search_cells: NonNegativeInt = Field(
        default=0,
        description="side of the window on each level that is searched around the "
        "place found without training; 0: everywhere, as published",
    )


class TrainingSettings(Section):
    """The optimiser and its schedule."""

    anchor: Literal["patch", "template"] = Field(
        default="patch",
        description="what a point is compared with: an augmented patch of its own "
        "image (patch, as published), or the template (quicker)",
    )
    together: bool = Field(
        default=False,
        description="whether a step holds all landmarks, and copies of the template "
        "beside unlabelled images; otherwise one landmark, and the template first, as "
        "published",
    )
    points: PositiveInt = Field(
        default=1, description="random points a patch, where the method is joint"
    )
    epochs: PositiveInt = Field(default=300, description="of three stages each")
    batch: PositiveInt = Field(default=8, description="images a step")
    learning_rate: PositiveFloat = Field(default=1e-4, description="of Adam")
    weight_decay: NonNegativeFloat = Field(default=1e-4, description="of Adam, coupled")
    schedule: Literal["constant", "step", "cosine"] = Field(
        default="step", description="of the learning rate"
    )
    step_epochs: PositiveInt = Field(default=50, description="between two steps")
    step_factor: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="of the learning rate at each step"
    )
    selection: Literal["last", "agreement"] = Field(
        default="last",
        description="the last epoch's model, or the last one whose points fit the "
        "shape of all landmarks no worse than the best (no annotation is read)",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the hardware is quick at it"
    )
