"""Images read and prepared in a thread while the encoder works on earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import Dataset, ThreadDataLoader
from torch import Tensor

READ_AHEAD = 2
"""Batches that wait."""


@dataclass(frozen=True)
class Source:
    """An image that features are wanted of.

    Parameters
    ----------
    content : str
        Hash of all that its pixels depend on; what a store knows it by.
    read : callable
        Returns it as `imaging.transforms.prepare_image` does, (1, 1, H, W). Called in
        another thread.
    """

    content: str
    read: Callable[[], Tensor]


def read_ahead(sources: Sequence[Source], at_once: int) -> Iterator[tuple[list[Source], Tensor]]:
    """Read images in order.

    Parameters
    ----------
    sources : sequence of Source
        Each is read once.
    at_once : int
        Images in a batch.

    Yields
    ------
    tuple of list of Source, Tensor
        What was read, and (B, 1, H, W) of it.

    Raises
    ------
    Exception
        Whatever reading one of them raised, when its turn comes.
    """
    if not sources:
        return
    loader = ThreadDataLoader(
        Dataset([{"source": source} for source in sources], _read),
        buffer_size=READ_AHEAD,
        batch_size=at_once,
        num_workers=0,
        collate_fn=list,
        # Without its own it would draw from torch's, and seed that anew: training
        # would go on differently after a resumption.
        generator=torch.Generator(),
    )
    for batch in loader:
        for item in batch:
            if item["error"] is not None:
                raise item["error"]
        images = torch.cat([item["image"] for item in batch])
        yield [item["source"] for item in batch], images


def _read(item: dict[str, Any]) -> dict[str, Any]:
    # MONAI's thread would end without a word at an error.
    try:
        return {**item, "image": item["source"].read(), "error": None}
    except Exception as error:
        return {**item, "image": None, "error": error}
