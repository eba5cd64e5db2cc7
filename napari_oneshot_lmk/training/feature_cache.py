"""Feature maps of whole images, computed once: the encoder is frozen.

Half precision, and in one contiguous tensor per image, channels last: a batch is then a few
copies, and what does not fit into memory is mapped from one file per image.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import torch
from torch import Tensor

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.encoders.encoder import Encoder, Level
from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.storage.atomic import atomic_write

SUFFIX = ".f16"
PART_OF_FREE_MEMORY = 0.25
LARGEST_HALF = torch.finfo(torch.float16).max

Maps = tuple[Tensor, ...]


def pooled_levels(encoder: Encoder) -> tuple[Level, ...]:
    """Return the five levels that are trained on; `UsageError` if the encoder has others."""
    levels = tuple(level for level in encoder.card.levels if level.after_pooling)
    strides = tuple(level.stride for level in levels)
    if strides != STRIDES:
        raise UsageError(
            f"the encoder {encoder.card.identity} has maps at the strides "
            f"{', '.join(map(str, strides)) or 'none'}, training needs "
            f"{', '.join(map(str, STRIDES))}",
            remedy="use VGG19 or the encoder that is shipped",
        )
    return levels


class FeatureCache:
    """The five after-pooling maps of each image, fine to coarse, in memory or in files.

    Parameters
    ----------
    encoder : Encoder
        Any with five after-pooling levels at strides 2 … 32.
    images : int
        How many it will hold; decides where they are kept.
    folder : Path, optional
        For what does not fit into memory. File names are a hash of encoder, size and content,
        so that the folder may outlive the process and serve several caches.
    network_shape_yx : tuple of int
        Rows and columns of the images.
    budget_bytes : int, optional
        Memory it may take; by default a quarter of what is free on the GPU, or else in RAM.
    sharers : int
        Processes of this computer that each have such a cache.

    Raises
    ------
    UsageError
        If the encoder has other levels, or there is neither memory nor a folder.
    OutputError
        If the folder's disk is too full.
    """

    def __init__(
        self,
        encoder: Encoder,
        images: int,
        folder: Path | None = None,
        network_shape_yx: tuple[int, int] = NETWORK_SHAPE_YX,
        *,
        budget_bytes: int | None = None,
        sharers: int = 1,
    ) -> None:
        self.levels = pooled_levels(encoder)
        self._encoder, self._folder = encoder, folder
        rows, columns = network_shape_yx
        self._shapes = [
            (rows // level.stride, columns // level.stride, level.channels) for level in self.levels
        ]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        needed = self.bytes_needed(images)
        self._memory = _device_with_room(needed, self.device, budget_bytes, sharers)
        self._kept: dict[str, Tensor] = {}
        if self._memory is not None:
            return
        if folder is None:
            raise UsageError(
                f"the features of {images} images take {_gigabytes(needed)}, more than "
                "may be kept in memory",
                remedy="name a folder for them, or take fewer images",
            )
        card, precision = encoder.card, str(getattr(encoder, "dtype", ""))
        # The version stands for how images are prepared.
        made_by = (__version__, card.name, card.weights_sha256, precision)
        self._key = repr((*made_by, self.levels, network_shape_yx))
        folder.mkdir(parents=True, exist_ok=True)
        there = sum(file.stat().st_size for file in folder.glob(f"*{SUFFIX}"))
        free = shutil.disk_usage(folder).free
        if needed - there > free:
            raise OutputError(
                f"the features of {images} images take {_gigabytes(needed)}, "
                f"{_gigabytes(free)} are free",
                file=folder,
                remedy="free some space or choose another place",
            )

    def bytes_needed(self, images: int) -> int:
        """Return how much so many images take, in memory or on the disk."""
        return 2 * sum(self._sizes) * images

    @property
    def in_memory(self) -> bool:
        """Whether the maps are kept in memory, not in files."""
        return self._memory is not None

    @property
    def device(self) -> torch.device:
        """The encoder's."""
        return self._encoder.device

    def __contains__(self, content: object) -> bool:
        """Whether the maps of an image, known by its content, are there."""
        return isinstance(content, str) and self._find(content) is not None

    def encode(self, images: Tensor) -> Maps:
        """Compute the maps (B, C, h, w) of (B, 1, H, W) images without keeping them.

        They are in the encoder's precision, without gradient.
        """
        with torch.no_grad():
            return self._encoder(images).after_pooling.maps

    def get(self, content: str, compute: Callable[[], Tensor]) -> Maps:
        """Return the maps of one image, encoding what ``compute`` returns if new."""
        if content not in self:
            self.keep([content], self.encode(compute()))
        return self.batch([content])

    def batch(
        self,
        contents: Sequence[str],
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Maps:
        """Return the maps (B, C, h, w) of several images, channels last in memory.

        By default they are on the encoder's device. Raises `KeyError` if one is not there.
        """
        images = []
        for content in contents:
            found = self._find(content)
            if found is None:
                raise KeyError(content)
            levels = zip(torch.split(found, self._sizes), self._shapes, strict=True)
            images.append([level.view(shape) for level, shape in levels])
        return tuple(
            torch.stack(level).to(device or self.device, dtype).permute(0, 3, 1, 2)
            for level in zip(*images, strict=True)
        )

    def keep(self, contents: Sequence[str], maps: Maps) -> None:
        """Keep maps of the same encoder; raise `OutputError` if a file cannot be written."""
        # Half precision ends at 65504, and infinity would spoil a cosine.
        halves = [
            one.permute(0, 2, 3, 1).clamp(-LARGEST_HALF, LARGEST_HALF).half().flatten(1)
            for one in maps
        ]
        for flat, content in zip(torch.cat(halves, 1), contents, strict=True):
            if self._memory is not None:
                # A copy: a view would keep its whole batch.
                self._kept[content] = flat.to(self._memory).clone()
            else:
                with atomic_write(self._file(content), overwrite=True) as partial:
                    flat.cpu().numpy().tofile(partial)

    def _find(self, content: str) -> Tensor | None:
        """Return the flat maps of an image; None where they are missing or not whole."""
        if content in self._kept or self._memory is not None:
            return self._kept.get(content)
        file, size = self._file(content), sum(self._sizes)
        if not file.is_file() or file.stat().st_size != 2 * size:
            return None
        # Not shared: what is written into the tensor stays out of the file.
        found = torch.from_file(str(file), shared=False, size=size, dtype=torch.float16)
        self._kept[content] = found
        return found

    def _file(self, content: str) -> Path:
        assert self._folder is not None
        name = hashlib.sha256(f"{self._key} {content}".encode()).hexdigest()
        return self._folder / f"{name}{SUFFIX}"


def _device_with_room(
    needed: int, encoder_device: torch.device, budget: int | None, sharers: int
) -> torch.device | None:
    """Return the device in whose memory so many bytes fit, a GPU first; None where in none."""
    processor = torch.device("cpu")
    if budget is not None:
        return processor if needed <= budget else None
    if encoder_device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(encoder_device)
        if needed <= PART_OF_FREE_MEMORY * free:
            return encoder_device
    free = psutil.virtual_memory().available
    return processor if sharers * needed <= PART_OF_FREE_MEMORY * free else None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
