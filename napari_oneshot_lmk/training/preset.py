"""Presets: every number of a training, in a readable file that a user can copy.

The three that come with the package lie in ``presets/``; docs/method.md says
where each of their values comes from.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.settings import (
    DetectionSettings,
    LabelSettings,
    LossSettings,
    NetworkSettings,
    PatchSettings,
    Section,
    TemplateCopySettings,
    TrainingSettings,
)

PRESETS = ("laptop", "gpu", "paper")
"""Names of those that come with the package, quickest first."""


class Preset(Section):
    """All settings of a training. The defaults are those of the preset ``paper``."""

    network: NetworkSettings = NetworkSettings()
    template_copies: TemplateCopySettings = TemplateCopySettings()
    patch: PatchSettings = PatchSettings()
    loss: LossSettings = LossSettings()
    labels: LabelSettings = LabelSettings()
    detection: DetectionSettings = DetectionSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _jitter_stays_on_the_patch(self) -> Preset:
        jittered = self.patch.placement == "jittered"
        if jittered and 2 * self.patch.jitter_px >= self.patch.size:
            raise ValueError("patch.jitter_px should be less than half of patch.size")
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> Preset:
        """Read a preset that comes with the package, or a user's own file.

        Parameters
        ----------
        name_or_path : str or Path
            One of ``PRESETS``, or a TOML file. What a file leaves out has the
            value of the preset ``paper``.

        Raises
        ------
        UsageError
            If there is none, or it holds what is no setting.
        """
        if name_or_path in PRESETS:
            return cls.from_toml(preset_text(str(name_or_path)), str(name_or_path))
        path = Path(name_or_path).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "is neither a preset nor a readable file of settings",
                file=name_or_path,
                remedy=f"use {', '.join(PRESETS)}, or a copy of one of their files",
            ) from error
        return cls.from_toml(text, path)

    @classmethod
    def from_toml(cls, text: str, source: str | Path = "preset") -> Preset:
        """Read settings from TOML; ``source`` is named in errors.

        Raises
        ------
        UsageError
            If it is not TOML, or holds what is no setting.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(
                f"is not valid TOML ({error})", file=source, remedy="correct it"
            ) from error
        except ValidationError as error:
            raise _said(error, source) from error

    def to_toml(self) -> str:
        """Return the settings as a file that `load` reads, each with its meaning."""
        lines: list[str] = []
        for section, settings in self._sections():
            lines += [f"# {type(settings).__doc__}", f"[{section}]"]
            for name, field in type(settings).model_fields.items():
                value = _toml(getattr(settings, name))
                lines += [f"# {field.description}", f"{name} = {value}"]
            lines.append("")
        return "\n".join(lines)

    def changed(self, values: Mapping[str, Any]) -> Preset:
        """Return the preset with some values replaced.

        Parameters
        ----------
        values : mapping
            By dotted name: ``{"network.adapter_channels": 0}``.

        Raises
        ------
        UsageError
            If there is no such setting, or it cannot have that value.
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
            raise _said(error, None) from error

    def differences(self, other: Preset) -> list[str]:
        """Say what differs: ``"training.epochs is 3, was 5 before"``.

        Parameters
        ----------
        other : Preset
            The earlier one.
        """
        before = dict(other.values())
        return [
            f"{name} is {_toml(value)}, was {_toml(before[name])} before"
            for name, value in self.values()
            if value != before[name]
        ]

    def values(self) -> Iterator[tuple[str, Any]]:
        """Yield every setting's dotted name and value."""
        for section, settings in self._sections():
            for name in type(settings).model_fields:
                yield f"{section}.{name}", getattr(settings, name)

    def _sections(self) -> Iterator[tuple[str, Section]]:
        for name in type(self).model_fields:
            yield name, getattr(self, name)


def preset_text(name: str) -> str:
    """Return the file of a preset that comes with the package, to be copied."""
    file = files("napari_oneshot_lmk.training") / "presets" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


def _said(error: ValidationError, source: str | Path | None) -> UsageError:
    """Turn pydantic's first complaint into one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UsageError(f"there is no setting {where}", file=source, remedy="correct its name")
    what = first["msg"].removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    return UsageError(f"{where}: {what}" if where else what, file=source)


def _toml(value: Any) -> str:
    """Write a number, word, switch or pair as TOML; JSON writes all of them alike."""
    return json.dumps(value)
