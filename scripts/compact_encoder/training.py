"""Dense contrastive training of the compact network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from compact_encoder.pair import Pair, sampled
from napari_oneshot_lmk.encoders.compact import CompactNetwork
from napari_oneshot_lmk.encoders.orientation import root_histograms

STRIDES = (2, 4, 8, 16)
"""Of the levels that are trained; that at 32 uses the same weights."""
PAIRS_PER_STEP = 2
TARGET_SD_CELLS = 0.7
TEMPERATURE = 0.08
"""At the start, as a number that is trained beside the network."""


def trained(
    pairs: Iterator[Pair],
    steps: int,
    seed: int,
    report: Callable[[int, float], None],
    learning_rate: float = 2e-3,
) -> CompactNetwork:
    """Train on `PAIRS_PER_STEP` pairs a step; ``report`` hears each step's number and loss."""
    torch.manual_seed(seed)
    network = CompactNetwork().train().to(memory_format=torch.channels_last)
    log_temperature = torch.nn.Parameter(torch.tensor(TEMPERATURE).log())
    optimiser = torch.optim.AdamW(
        [*network.parameters(), log_temperature], learning_rate, weight_decay=1e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=steps, pct_start=0.1
    )
    for step in range(1, steps + 1):
        drawn = [next(pairs) for _ in range(PAIRS_PER_STEP)]
        loss = mean_loss(network, drawn, log_temperature.exp())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        report(step, float(loss.detach()))
    return network.eval()


def mean_loss(network: CompactNetwork, pairs: Sequence[Pair], temperature: Tensor) -> Tensor:
    """InfoNCE of corresponding points against all cells of the other picture.

    The target is a narrow Gaussian over the cells around the true place, so the
    peak is asked to be sub-cell accurate.
    """
    pictures = torch.cat([picture for pair in pairs for picture in (pair.first, pair.second)])
    terms = []
    for stride in STRIDES:
        embeddings = network(root_histograms(pictures, stride)).split(1)
        for pair, first, second in zip(pairs, embeddings[::2], embeddings[1::2], strict=True):
            at = (pair.points_yx + 0.5) / stride - 0.5
            anchors = F.normalize(sampled(first, at), dim=1)
            logits = anchors @ second[0].flatten(1) / temperature
            places = (pair.partners_yx + 0.5) / stride - 0.5
            target = _soft_target(places, second.shape[-2:])
            terms.append(-(target * logits.log_softmax(1)).sum(1).mean())
    return torch.stack(terms).mean()


def _soft_target(places_yx: Tensor, shape: torch.Size) -> Tensor:
    """Gaussian over the cells around each (N, 2) place: (N, h * w), sum 1."""
    height, width = shape
    away_y = (torch.arange(height) - places_yx[:, :1]) ** 2
    away_x = (torch.arange(width) - places_yx[:, 1:]) ** 2
    squared = away_y[:, :, None] + away_x[:, None, :]
    return (-squared.flatten(1) / (2 * TARGET_SD_CELLS**2)).softmax(1)
