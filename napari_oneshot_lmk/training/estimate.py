"""How long a training will take on this machine, before it begins.

Two speeds are measured, which takes a second or two: one pass of the encoder, and
convolutions like those of the decoder. The preset says how many of each there
will be. During training the events carry the true time left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.preset import Preset

DECODER_CHANNELS = (128, 64, 128, 256)
"""Of the decoder's blocks, fine to coarse, at width 1 (method.md, CC2D)."""
RFB_LEVELS = (3, 4, 5)
FORWARD_AND_BACKWARD = 3.0
"""A backward pass costs as much as two forward ones."""
HALO = 4
"""Cells around a window that two 3 x 3 convolutions need."""
BYTES_PER_FEATURE = 2
GIGA = 1e9


@dataclass(frozen=True)
class MachineSpeed:
    """What was measured.

    Parameters
    ----------
    encoder_pass_s : float
        Seconds for one image on the network's grid.
    gigamacs_per_s : float
        Billions of multiplications with addition a second, in convolutions of
        the decoder's sizes.
    encoder_channels : tuple of int
        Of the encoder's maps after pooling, fine to coarse.
    device : str
        Where it was measured.
    """

    encoder_pass_s: float
    gigamacs_per_s: float
    encoder_channels: tuple[int, ...]
    device: str

    @property
    def on_gpu(self) -> bool:
        """Whether training will run on a graphics card."""
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Estimate:
    """What a training is likely to need.

    Parameters
    ----------
    seconds : float
        From the start to the model.
    feature_bytes : int
        For the images' features, in memory where they fit, else on disk.
    """

    seconds: float
    feature_bytes: int


def estimate(
    preset: Preset,
    machine: MachineSpeed,
    images: int,
    landmarks: int,
    models: int = 1,
    *,
    template_stage: bool = True,
) -> Estimate:
    """Estimate time and room of a training.

    Parameters
    ----------
    preset : Preset
        All settings.
    machine : MachineSpeed
        Of this machine.
    images : int
        Without landmarks.
    landmarks : int
        That one model learns.
    models : int
        How many are trained, one after the other.
    template_stage : bool
        Whether copies of the template are trained on.
    """
    copies = preset.template_copies.count if template_stage else 0
    encoded = images + copies + 1
    forward_s = _decoder_macs(preset, machine.encoder_channels, training=True) / (
        machine.gigamacs_per_s * GIGA
    )
    inference_s = _decoder_macs(preset, machine.encoder_channels, training=False) / (
        machine.gigamacs_per_s * GIGA
    )
    sample_s = FORWARD_AND_BACKWARD * forward_s
    if preset.training.anchor == "patch":
        rows, columns = NETWORK_SHAPE_YX
        share = preset.patch.size**2 / (rows * columns)
        sample_s += share * (machine.encoder_pass_s + FORWARD_AND_BACKWARD * forward_s)
    epoch_s = (copies + images) * landmarks * sample_s
    epoch_s += images * landmarks * inference_s / preset.labels.renew_every
    seconds = encoded * machine.encoder_pass_s
    seconds += models * preset.training.epochs * epoch_s
    return Estimate(seconds, encoded * _feature_bytes(machine.encoder_channels))


def measure(encoder: Encoder, passes: int = 2) -> MachineSpeed:
    """Measure this machine; takes a few encoder passes.

    Parameters
    ----------
    encoder : Encoder
        The one that training will use, on its device.
    passes : int
        Of which the quickest counts: a busy moment says nothing about hours.
    """
    import torch

    device = encoder.device
    image = torch.rand(1, 1, *NETWORK_SHAPE_YX, device=device)
    encoder(image)
    encoder_s = min(_seconds(lambda: encoder(image), device) for _ in range(passes))
    levels = encoder.card.levels
    channels = tuple(level.channels for level in levels if level.after_pooling)
    return MachineSpeed(encoder_s, _gigamacs_per_s(device), channels, str(device))


def _gigamacs_per_s(device: torch.device) -> float:
    """Measure 3 x 3 convolutions of a middle size."""
    import torch
    from torch.nn.functional import conv2d

    side, inner, outer = 48, 96, 64
    maps = torch.rand(4, inner, side, side, device=device)
    weight = torch.rand(outer, inner, 3, 3, device=device)
    macs = 4 * side * side * inner * outer * 9

    def work() -> None:
        with torch.inference_mode():
            for _ in range(4):
                conv2d(maps, weight, padding=1)

    work()
    seconds = min(_seconds(work, device) for _ in range(3))
    return 4 * macs / seconds / GIGA


def _seconds(work: object, device: torch.device) -> float:
    import torch

    assert callable(work)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - began, 1e-6)


def _decoder_macs(preset: Preset, channels: Sequence[int], *, training: bool) -> float:
    """Multiplications of one landmark's pass over one image.

    In training the two finest levels are computed in windows only.
    """
    width = preset.network.width
    adapter = preset.network.adapter_channels
    rows, columns = NETWORK_SHAPE_YX
    window = (preset.loss.window + HALO) ** 2
    macs = 0.0
    below = float(channels[-1])
    for level in range(len(channels) - 1, 0, -1):
        cells = rows * columns / 4**level
        if training and level <= 2:
            cells = min(cells, window)
        skip = channels[level - 1]
        out = DECODER_CHANNELS[level - 1] * width
        both = out + adapter
        macs += cells * 9 * ((skip + below) * both + out * out + adapter * adapter)
        below = both
        if level in RFB_LEVELS:
            macs += cells * _rfb_weights(out, below) + cells * _rfb_weights(
                adapter, below
            )
    coarsest = rows * columns / 4 ** len(channels)
    return float(macs + coarsest * _rfb_weights(channels[-1], below))


def _rfb_weights(out: float, into: float) -> float:
    """Weights of a receptive field block: four branches, their union, a shortcut."""
    branches = 4 * into * out + out * out * (2 * (3 + 5 + 7) + 3 * 9)
    return branches + 9 * 4 * out * out + into * out


def _feature_bytes(channels: Sequence[int]) -> int:
    rows, columns = NETWORK_SHAPE_YX
    cells: list[int] = [rows * columns // 4 ** (i + 1) for i in range(len(channels))]
    return BYTES_PER_FEATURE * sum(c * n for c, n in zip(channels, cells, strict=True))
