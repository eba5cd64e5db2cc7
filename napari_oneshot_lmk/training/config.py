"""What to train and how, declared once in `TrainingConfig`.

The command's options, the dock's form with what it remembers, the arguments of the process
that a window starts and the settings in ``run.json`` are made from its fields.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.methods import METHODS, TrainingMethod, find_method
from napari_oneshot_lmk.training.preset import PRESETS, Preset, Section, usage_error

if TYPE_CHECKING:
    from pydantic import ModelWrapValidatorHandler

    from napari_oneshot_lmk.landmarks.template import Template


class Duration(StrEnum):
    """How long a training may take, where no preset is named."""

    QUICK = "quick"
    NORMAL = "normal"
    THOROUGH = "thorough"


EPOCH_FACTORS = {Duration.QUICK: 1 / 3, Duration.NORMAL: 1.0, Duration.THOROUGH: 1.0}


def _field(default: Any, title: str, description: str, **metadata: Any) -> Any:
    return Field(default=default, title=title, description=description, json_schema_extra=metadata)


def _override(dotted: str, title: str, description: str, **more: Any) -> Any:
    """Return a field that replaces one of the preset's settings, which checks it, if not None."""
    section, _, name = dotted.partition(".")
    settings: Any = Preset.model_fields[section].annotation
    kind = settings.model_fields[name].annotation
    if get_origin(kind) is Literal:
        more["choices"] = list(get_args(kind))
    return _field(None, title, description, overrides=dotted, **more)


