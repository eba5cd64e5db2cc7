"""How long a training will take on this machine, before it begins.

Two speeds are measured, which takes a second or two: one pass of the encoder, and
convolutions like those of the decoder. The preset says how many of each there
will be. During training the events carry the true time left.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig
from napari_oneshot_lmk.training.config import Stream, TrainingConfig, random_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder

FORWARD_AND_BACKWARD = 3.0
"""A backward pass costs as much as two forward ones."""
START_S = 8.0
"""For a new process, its libraries, and a second inspection of the images."""
WINDOWED = (1, 2)
"""Levels that training computes in windows only."""
HALO = 4
"""Cells around a window that two 3 x 3 convolutions need."""
BYTES_PER_FEATURE = 2
GIGA = 1e9


@dataclass(frozen=True)
class MachineSpeed:
    """What was measured of a machine."""

    encoder_pass_s: float
    """Seconds for one image on the network's grid."""
    gigamacs_per_s: float
    """Billions of multiplications with addition in convolutions of the decoder's sizes."""
    encoder_channels: tuple[int, ...]
    """Of the encoder's maps after pooling, fine to coarse."""
    device: str

    @property
    def on_gpu(self) -> bool:
        """Whether training will run on a graphics card."""
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Estimate:
    """What a training is likely to need."""

    seconds: float
    """From the start to the model."""
    feature_bytes: int
    """For the images' features, in memory where they fit, else on disk."""


def estimate(
    config: TrainingConfig, machine: MachineSpeed, images: int, landmarks: int
) -> Estimate:
    """Estimate time and memory of a training.

    Parameters
    ----------
    config : TrainingConfig
        What to train and how.
    machine : MachineSpeed
        Of this machine.
    images : int
        Without landmarks.
    landmarks : int
        That the template places.

    Raises
    ------
    UsageError
        If the preset cannot be used.
    """
    preset = config.resolve_preset(lambda: machine.on_gpu)
    method = config.training_method
    networks = config.networks(landmarks)
    copies = preset.template_copies.count if config.template_stage else 0
    encoded = images + copies + 1
    layout = method.network_config(preset.network, machine.encoder_channels, networks[0])
    rows, columns = NETWORK_SHAPE_YX

    def seconds_of(macs: float) -> float:
        return macs / (machine.gigamacs_per_s * GIGA)

    def sample_s(at_once: int) -> float:
        """Time of an image in a step that holds so many landmarks."""
        of_step = replace(layout, num_landmarks=at_once)
        near = decoder_macs(of_step, rows * columns, preset.loss.window + HALO)
        if preset.training.anchor == "template":
            return FORWARD_AND_BACKWARD * seconds_of(near)
        # The patches go through encoder and network as well, one for each landmark.
        patch = preset.patch.size**2
        near += decoder_macs(of_step, patch, 1)
        encoder_s = at_once * machine.encoder_pass_s * patch / (rows * columns)
        return FORWARD_AND_BACKWARD * seconds_of(near) + encoder_s

    batches = method.batches(
        preset.training,
        random_stream(0, Stream.BATCHES),
        images=images,
        copies=copies,
        landmarks=networks[0],
    )
    seen: Counter[int] = Counter()
    for batch in batches:
        seen[len(batch.landmarks)] += len(batch.images) + len(batch.copies)
    epoch_s = sum(count * sample_s(at_once) for at_once, count in seen.items())
    everywhere = decoder_macs(layout, rows * columns)
    epoch_s += images * seconds_of(everywhere) / preset.labels.renew_every
    seconds = START_S + encoded * machine.encoder_pass_s
    seconds += len(networks) * preset.training.epochs * epoch_s
    return Estimate(seconds, encoded * _feature_bytes(machine.encoder_channels))


def decoder_macs(layout: NetworkConfig, pixels: int, window: int | None = None) -> float:
    """Multiplications of one image's way through the network, for all landmarks.

    Parameters
    ----------
    layout : NetworkConfig
        Its sizes.
    pixels : int
        Of the image.
    window : int, optional
        Side of the windows, in cells, in which the two finest levels are computed;
        everywhere by default.
    """
    once, each = 0.0, 0.0
    for level in LEVELS:
        cells = pixels / 4**level
        read = layout.encoder_channels[level - 1]
        adapter = layout.adapter_channels
        once += cells * read * layout.lateral_channels
        if level in layout.rfb_levels:
            into, out = layout.decoded_channels(level), layout.rfb_channels(level)
            each += cells * (_rfb_weights(into, out) + _rfb_weights(into, adapter))
        head = layout.head_channels(level) * layout.embedding_channels
        if level == LEVELS[-1]:
            each += cells * head
            continue
        # The skip's part of a first convolution is the same for all landmarks.
        shared = layout.shared_channels(level)
        once += cells * 9 * layout.skip_channels(level) * shared
        if window is not None and level in WINDOWED:
            cells = min(cells, window**2)
        joined = layout.concat_channels(level)
        below = layout.decoded_channels(level + 1)
        each += cells * 9 * (below * shared + shared**2 + joined * adapter + adapter**2)
        each += cells * head
    return once + layout.num_landmarks * each


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


def _rfb_weights(into: int, out: int) -> int:
    """Weights of a receptive field block: four branches, their union, a shortcut."""
    branches = 4 * into * out + out * out * (2 * (3 + 5 + 7) + 3 * 9)
    return branches + 9 * 4 * out * out + into * out


def _feature_bytes(channels: Sequence[int]) -> int:
    rows, columns = NETWORK_SHAPE_YX
    cells: list[int] = [rows * columns // 4 ** (i + 1) for i in range(len(channels))]
    return BYTES_PER_FEATURE * sum(c * n for c, n in zip(channels, cells, strict=True))
