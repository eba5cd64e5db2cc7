"""A network made of what a file says, checked before anything large is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.config import NetworkLayout
from napari_oneshot_lmk.network.network import LandmarkNetwork


def network_of(
    landmarks: Sequence[str], layout: Mapping[str, Any], state: Mapping[str, Tensor]
) -> LandmarkNetwork:
    """Make a network in evaluation mode of what a file says.

    Parameters
    ----------
    landmarks : sequence of str
        Those it is for.
    layout : mapping
        From `NetworkLayout.to_json`.
    state : mapping of str to Tensor
        Its parameters and statistics.

    Raises
    ------
    UsageError
        If the three do not fit together.
    """
    sizes = NetworkLayout.from_json(layout)
    if sizes.landmarks not in (1, len(landmarks)):
        raise UsageError("adapters and landmarks do not match")
    if {key: value.shape for key, value in state.items()} != _shapes(sizes):
        raise UsageError("the numbers do not fit the layout")
    network = LandmarkNetwork(sizes)
    network.load_state_dict(state)
    return network.requires_grad_(False).eval()


def _shapes(layout: NetworkLayout) -> dict[str, torch.Size]:
    # On the meta device: a layout that claims terabytes costs nothing to refuse.
    with torch.device("meta"):
        state = LandmarkNetwork(layout).state_dict()
    return {key: value.shape for key, value in state.items()}
