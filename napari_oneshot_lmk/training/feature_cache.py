"""Feature maps of whole images, computed once: the encoder is frozen.

Half precision, and in one run of memory per image, channels last: a batch is then a few
copies, and what does not fit into memory is mapped from one file per image.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import psutil
import torch
from torch import Tensor

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.encoders.encoder import Encoder, Level
from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.storage.atomic import atomic_write

STRIDES = (2, 4, 8, 16, 32)
"""Of the maps that the published networks read, fine to coarse."""
SUFFIX = ".f16"
PART_OF_FREE_MEMORY = 0.25
LARGEST_HALF = torch.finfo(torch.float16).max

Maps = tuple[Tensor, ...]


def pooled_levels(encoder: Encoder) -> tuple[Level, ...]:
    """Return the five levels that are trained on.

    Raises
    ------
    UsageError
        If the encoder has other levels after its poolings.
    """
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
    """The five after-pooling maps of each image, fine to coarse.

    Parameters
    ----------
    encoder : Encoder
        Any with five after-pooling levels at strides 2 … 32.
    images : int
        How many it will hold; decides where they are kept.
    folder : Path, optional
        For what does not fit into memory. Files in it are found again by encoder,
        size and content, so it may outlive the process and serve several caches.
    network_shape_yx : tuple of int
        Rows and columns of the images.
    budget_bytes : int, optional
        Memory it may take; by default a quarter of what is free now, on the
        encoder's GPU or else in the computer.
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
        self._encoder = encoder
        self._network_shape_yx = network_shape_yx
        rows, columns = network_shape_yx
        self._shapes = [
            (rows // level.stride, columns // level.stride, level.channels) for level in self.levels
        ]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._backend = self._choose_backend(images, folder, budget_bytes, sharers)

    def bytes_needed(self, images: int) -> int:
        """Return how much so many images take, in memory or on the disk."""
        return 2 * sum(self._sizes) * images

    @property
    def in_memory(self) -> bool:
        """Whether the maps are kept in memory, not in files."""
        return isinstance(self._backend, MemoryBackend)

    @property
    def device(self) -> torch.device:
        """The encoder's."""
        return self._encoder.device

    def __contains__(self, content: object) -> bool:
        """Whether the maps of an image, known by its content, are there."""
        return isinstance(content, str) and self._backend.find(content) is not None

    def encode(self, images: Tensor) -> Maps:
        """Compute the maps of (B, 1, H, W) images without keeping them.

        Returns
        -------
        tuple of Tensor
            (B, C, h, w) in the encoder's precision, without gradient.
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
        """Return the maps of several images.

        Parameters
        ----------
        contents : sequence of str
            Images that are in the cache, B of them.
        device : torch.device, optional
            By default the encoder's.
        dtype : torch.dtype
            Floating type.

        Returns
        -------
        tuple of Tensor
            (B, C, h, w), channels last in memory.

        Raises
        ------
        KeyError
            If one is not in the cache.
        """
        device = self.device if device is None else device
        images = []
        for content in contents:
            found = self._backend.find(content)
            if found is None:
                raise KeyError(content)
            images.append(self._views(found))
        return tuple(
            torch.stack(level).to(device, dtype).permute(0, 3, 1, 2)
            for level in zip(*images, strict=True)
        )

    def keep(self, contents: Sequence[str], maps: Maps) -> None:
        """Keep maps that the same encoder has made, perhaps in another process."""
        # Half precision ends at 65504, and infinity would spoil a cosine.
        halves = [
            one.permute(0, 2, 3, 1).clamp(-LARGEST_HALF, LARGEST_HALF).half().flatten(1)
            for one in maps
        ]
        for flat, content in zip(torch.cat(halves, 1), contents, strict=True):
            self._backend.keep(content, flat)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _choose_backend(
        self, images: int, folder: Path | None, budget_bytes: int | None, sharers: int
    ) -> _Backend:
        needed = self.bytes_needed(images)
        device = _device_with_room(needed, self.device, budget_bytes, sharers)
        if device is not None:
            return MemoryBackend(device)
        if folder is None:
            raise UsageError(
                f"the features of {images} images take {_gigabytes(needed)}, more than "
                "may be kept in memory",
                remedy="name a folder for them, or take fewer images",
            )
        card = self._encoder.card
        precision = str(getattr(self._encoder, "dtype", ""))
        # The version stands for how images are prepared.
        made_by = (__version__, card.name, card.weights_sha256, precision)
        key = repr((*made_by, self.levels, self._network_shape_yx))
        backend = MemmapBackend(folder, key, sum(self._sizes))
        backend.check_room(images)
        return backend


class _Backend(Protocol):
    """Keeps one flat half-precision tensor for each image, known by its content."""

    def find(self, content: str) -> Tensor | None: ...

    def keep(self, content: str, flat: Tensor) -> None: ...


class MemoryBackend:
    """Keeps tensors on a device: a GPU's memory is nearest to a training on it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[str, Tensor] = {}

    def find(self, content: str) -> Tensor | None:
        """Return what is kept of an image."""
        return self._kept.get(content)

    def keep(self, content: str, flat: Tensor) -> None:
        """Keep a copy, for a view would keep its whole batch."""
        self._kept[content] = flat.to(self._device).clone()


class MemmapBackend:
    """Keeps files, whose names say what they were made of: none is ever stale.

    Parameters
    ----------
    folder : Path
        Made where it is missing. Other caches may use it too.
    key : str
        All that features depend on beside the image.
    elements : int
        Length of a tensor.
    """

    def __init__(self, folder: Path, key: str, elements: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._key, self._elements = folder, key, elements
        self._mapped: dict[str, Tensor] = {}

    def check_room(self, images: int) -> None:
        """Raise `OutputError` where the disk has no room for so many."""
        needed = 2 * self._elements * images
        there = sum(file.stat().st_size for file in self._folder.glob(f"*{SUFFIX}"))
        free = shutil.disk_usage(self._folder).free
        if needed - there > free:
            raise OutputError(
                f"the features of {images} images take {_gigabytes(needed)}, "
                f"{_gigabytes(free)} are free",
                file=self._folder,
                remedy="free some space or choose another place",
            )

    def find(self, content: str) -> Tensor | None:
        """Map the file of an image; None where it is missing or not whole."""
        found = self._mapped.get(content)
        if found is not None:
            return found
        file = self._file(content)
        if not file.is_file() or file.stat().st_size != 2 * self._elements:
            return None
        # Not shared: what is written into the tensor stays out of the file.
        found = torch.from_file(str(file), shared=False, size=self._elements, dtype=torch.float16)
        self._mapped[content] = found
        return found

    def keep(self, content: str, flat: Tensor) -> None:
        """Write the file of an image and map it; raise `OutputError` where it cannot be."""
        with atomic_write(self._file(content), overwrite=True) as partial:
            flat.cpu().numpy().tofile(partial)
        self.find(content)

    def _file(self, content: str) -> Path:
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
