"""What a training was asked for, as its run remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from napari_oneshot_lmk.training.preset import Preset

Method = Literal["fused", "single", "joint"]
METHODS: tuple[Method, ...] = ("fused", "single", "joint")


@dataclass(frozen=True)
class RunSettings:
    """Everything that the result depends on, apart from the images.

    Parameters
    ----------
    method : {"joint", "single", "fused"}
        ``"joint"`` (one self-supervised network), ``"single"`` (a network for
        each landmark) or ``"fused"`` (one network with adapters).
    landmarks : tuple of str
        Those that are trained, in the template's order.
    template_stage : bool
        Whether copies of the template are trained on.
    seed : int
        Of everything random.
    spacing_mm_yx : pair of float, optional
        Of the images, where the user said so.
    template_sha256 : str
        Content of the template.
    preset : Preset
        All numbers.
    """

    method: Method
    landmarks: tuple[str, ...]
    template_stage: bool
    seed: int
    spacing_mm_yx: tuple[float, float] | None
    template_sha256: str
    preset: Preset

    def to_json(self) -> dict[str, Any]:
        """Return all but the preset, which has a file of its own."""
        return {
            "method": self.method,
            "landmarks": list(self.landmarks),
            "template_stage": self.template_stage,
            "seed": self.seed,
            "spacing_mm_yx": self.spacing_mm_yx and list(self.spacing_mm_yx),
            "template_sha256": self.template_sha256,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], preset: Preset) -> RunSettings:
        """Read what `to_json` returned."""
        spacing = content["spacing_mm_yx"]
        return cls(
            method=cast(Method, content["method"]),
            landmarks=tuple(str(name) for name in content["landmarks"]),
            template_stage=bool(content["template_stage"]),
            seed=int(content["seed"]),
            spacing_mm_yx=spacing and (float(spacing[0]), float(spacing[1])),
            template_sha256=str(content["template_sha256"]),
            preset=preset,
        )

    def differences(self, before: RunSettings) -> list[str]:
        """Say what differs: ``"seed is 1, was 0 before"``."""
        told = []
        if self.template_sha256 != before.template_sha256:
            told.append("the template is another one")
        for name, now, then in (
            ("method", self.method, before.method),
            ("landmarks", _listed(self.landmarks), _listed(before.landmarks)),
            ("template stage", _on(self.template_stage), _on(before.template_stage)),
            ("seed", str(self.seed), str(before.seed)),
            ("spacing", _spacing(self), _spacing(before)),
        ):
            if now != then:
                told.append(f"{name} is {now}, was {then} before")
        return told + self.preset.differences(before.preset)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _on(value: bool) -> str:
    return "on" if value else "off"


def _spacing(settings: RunSettings) -> str:
    spacing = settings.spacing_mm_yx
    return f"{spacing[0]:g} x {spacing[1]:g} mm" if spacing else "as in the files"
