"""The convolution part of VGG19: its layers, parameters and taps.

Configuration E of Simonyan and Zisserman, "Very Deep Convolutional Networks for
Large-Scale Image Recognition" (2015), numbered as ``torchvision.models.vgg19()
.features`` numbers it.
"""

from __future__ import annotations

from napari_oneshot_lmk.encoders.encoder import Level

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3 x 3 convolutions of each block; a pooling follows."""

ARCHITECTURE = "torchvision.models.vgg19.features"


def _convolutions() -> dict[int, tuple[int, int]]:
    layers, index, given = {}, 0, 3
    for channels, count in BLOCKS:
        for _ in range(count):
            layers[index] = (given, channels)
            given = channels
            index += 2  # its ReLU
        index += 1  # the pooling
    return layers


def _taps() -> dict[int, Level]:
    levels, index, stride = {}, 0, 1
    for block, (channels, count) in enumerate(BLOCKS, start=1):
        index += 2 * count
        name = f"conv{block}_{count}"
        levels[index - 1] = Level(name, stride, channels, after_pooling=False)
        stride *= 2
        levels[index] = Level(f"pool{block}", stride, channels)
        index += 1
    return levels


CONVOLUTIONS = _convolutions()
"""Layer number → channels in, channels out."""

TAPS = _taps()
"""Layer number → level whose map its output is, fine to coarse."""

LEVELS = tuple(TAPS.values())
"""All ten levels: the last ReLU before each pooling, and the pooling."""

DEFAULT_LEVELS = tuple(level for level in LEVELS if level.stride > 1)
"""The nine at strides 2 … 32; full resolution costs more than it brings."""

PARAMETER_SHAPES: dict[str, tuple[int, ...]] = {
    f"features.{index}.{kind}": shape
    for index, (given, channels) in CONVOLUTIONS.items()
    for kind, shape in (("weight", (channels, given, 3, 3)), ("bias", (channels,)))
}
"""Name → shape of every parameter, in torchvision's names."""
