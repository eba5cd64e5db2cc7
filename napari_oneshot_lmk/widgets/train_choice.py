"""What a user chooses in the tab "Train", and the preset that it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.estimate import Estimate, MachineSpeed
    from napari_oneshot_lmk.training.preset import Preset


class Method(StrEnum):
    """Which networks are trained."""

    FUSED = "fused"
    SINGLE = "single"


class Time(StrEnum):
    """How long training may take."""

    QUICK = "quick"
    NORMAL = "normal"
    THOROUGH = "thorough"


EPOCH_FACTORS = {Time.QUICK: 1 / 3, Time.NORMAL: 1.0, Time.THOROUGH: 3.0}
"""Epochs of the automatic preset are multiplied by this."""
CPU_PRESET, GPU_PRESET = "laptop", "gpu"


@dataclass(frozen=True)
class TrainChoice:
    """All that the form asks for; what it starts with is what most need.

    Parameters
    ----------
    method : Method
        One network for all landmarks, or one for each.
    landmark : str
        With `Method.SINGLE`, which; empty for each in turn.
    time : Time
        How long it may take; counts where ``preset`` is empty.
    preset : str
        Name or file of a preset; empty to go by ``time`` and the computer.
    epochs : int
        0 for as many as the preset says.
    adapter_channels : int
        -1 for as many as the preset says.
    template_stage : bool
        Whether copies of the template are trained on.
    initial_labels : str
        "instant", "random", or empty for what the preset says.
    spacing_mm_yx : pair of float, optional
        Of the images, (row, column); None for what their files say.
    seed : int
        Of everything random.
    pack : bool
        Whether the encoder's weights go into the model, too.
    """

    method: Method = Method.FUSED
    landmark: str = ""
    time: Time = Time.NORMAL
    preset: str = ""
    epochs: int = 0
    adapter_channels: int = -1
    template_stage: bool = True
    initial_labels: str = ""
    spacing_mm_yx: tuple[float, float] | None = None
    seed: int = 0
    pack: bool = False

    def models(self, landmarks: int) -> int:
        """Return how many networks are trained for a template's landmarks."""
        each = self.method is Method.SINGLE and not self.landmark
        return landmarks if each else 1

    def landmarks_of_a_model(self, landmarks: int) -> int:
        """Return how many of a template's landmarks one network learns."""
        return landmarks if self.method is Method.FUSED else 1

    def resolved(self, on_gpu: bool) -> Preset:
        """Return the preset with what the form changes in it.

        Parameters
        ----------
        on_gpu : bool
            Whether training runs on a graphics card.

        Raises
        ------
        OneshotError
            If the preset's file cannot be used.
        """
        from napari_oneshot_lmk.training.preset import Preset

        automatic = GPU_PRESET if on_gpu else CPU_PRESET
        preset = Preset.load(self.preset or automatic)
        values: dict[str, object] = {}
        if self.epochs:
            values["training.epochs"] = self.epochs
        elif not self.preset:
            factor = EPOCH_FACTORS[self.time]
            epochs = max(1, round(preset.training.epochs * factor))
            values["training.epochs"] = epochs
        if self.adapter_channels >= 0:
            values["network.adapter_channels"] = self.adapter_channels
        if self.initial_labels:
            values["labels.initial"] = self.initial_labels
        return preset.changed(values)


def guessed(choice: TrainChoice, machine: MachineSpeed, images: int, landmarks: int) -> Estimate:
    """Estimate what a choice needs on a computer whose speed is known.

    Parameters
    ----------
    choice : TrainChoice
        What the user chose.
    machine : MachineSpeed
        Of this computer.
    images : int
        To train on.
    landmarks : int
        That the template places.

    Raises
    ------
    OneshotError
        If the preset cannot be used.
    """
    from napari_oneshot_lmk.training.estimate import estimate

    return estimate(
        choice.resolved(machine.on_gpu),
        machine,
        images,
        choice.landmarks_of_a_model(landmarks),
        choice.models(landmarks),
        template_stage=choice.template_stage,
    )
