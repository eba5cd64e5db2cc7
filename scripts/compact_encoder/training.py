"""Dense contrastive training of the compact network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from compact_encoder.network import CompactNetwork
from compact_encoder.scenes import Pair, sampled
from napari_oneshot_lmk.encoders.orientation import root_histograms

STRIDES = (2, 4, 8, 16)
POINTS = 96
TARGET_SD_CELLS = 0.7


def trained(
    pairs: Iterator[Pair],
    steps: int,
    seed: int,
    report: Callable[[int, float], None],
    learning_rate: float = 2e-3,
) -> CompactNetwork:
    """Train on one pair a step; ``report`` hears each step's number and loss."""
    torch.manual_seed(seed)
    source = Generator().manual_seed(seed + 1)
    network = CompactNetwork().train()
    optimiser = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=steps, pct_start=0.1
    )
    for step in range(1, steps + 1):
        loss = pair_loss(network, next(pairs), source)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        report(step, float(loss.detach()))
    return network.eval()


def pair_loss(network: CompactNetwork, pair: Pair, source: Generator) -> Tensor:
    """InfoNCE of random points against all cells of the other picture.

    The target is a narrow Gaussian over the cells around the true place, so the
    peak is asked to be sub-cell accurate.
    """
    points, partners = _corresponding_points(pair, source)
    temperature = network.log_temperature.exp()
    total = torch.zeros(())
    for stride in STRIDES:
        first = network(root_histograms(pair.first, stride))
        second = network(root_histograms(pair.second, stride))
        anchors = F.normalize(sampled(first, (points + 0.5) / stride - 0.5), dim=1)
        logits = anchors @ second[0].flatten(1) / temperature
        places = (partners + 0.5) / stride - 0.5
        target = _soft_target(places, second.shape[-2:])
        total = total - (target * logits.log_softmax(1)).sum(1).mean()
    return total / len(STRIDES)


def _soft_target(places_yx: Tensor, shape: torch.Size) -> Tensor:
    """Gaussian over the cells around each (N, 2) place: (N, h * w), sum 1."""
    height, width = shape
    away_y = (torch.arange(height) - places_yx[:, :1]) ** 2
    away_x = (torch.arange(width) - places_yx[:, 1:]) ** 2
    squared = away_y[:, :, None] + away_x[:, None, :]
    return (-squared.flatten(1) / (2 * TARGET_SD_CELLS**2)).softmax(1)


def _corresponding_points(pair: Pair, source: Generator) -> tuple[Tensor, Tensor]:
    """Draw points of the first picture, mostly on structure, and their partners."""
    side = pair.first.shape[-1]
    smooth = F.avg_pool2d(pair.first, 3, 1, 1)
    slope_y = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    slope_x = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    strength = F.pad(torch.hypot(slope_y, slope_x), (1, 1, 1, 1)).flatten().sqrt()
    drawn = torch.multinomial(strength + 1e-3, 3 * POINTS, generator=source)
    points = torch.stack([drawn // side, drawn % side], 1).float()
    partners = points + sampled(pair.flow_yx, points)
    inside = ((partners > 4) & (partners < side - 5)).all(1)
    return points[inside][:POINTS], partners[inside][:POINTS]