class TrainingConfig(Section):
    """What to train and how.

    What replaces values of a preset (``epochs`` and the like) is kept apart from it until
    `resolved`, which gives the configuration that a run remembers: with all numbers, the
    landmarks' names, and the template's hash. A field's ``title`` is its label, its
    ``description`` the help; its metadata may hold

    - ``option`` (see `option_of`) and its ``metavar``;
    - ``overrides``, the preset's setting that it replaces;
    - ``affects_result=False`` for what a run need not remember;
    - for a form ``choices``, those ``offered`` there and their ``titles``, ``minimum``,
      ``maximum`` and a ``tip``.

    A value that is not allowed raises `UsageError`.
    """

    method: str = _field(
        "fused",
        "Method",
        " ".join(f"{m.name}: {m.description}." for m in METHODS.values()),
        choices=list(METHODS),
        offered=[m.name for m in METHODS.values() if m.title],
        titles={m.name: m.title for m in METHODS.values()},
        tip="Fused is the fastest: one network with a small adapter for each landmark. "
        "Single: a network for one landmark alone, or for each in turn.",
    )
    landmarks: tuple[str, ...] = _field(
        (), "Landmark", "Only this one; may be repeated.", option="--landmark", metavar="NAME"
    )
    time: Duration = _field(
        Duration.NORMAL,
        "Time",
        "How long it may take; counts where no preset is named.",
        option=None,
        titles={time.value: time.name.capitalize() for time in Duration},
        tip="Quick: for a first look. Normal: what the measurements recommend for this "
        "computer. Thorough: a fine stage as well, which makes points more accurate and takes "
        "about as long again.",
        affects_result=False,
    )
    preset: Preset | str = _field(
        "",
        "Preset",
        "All numbers of the training. Default: gpu, or laptop without one.",
        metavar="|".join((*PRESETS, "FILE")),
        affects_result=False,
    )
    epochs: int | None = _override(
        *("training.epochs", "Epochs", "Passes over the images."),
        option=None,
        minimum=1,
        maximum=100_000,
    )
    adapter_channels: int | None = _override(
        "network.adapter_channels",
        "Adapter channels",
        "Channels of each landmark's own layers; 0: none.",
        metavar="N",
        minimum=0,
        maximum=512,
        tip="Width of each landmark's adapter; 0 trains without adapters.",
    )
    initial_labels: str | None = _override(
        "labels.initial",
        "First points",
        "Where pseudo-labels begin.",
        titles={"instant": "instant detection"},
        tip="Where training takes the landmarks to be before it has learned anything.",
    )
    template_stage: bool = _field(
        True, "Copies of the template", "Whether augmented copies of the template are trained on."
    )
    fine: bool = _field(
        False,
        "Fine stage",
        "Train a small network as well that looks a second time around each point, at a finer "
        "resolution. A run that has finished gets it, too. It takes about as long as the rest of "
        "the training; docs/benchmarks/fine_stage.md has what it gains.",
    )
    spacing_mm_yx: tuple[float, float] | None = _field(
        None,
        "Image spacing",
        "Millimetres per pixel of the images; ROWxCOLUMN (0.3x0.25) where pixels are not "
        "square. Overrides what the files say.",
        option="--spacing",
        metavar="MM",
    )
    seed: int = _field(0, "Seed", "Of everything random.", minimum=0, maximum=2**31 - 1)
    pack: bool = _field(
        False,
        "Model for other computers",
        "Put the encoder's weights into the model (40 MB): it then works on any computer. A "
        "run that has finished gets them, too.",
        affects_result=False,
    )
    encoder_weights: Path | None = _field(
        None,
        "Encoder weights",
        "Weights of the VGG19 encoder; otherwise they are looked for.",
        metavar="FILE",
        affects_result=False,
    )
    device: str = _field("auto", "Device", "auto, cpu, cuda or cuda:N.", affects_result=False)
    template_sha256: str = _field(
        "", "", "Of the template's content; set by `resolved`.", option=None
    )

    @model_validator(mode="wrap")
    @classmethod
    def _raise_usage_error(
        cls, values: Any, validate: ModelWrapValidatorHandler[TrainingConfig]
    ) -> TrainingConfig:
        try:
            return validate(values)
        except ValidationError as error:
            raise usage_error(error, None) from error

    @field_validator("method")
    @classmethod
    def _check_method(cls, name: str) -> str:
        return find_method(name).name

    @model_validator(mode="after")
    def _check_limits(self) -> TrainingConfig:
        # What replaces a setting of the preset is checked by the preset.
        for name, field in _own_fields().items():
            value, limits = getattr(self, name), field.json_schema_extra
            least, most, choices = (limits.get(k) for k in ("minimum", "maximum", "choices"))
            if least is not None and not least <= value <= most:
                allowed = f"{least} to {most}"
            elif choices is not None and value not in choices:
                allowed = ", ".join(map(str, choices))
            else:
                continue
            raise UsageError(f"{name} is {value}", remedy=f"choose from {allowed}")
        return self

    @model_validator(mode="after")
    def _check_fine(self) -> TrainingConfig:
        if not self.fine and not self.training_method.groups((0,)):
            raise UsageError(
                f"the method {self.method} trains nothing without a fine stage",
                remedy="give --fine as well, or choose another method",
            )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> TrainingConfig:
        if self.initial_labels == "random" and self.training_method.draws_heatmaps:
            raise UsageError(
                f"the method {self.method} learns nothing from random first points",
                remedy="leave --initial-labels out, or choose another method",
            )
        return self

    @property
    def training_method(self) -> TrainingMethod:
        """What the method's name stands for."""
        return find_method(self.method)

    @property
    def has_fine_stage(self) -> bool:
        """Whether a fine stage is trained: it is asked for, or there is the time."""
        return self.fine or (not self.preset and self.time is Duration.THOROUGH)

    @property
    def numbers(self) -> Preset:
        """All numbers, of a `resolved` configuration."""
        if isinstance(self.preset, str):
            raise TypeError("the configuration is not resolved yet")
        return self.preset

    def networks(self, landmarks: int) -> tuple[int, ...]:
        """Return how many landmarks each network learns, of so many that a template places."""
        trained = len(self.landmarks) or landmarks
        return tuple(len(group) for group in self.training_method.groups(range(trained)))

    def resolve_preset(self, on_gpu: Callable[[], bool]) -> Preset:
        """Return all numbers: the preset with what replaces some of them.

        ``on_gpu`` says whether training runs on a GPU; it is called where no preset is named.
        Raises `UsageError` if the preset cannot be used.
        """
        changes: dict[str, Any] = {}
        if isinstance(self.preset, Preset):
            preset = self.preset
        else:
            preset = Preset.load(self.preset or ("gpu" if on_gpu() else "laptop"))
            if not self.preset:
                epochs = round(preset.training.epochs * EPOCH_FACTORS[self.time])
                changes["training.epochs"] = max(1, epochs)
        for name, dotted in _metadata("overrides").items():
            if (value := getattr(self, name)) is not None:
                changes[dotted] = value
        return preset.changed(changes)

    def resolved(self, template: Template, on_gpu: Callable[[], bool]) -> TrainingConfig:
        """Return the configuration that a run remembers; a resolved one does not change.

        Raises `UsageError` if the template does not place a landmark, or the preset cannot be
        used.
        """
        placed = [point.name for point in template.landmarks.placed]
        unknown = [name for name in self.landmarks if name not in placed]
        if unknown:
            raise UsageError(
                f"the template does not place {', '.join(unknown)}",
                file=template.name,
                remedy=f"it places {', '.join(placed)}",
            )
        chosen = tuple(name for name in placed if not self.landmarks or name in self.landmarks)
        known = {"landmarks": chosen, "template_sha256": template.content_sha256}
        return self.with_preset(self.resolve_preset(on_gpu)).model_copy(update=known)

    def with_preset(self, preset: Preset | str) -> TrainingConfig:
        """Return the same with another preset, in which nothing is replaced."""
        plain = {"time": Duration.NORMAL, **dict.fromkeys(_metadata("overrides"))}
        fine = self.has_fine_stage
        return self.model_copy(update={"preset": preset, "fine": fine, **plain})

    def to_arguments(self) -> list[str]:
        """Return the same as options of ``oneshot-lmk train``; the preset is a name or file."""
        arguments: list[str] = []
        for name, field in type(self).model_fields.items():
            value, option = getattr(self, name), option_of(name)
            if option is None or value is None or value == "":
                continue
            if name == "spacing_mm_yx":
                value = "{}x{}".format(*value)
            if isinstance(value, bool):
                if value != field.default:
                    arguments.append(option if value else f"--no-{option[2:]}")
                continue
            for each in value if isinstance(value, tuple) else (value,):
                arguments += [option, str(each)]
        return arguments

    def to_json(self) -> dict[str, Any]:
        """Return what ``run.json`` holds: all but the preset, which has a file of its own."""
        return self.model_dump(mode="json", include=set(_remembered_fields()))

    def differences(self, before: TrainingConfig) -> list[str]:
        """Describe differences that affect the result: ``"seed is 1, was 0 before"``."""
        found = []
        if self.template_sha256 != before.template_sha256:
            found.append("the template is another one")
        for name in _remembered_fields():
            now, then = self._in_words(name), before._in_words(name)
            if now != then and name != "template_sha256":
                title = name.removesuffix("_mm_yx").replace("_", " ")
                found.append(f"{title} is {now}, was {then} before")
        return found + self.numbers.differences(before.numbers)

    def adds_fine_stage(self, before: TrainingConfig) -> bool:
        """Whether it is the same as before, but for a fine stage that is new."""
        if not self.fine or before.fine:
            return False
        numbers = self.numbers.model_copy(update={"fine": before.numbers.fine})
        same = self.model_copy(update={"fine": False, "preset": numbers})
        return not same.differences(before)

    def _in_words(self, name: str) -> str:
        value = getattr(self, name)
        if name == "spacing_mm_yx":
            return f"{value[0]:g} x {value[1]:g} mm" if value else "as in the files"
        if isinstance(value, bool):
            return "on" if value else "off"
        return ", ".join(value) if isinstance(value, tuple) else str(value)


