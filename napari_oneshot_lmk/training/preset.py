"""Presets: every number of a training, in a readable file that a user can copy.

Those of the package are in ``presets/``; docs/method.md gives the source of each value.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from napari_oneshot_lmk.errors import SourceError, UsageError
from napari_oneshot_lmk.network import crop_config

STRIDE = 32
"""Of the coarsest level: patches are whole cells of it."""


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number should not be larger than the second")
    return pair


Fraction = Annotated[float, Field(ge=0, lt=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Range = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)]


def _setting(default: Any, description: str) -> Any:
    return Field(default=default, description=description)


class Section(BaseModel):
    """One table of a preset: validated and immutable."""

    # TOML has numbers for infinity and NaN.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkSettings(Section):
    """How large the network is."""

    width: PositiveFloat = _setting(1.0, "multiplies the channels of all shared layers")
    adapter_channels: NonNegativeInt = _setting(
        16, "of each landmark's own layers (C_A); 0: no adapters"
    )
    embedding_channels: PositiveInt = _setting(64, "length of the vectors that are compared")
    normalisation: Literal["batch", "landmark", "none"] = _setting(
        "batch",
        "batch norm of the shared layers: one for all landmarks (batch), one each (landmark), "
        "or none",
    )
    lateral_channels: NonNegativeInt = _setting(
        0,
        "to which each encoder map is reduced before the decoder reads it; 0: it reads them "
        "whole, as published",
    )
    rfb: bool = _setting(True, "whether levels 3 to 5 have receptive field blocks, as published")


class TemplateCopySettings(Section):
    """How the augmented copies of the template differ from it."""

    count: PositiveInt = _setting(500, "copies, made once")
    shift: Annotated[float, Field(ge=0, lt=0.5)] = _setting(
        0.02, "at most, as a part of the frame's height and width"
    )
    scale: Fraction = _setting(0.01, "at most, 0.01: between 99 and 101 %")
    rotation_deg: Degrees = _setting(5.0, "at most, either way")
    gamma: Range = _setting((1.0, 1.0), "exponent of the grey values, from to")
    contrast: Fraction = _setting(0.0, "at most, 0.25: factors from 0.75 to 1.25")
    noise: NonNegativeFloat = _setting(
        0.0, "standard deviation at most, grey values run from 0 to 1"
    )


class PatchSettings(Section):
    """How patches are cut and augmented, where the anchor is one."""

    size: Annotated[int, Field(gt=0, multiple_of=STRIDE)] = _setting(
        192, "side in network pixels, a multiple of 32"
    )
    placement: Literal["centred", "jittered", "aligned"] = _setting(
        "centred",
        "the point lies in the middle (centred), near it (jittered), or the patch's cells "
        "coincide with the image's (aligned)",
    )
    jitter_px: NonNegativeInt = _setting(16, "at most, along rows and columns, where jittered")
    brightness: Fraction = _setting(0.15, "at most, 0.15: factors from 0.85 to 1.15")
    contrast: Fraction = _setting(0.25, "at most, 0.25: factors from 0.75 to 1.25")
    rotation_deg: Degrees = _setting(20.0, "at most, about the patch's middle")


class LossSettings(Section):
    """The contrastive loss, the same on all five levels."""

    temperature: PositiveFloat = _setting(10.0, "factor of the cosine")
    bias_per_cell: NonNegativeFloat = _setting(
        0.07, "added to the cosine of a wrong cell for each cell of its distance"
    )
    bias_cap: NonNegativeFloat = _setting(0.8, "largest sum that is added")
    window: Annotated[int, Field(gt=0, multiple_of=2)] = _setting(
        22, "cells along a side that the right cell competes with"
    )
    soft_sigma_cells: NonNegativeFloat = _setting(
        0.0, "width of a soft sub-pixel target; 0: one right cell"
    )


class LabelSettings(Section):
    """Pseudo-labels of the unlabelled images."""

    initial: Literal["instant", "random"] = _setting(
        "random", "found by instant detection, or anywhere"
    )
    weigh: bool = _setting(False, "whether doubtful pseudo-labels count less in the loss")
    renew_every: PositiveInt = _setting(1, "epochs between new pseudo-labels")
    hold: bool = _setting(
        False,
        "whether a landmark's labels may not move all together, away from where instant detection "
        "found them; read only where that found the first ones",
    )

    @property
    def are_held(self) -> bool:
        """Whether labels stay about where they were first found."""
        return self.hold and self.initial == "instant"


class DetectionSettings(Section):
    """What the trained network works together with when it detects."""

    instant_share: NonNegativeFloat = _setting(
        0.0, "of the similarity seen without training that is added; 0: none"
    )
    search_cells: NonNegativeInt = _setting(
        0,
        "side of the window on each level that is searched around the place found without "
        "training; 0: everywhere, as published",
    )


class TrainingSettings(Section):
    """The optimiser and its schedule."""

    anchor: Literal["patch", "template"] = _setting(
        "patch",
        "what a point is compared with: an augmented patch of its own image (patch, as "
        "published), or the template (quicker)",
    )
    together: bool = _setting(
        False,
        "whether a step holds all landmarks, and copies of the template beside unlabelled "
        "images; otherwise one landmark, and the template first, as published",
    )
    points: PositiveInt = _setting(1, "random points a patch, where the method is joint")
    epochs: PositiveInt = _setting(300, "of three stages each")
    batch: PositiveInt = _setting(8, "images a step")
    learning_rate: PositiveFloat = _setting(1e-4, "of Adam")
    weight_decay: NonNegativeFloat = _setting(1e-4, "of Adam, coupled")
    schedule: Literal["constant", "step", "cosine"] = _setting("step", "of the learning rate")
    step_epochs: PositiveInt = _setting(50, "between two steps")
    step_factor: Annotated[float, Field(gt=0, le=1)] = _setting(
        0.5, "of the learning rate at each step"
    )
    selection: Literal["last", "agreement"] = _setting(
        "last",
        "the last epoch's model, or the last one whose points fit the shape of all landmarks "
        "no worse than the best (no annotation is read)",
    )
    keep_instant: bool = _setting(
        False,
        "whether landmarks that the training has made worse, as far as that can be told without "
        "annotations, are left to detection without training",
    )
    precision: Literal["auto", "float32", "bfloat16"] = _setting(
        "auto", "auto: bfloat16 where the hardware is quick at it"
    )


class StudentSettings(Section):
    """The method that draws a map of each landmark (student)."""

    target_sd_cells: PositiveFloat = _setting(
        1.0, "of the Gaussian about a label, in cells of two network pixels"
    )


class FineSettings(Section):
    """The fine stage: a small network that looks again, around each point."""

    pixel: PositiveFloat = _setting(
        0.007,
        "side of a crop's pixel, as a part of the template's size: 0.3 mm on a lateral "
        "cephalogram; the same in millimetres on all images that state their spacing",
    )
    side: Annotated[int, Field(gt=0, multiple_of=crop_config.STRIDE)] = _setting(
        96, "of a crop in its pixels, a multiple of 16 cells"
    )
    wider: Annotated[int, Field(gt=1)] = _setting(
        3, "times as far sees the second channel of a crop, in pixels so many times as large"
    )
    width: Annotated[int, Field(gt=0, multiple_of=crop_config.NORM_GROUPS)] = _setting(
        24, "channels of the network's finest level, a multiple of 4"
    )
    cell: PositiveInt = _setting(
        2, "side of that level's cells, in pixels of the crop; with 1 a step takes far longer"
    )
    epochs: PositiveInt = _setting(9, "in each round")
    epoch_steps: PositiveInt = _setting(
        50, "steps of an epoch, however many images there are: all take their turn"
    )
    renewals: NonNegativeInt = _setting(
        1, "times that the pseudo-labels are found anew, with what was learned; a round follows"
    )
    batch: PositiveInt = _setting(64, "crops a step")
    template_share: Fraction = _setting(
        0.15, "of the crops that show the template, whose points are known"
    )
    learning_rate: PositiveFloat = _setting(2e-3, "of AdamW, at the top of its one cycle")
    weight_decay: NonNegativeFloat = _setting(1e-2, "of AdamW")
    target_sd_px: PositiveFloat = _setting(2.0, "of the Gaussian target, in pixels of the crop")
    target_precision: Literal["fixed", "adaptive"] = _setting(
        "fixed",
        "whether all landmarks keep this spread, or each has one of its own, which is searched "
        "for during the training (adaptive)",
    )
    precision_steps: PositiveInt = _setting(
        25, "steps between two choices of the spreads, where they adapt"
    )
    precision_copies: PositiveInt = _setting(
        8, "crops of the template for each landmark that spreads are judged by, never trained on"
    )
    jitter_px: NonNegativeFloat = _setting(
        20.0, "at most, of a crop's centre from the point, along rows and columns"
    )
    rotation_deg: Degrees = _setting(11.5, "at most, either way")
    scale: Fraction = _setting(0.12, "at most, 0.12: between 88 and 112 %")
    gamma: Range = _setting((0.7, 1.4), "exponent of the grey values, from to")
    contrast: Fraction = _setting(0.25, "at most, 0.25: factors from 0.75 to 1.25")
    noise: NonNegativeFloat = _setting(
        0.03, "standard deviation at most, grey values run from 0 to 1"
    )
    looks: Annotated[int, Field(ge=1, le=10)] = _setting(
        1, "at each point, the first around the point that was found before"
    )
    coarse_sd_px: NonNegativeFloat = _setting(
        4.0, "spread of the Gaussian about the point before that weighs all places; 0: none does"
    )
    window: Annotated[int, Field(ge=1, le=101)] = _setting(
        9, "cells a side around the peak whose mean place is the point, an odd number"
    )
    share: Annotated[float, Field(ge=0, le=1)] = _setting(
        1.0, "weight of what the fine stage sees; the rest is that of the point before"
    )


PRESETS = ("laptop", "gpu", "paper")
"""Names of those that come with the package, quickest first."""
FINE_TUNING = "fine-tuning"
"""Name of the one that `training.fine_tune` goes by; `oneshot-lmk train` does not offer it."""


class Preset(Section):
    """All settings of a training. The defaults are those of the preset ``paper``."""

    network: NetworkSettings = NetworkSettings()
    template_copies: TemplateCopySettings = TemplateCopySettings()
    patch: PatchSettings = PatchSettings()
    loss: LossSettings = LossSettings()
    labels: LabelSettings = LabelSettings()
    detection: DetectionSettings = DetectionSettings()
    training: TrainingSettings = TrainingSettings()
    student: StudentSettings = StudentSettings()
    fine: FineSettings = FineSettings()

    @model_validator(mode="after")
    def _check_jitter(self) -> Preset:
        jittered = self.patch.placement == "jittered"
        if jittered and 2 * self.patch.jitter_px >= self.patch.size:
            raise ValueError("patch.jitter_px should be less than half of patch.size")
        if 4 * self.fine.jitter_px >= self.fine.side:
            raise ValueError("fine.jitter_px should be less than a quarter of fine.side")
        coarsest_px = crop_config.STRIDE * self.fine.cell
        if self.fine.side % coarsest_px:
            raise ValueError(f"fine.side should be a multiple of {coarsest_px}, 16 times fine.cell")
        if self.fine.window % 2 == 0:
            raise ValueError("fine.window should be an odd number")
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> Preset:
        """Read one of ``PRESETS``, ``FINE_TUNING``, or a user's own TOML file.

        What a file leaves out has the value of the preset ``paper``. Raises `UsageError` if
        there is none, or it holds what is no setting.
        """
        if name_or_path in (*PRESETS, FINE_TUNING):
            return cls.from_toml(preset_text(str(name_or_path)), str(name_or_path))
        path = Path(name_or_path).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            # "huge" may be a wrong choice, "huge.toml" is a file that is not there.
            raise (SourceError if path.suffix else UsageError)(
                "is neither a preset nor a readable file of settings",
                file=name_or_path,
                remedy=f"use {', '.join(PRESETS)}, or a copy of one of their files",
            ) from error
        return cls.from_toml(text, path)

    @classmethod
    def from_toml(cls, text: str, source: str | Path = "preset") -> Preset:
        """Read settings from TOML; `UsageError`, which names ``source``, if they are wrong."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SourceError(
                f"is not valid TOML ({error})", file=source, remedy="correct it"
            ) from error
        except ValidationError as error:
            raise usage_error(error, source) from error

    def to_toml(self) -> str:
        """Return the settings as a file that `load` reads, each with its description."""
        lines: list[str] = []
        for section, settings in self:
            lines += [f"# {type(settings).__doc__}", f"[{section}]"]
            for name, field in type(settings).model_fields.items():
                # TOML and JSON write all values alike: numbers, strings, booleans and pairs.
                value = json.dumps(getattr(settings, name))
                lines += [f"# {field.description}", f"{name} = {value}"]
            lines.append("")
        return "\n".join(lines)

    def changed(self, values: Mapping[str, Any]) -> Preset:
        """Return the preset with values replaced: ``{"network.adapter_channels": 0}``.

        Raises `UsageError` if there is no such setting, or it cannot have that value.
        """
        content = self.model_dump()
        for dotted, value in values.items():
            section, _, name = dotted.partition(".")
            if name not in content.get(section, {}):
                raise UsageError(f"there is no setting {dotted}")
            content[section][name] = value
        try:
            return Preset.model_validate(content)
        except ValidationError as error:
            raise usage_error(error, None) from error

    def differences(self, other: Preset) -> list[str]:
        """Describe differences from an earlier one: ``"training.epochs is 3, was 5 before"``."""
        before = dict(other.values())
        return [
            f"{name} is {json.dumps(value)}, was {json.dumps(before[name])} before"
            for name, value in self.values()
            if value != before[name]
        ]

    def values(self) -> Iterator[tuple[str, Any]]:
        """Yield every setting's dotted name and value."""
        for section, settings in self:
            for name, value in settings:
                yield f"{section}.{name}", value


def preset_text(name: str) -> str:
    """Return the file of a preset that comes with the package, to be copied."""
    file = files("napari_oneshot_lmk.training") / "presets" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


def usage_error(error: ValidationError, source: str | Path | None) -> UsageError:
    """Return the first error that pydantic reports as a `UsageError`."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UsageError(f"there is no setting {where}", file=source, remedy="correct its name")
    what = first["msg"].removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    return UsageError(f"{where}: {what}" if where else what, file=source)
