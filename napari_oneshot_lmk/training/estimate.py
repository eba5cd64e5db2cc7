"""Estimate how long a training will take on this machine, before it begins.

Two speeds are measured in a second or two: a pass of the encoder, and convolutions like those
of the decoder. The preset determines how many of each there will be.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig
from napari_oneshot_lmk.network.crop_config import WIDTHS
from napari_oneshot_lmk.training.config import Stream, TrainingConfig, random_stream

if TYPE_CHECKING:
    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.preset import FineSettings, Preset

FORWARD_AND_BACKWARD = 3.0
"""A backward pass costs as much as two forward ones."""
START_S = 8.0
"""For a new process, its imports, and a second inspection of the images."""
HALO = 4
"""Cells around a window that two 3 x 3 convolutions need."""
BYTES_PER_FEATURE = 2
GIGA = 1e9
PIXELS = NETWORK_SHAPE_YX[0] * NETWORK_SHAPE_YX[1]


@dataclass(frozen=True)
class MachineSpeed:
    """What was measured of a machine."""

    encoder_pass_s: float
    """Seconds for one image on the network's grid."""
    gigamacs_per_s: float
    """Billions of multiply-accumulates per second in convolutions of the decoder's sizes."""
    encoder_channels: tuple[int, ...]
    """Of the encoder's maps after pooling, fine to coarse."""
    device: str

    @property
    def on_gpu(self) -> bool:
        """Whether training will run on a GPU."""
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
    """Estimate time and memory of a training with so many unlabelled images.

    ``landmarks`` is the number that the template places. Raises `UsageError` if the preset
    cannot be used.
    """
    preset = config.resolve_preset(lambda: machine.on_gpu)
    networks = config.networks(landmarks)
    copies = preset.template_copies.count if config.template_stage else 0
    encoded = images + copies + 1 if networks else 0
    seconds = START_S + encoded * machine.encoder_pass_s
    infer_s = 0.0
    if networks:
        epoch_s, infer_s = _epoch_s(config, preset, machine, images, copies, networks[0])
        seconds += len(networks) * preset.training.epochs * epoch_s
    if config.has_fine_stage:
        # All images are detected on once more.
        seconds += images * (machine.encoder_pass_s + infer_s)
        fine = preset.fine
        crops = (fine.renewals + 1) * fine.epochs * fine.epoch_steps * fine.batch
        macs = FORWARD_AND_BACKWARD * crops * crop_macs(fine)
        seconds += macs / (machine.gigamacs_per_s * GIGA)
    channels = enumerate(machine.encoder_channels, start=1)
    features = sum(count * (PIXELS // 4**level) for level, count in channels)
    return Estimate(seconds, encoded * BYTES_PER_FEATURE * features)


def _epoch_s(
    config: TrainingConfig,
    preset: Preset,
    machine: MachineSpeed,
    images: int,
    copies: int,
    landmarks: int,
) -> tuple[float, float]:
    """Seconds of an epoch of a network, and of an image in the network for all landmarks."""
    method = config.training_method
    layout = method.network_config(preset.network, machine.encoder_channels, landmarks)

    def seconds_of(macs: float) -> float:
        return macs / (machine.gigamacs_per_s * GIGA)

    def sample_s(at_once: int) -> float:
        """Time of an image in a step that holds so many landmarks."""
        of_step = replace(layout, num_landmarks=at_once)
        near = decoder_macs(of_step, PIXELS, preset.loss.window + HALO)
        if preset.training.anchor == "template":
            return FORWARD_AND_BACKWARD * seconds_of(near)
        # The patches go through encoder and network as well, one for each landmark.
        patch = preset.patch.size**2
        near += decoder_macs(of_step, patch, 1)
        encoder_s = at_once * machine.encoder_pass_s * patch / PIXELS
        return FORWARD_AND_BACKWARD * seconds_of(near) + encoder_s

    batches = method.batches(
        preset.training,
        random_stream(0, Stream.BATCHES),
        images=images,
        copies=copies,
        landmarks=landmarks,
    )
    seen: Counter[int] = Counter()
    for batch in batches:
        seen[len(batch.landmarks)] += len(batch.images) + len(batch.copies)
    epoch_s = sum(count * sample_s(at_once) for at_once, count in seen.items())
    infer_s = seconds_of(decoder_macs(layout, PIXELS))
    return epoch_s + images * infer_s / preset.labels.renew_every, infer_s


def crop_macs(settings: FineSettings) -> float:
    """Multiply-accumulates of a crop's forward pass through the network of the fine stage."""
    weights, widths = 0.0, [settings.width * times for times in WIDTHS]
    into = 2 * settings.cell**2
    for level, (width, below) in enumerate(zip(widths, [*widths[1:], 0], strict=True)):
        both = 9 * (into + width) * width
        if below:
            # On the way up the skip and half of the channels from below, which a transposed
            # convolution makes.
            both += 9 * (width + below // 2 + width) * width + below * below // 2
        weights += both / 4**level
        into = width
    return weights * (settings.side / settings.cell) ** 2


def decoder_macs(layout: NetworkConfig, pixels: int, window: int | None = None) -> float:
    """Multiply-accumulates of one image's forward pass, for all landmarks.

    The image has so many pixels. With ``window``, the finest levels are computed in windows of
    so many cells a side, as `LandmarkNetwork.embed_windows` does; otherwise everywhere.
    """
    if layout.head == "heatmaps":
        return _heatmap_macs(layout, pixels)
    once, each = 0.0, 0.0
    adapter = layout.adapter_channels
    for level in LEVELS:
        cells = pixels / 4**level
        once += cells * layout.encoder_channels[level - 1] * layout.lateral_channels
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
        if window is not None and level in layout.windowed_levels:
            cells = min(cells, window**2)
        joined = layout.concat_channels(level)
        below = layout.decoded_channels(level + 1)
        each += cells * 9 * (below * shared + shared**2 + joined * adapter + adapter**2)
        each += cells * head
    return once + layout.num_landmarks * each


def _heatmap_macs(layout: NetworkConfig, pixels: int) -> float:
    """Multiply-accumulates of a network that draws heatmaps."""
    weights = 0.0
    for level in LEVELS:
        own = layout.encoder_channels[level - 1] * layout.lateral_channels
        if level < LEVELS[-1]:
            shared = layout.shared_channels(level)
            own += 9 * shared * (layout.concat_channels(level) + shared)
        weights += own / 4**level
    return pixels * (weights + layout.decoded_channels(1) * layout.num_landmarks / 4)


def _rfb_weights(into: int, out: int) -> int:
    """Weights of a receptive field block: four branches, their union, a shortcut."""
    branches = 4 * into * out + out * out * (2 * (3 + 5 + 7) + 3 * 9)
    return branches + 9 * 4 * out * out + into * out


def measure(encoder: Encoder) -> MachineSpeed:
    """Measure the encoder that training will use, and convolutions, on the encoder's device."""
    import torch
    from torch.nn.functional import conv2d

    device = encoder.device
    image = torch.rand(1, 1, *NETWORK_SHAPE_YX, device=device)
    side, inner, outer, repeats = 48, 96, 64, 4
    maps = torch.rand(4, inner, side, side, device=device)
    weight = torch.rand(outer, inner, 3, 3, device=device)
    macs = repeats * 4 * side * side * inner * outer * 9

    def convolve() -> None:
        with torch.inference_mode():
            for _ in range(repeats):
                conv2d(maps, weight, padding=1)

    encoder_s = _fastest_s(lambda: encoder(image), device, repeats=2)
    speed = macs / _fastest_s(convolve, device, repeats=3) / GIGA
    channels = tuple(level.channels for level in encoder.card.levels if level.after_pooling)
    return MachineSpeed(encoder_s, speed, channels, str(device))


def _fastest_s(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the shortest time: a busy moment says nothing about hours. The first is a warm-up."""
    import torch

    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(max(time.perf_counter() - began, 1e-6))
    return min(times[1:])