def option_of(name: str) -> str | None:
    """Return the option of ``oneshot-lmk train`` that sets a field; None where none does."""
    option: str | None = _metadata("option").get(name, f"--{name.replace('_', '-')}")
    return option


def _remembered_fields() -> list[str]:
    """Return the fields that a result depends on, beside the preset and what it overrides."""
    left_out = {*_metadata("affects_result"), *_metadata("overrides")}
    return [name for name in TrainingConfig.model_fields if name not in left_out]


def _own_fields() -> dict[str, Any]:
    """Return the fields that replace nothing in a preset."""
    overrides = _metadata("overrides")
    return {n: field for n, field in TrainingConfig.model_fields.items() if n not in overrides}


def _metadata(key: str) -> dict[str, Any]:
    """Return what the fields' metadata hold under a key, by field."""
    extras = {n: f.json_schema_extra for n, f in TrainingConfig.model_fields.items()}
    return {n: e[key] for n, e in extras.items() if isinstance(e, dict) and key in e}


class Stream(IntEnum):
    """What random numbers are for; each use has a stream of its own."""

    COPIES = 0
    LABELS = 1
    BATCHES = 2
    CROPS = 3
    HELD_OUT = 4
    PRECISION = 5


def random_stream(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """Return a stream's generator; ``place`` is the copy, or the network and epoch."""
    first, second = (*place, 0, 0)[:2]
    return np.random.default_rng([seed, first, second, stream])
