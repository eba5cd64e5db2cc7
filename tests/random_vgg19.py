"""VGG19 with random parameters: the tests need its arithmetic, not its knowledge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from pathlib import Path

import torch

from napari_oneshot_lmk.encoders import vgg19
from napari_oneshot_lmk.encoders.vgg19 import IMAGENET, content_sha256
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, write_weights

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
NARROW = """
from napari_oneshot_lmk.encoders import vgg19
vgg19.WIDTHS = tuple(tuple(width // 8 for width in block) for block in vgg19.WIDTHS)
"""
"""Gives VGG19 an eighth of its channels: the same layers, a fiftieth of the time."""


@contextmanager
def narrow_vgg19() -> Iterator[None]:
    """Have VGG19 of an eighth of its channels in this process."""
    wide = vgg19.WIDTHS
    exec(NARROW)
    vgg19.parameter_shapes.cache_clear()
    try:
        yield
    finally:
        vgg19.WIDTHS = wide
        vgg19.parameter_shapes.cache_clear()


def random_parameters(seed: int = 0) -> dict[str, torch.Tensor]:
    """Parameters that keep the signal's size through all sixteen layers."""
    return _random_parameters(seed, tuple(vgg19.parameter_shapes().items()))


@cache
def _random_parameters(seed: int, shapes: Shapes) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        name: torch.randn(shape) * (2 / prod(shape[1:])) ** 0.5
        if len(shape) == 4
        else torch.randn(shape) * 0.05
        for name, shape in shapes
    }


def random_weights(seed: int = 0) -> EncoderWeights:
    """The same as if read from a file."""
    return _random_weights(seed, tuple(vgg19.parameter_shapes().items()))


@cache
def _random_weights(seed: int, shapes: Shapes) -> EncoderWeights:
    parameters = _random_parameters(seed, shapes)
    return EncoderWeights(
        parameters, IMAGENET, content_sha256(parameters), "made by a test", "none"
    )


def saved_weights(path: Path, seed: int = 0) -> Path:
    """Write them in the format of our own cache."""
    write_weights(path, random_weights(seed))
    return path
