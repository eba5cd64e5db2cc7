"""Small networks with random parameters, and feature maps for them to read."""

import torch
from torch import nn

from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork

CHANNELS = (3, 4, 5, 6, 7)
ADAPTER_CHANNELS = 3


def random_network(normalisation="batch", adapter_channels=ADAPTER_CHANNELS, width=0.01, **layout):
    """Four landmarks, double precision, no batch norm left at its first values."""
    torch.manual_seed(3)
    network = LandmarkNetwork(
        NetworkConfig(CHANNELS, 4, adapter_channels, width, 5, normalisation, **layout)
    ).double()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
    return network.eval()


def assert_same_gradients(network, found, expected):
    """Compare the gradients of one weighted sum of tensors, computed in two ways."""
    torch.manual_seed(1)
    weights = [torch.randn_like(part) for part in found]

    def gradients_of(parts):
        network.zero_grad()
        sum((w * m).sum() for w, m in zip(weights, parts, strict=True)).backward()
        return gradients(network)

    first, second = gradients_of(found), gradients_of(expected)
    assert first.keys() == second.keys()
    for name, gradient in second.items():
        scale = float(gradient.abs().max()) + 1
        assert (first[name] - gradient).abs().max() < 1e-9 * scale, name


def gradients(network):
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def random_maps(height, width, *, ceil=False, batch=2, seed=0):
    """Feature maps of an image; halved lengths are rounded down, or up."""
    generator = torch.Generator().manual_seed(seed)
    maps = []
    for channels in CHANNELS:
        height, width = (height + ceil) // 2, (width + ceil) // 2
        shape = (batch, channels, height, width)
        maps.append(torch.randn(shape, generator=generator, dtype=torch.float64))
    return maps
