"""VGG19 with random parameters: the tests need its arithmetic, not its knowledge."""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path

import torch

from napari_oneshot_lmk.encoders.vgg19 import IMAGENET, content_sha256, parameter_shapes
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, write_weights


@cache
def random_parameters(seed: int = 0) -> dict[str, torch.Tensor]:
    """Parameters that keep the signal's size through all sixteen layers."""
    torch.manual_seed(seed)
    return {
        name: torch.randn(shape) * (2 / prod(shape[1:])) ** 0.5
        if len(shape) == 4
        else torch.randn(shape) * 0.05
        for name, shape in parameter_shapes().items()
    }


@cache
def random_weights(seed: int = 0) -> EncoderWeights:
    """The same as if read from a file."""
    parameters = random_parameters(seed)
    return EncoderWeights(
        parameters, IMAGENET, content_sha256(parameters), "made by a test", "none"
    )


def saved_weights(path: Path, seed: int = 0) -> Path:
    """Write them in the format of our own cache."""
    write_weights(path, random_weights(seed))
    return path
