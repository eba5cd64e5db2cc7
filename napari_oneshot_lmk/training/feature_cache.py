"""Feature maps of whole images, computed once: the encoder is frozen.

Half precision, and in one run of memory an image, channels last: a batch is then a
few copies, and what does not fit into memory is mapped from one file an image.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from monai.data import Dataset, ThreadDataLoader
from torch import Tensor

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.encoders.encoder import Encoder, Level
from napari_oneshot_lmk.errors import OutputError, UsageError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.storage.atomic import atomic_write

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


SUFFIX = ".f16"
PART_OF_FREE_MEMORY = 0.25


class FeatureShelf(Protocol):
    """Keeps one flat half-precision tensor for each image."""

    def find(self, content: str) -> Tensor | None:
        """Return what is kept of an image, known by its content."""

    def keep(self, content: str, flat: Tensor) -> None:
        """Keep it."""

    def clear(self) -> None:
        """Forget all that has been kept or found."""


class MemoryShelf:
    """Keeps tensors on a device.

    Parameters
    ----------
    device : torch.device
        A GPU's memory is nearest to a training on it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[str, Tensor] = {}

    def find(self, content: str) -> Tensor | None:
        """Return what is kept of an image, known by its content."""
        return self._kept.get(content)

    def keep(self, content: str, flat: Tensor) -> None:
        """Keep a copy, for a view would keep its whole batch."""
        self._kept[content] = flat.to(self._device).clone()

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()


class FolderShelf:
    """Keeps files, whose names say what they were made of: none is ever stale.

    Parameters
    ----------
    folder : Path
        Made where it is missing. Other shelves may use it too.
    maker : str
        All that features depend on beside the image.
    elements : int
        Length of a tensor.
    """

    def __init__(self, folder: Path, maker: str, elements: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._maker = maker
        self._elements = elements
        self._mapped: dict[str, Tensor] = {}

    def check_room(self, images: int) -> None:
        """Raise where the disk has no room for so many.

        Raises
        ------
        OutputError
            If it is too full.
        """
        needed = 2 * self._elements * images
        there = sum(file.stat().st_size for file in self._folder.glob(f"*{SUFFIX}"))
        free = shutil.disk_usage(self._folder).free
        if needed - there > free:
            raise OutputError(
                f"the features of {images} images take {gigabytes(needed)}, "
                f"{gigabytes(free)} are free",
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
        """Write the file of an image and map it.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with atomic_write(self._file(content), overwrite=True) as partial:
            flat.cpu().numpy().tofile(partial)
        self.find(content)

    def clear(self) -> None:
        """Delete the files of all images that were kept or found."""
        used = list(self._mapped)
        # First: Windows deletes no file that is mapped.
        self._mapped.clear()
        for content in used:
            self._file(content).unlink(missing_ok=True)

    def _file(self, content: str) -> Path:
        name = hashlib.sha256(f"{self._maker} {content}".encode()).hexdigest()
        return self._folder / f"{name}{SUFFIX}"


def roomy_device(
    needed: int, encoder_device: torch.device, budget: int | None, sharers: int = 1
) -> torch.device | None:
    """Return the device in whose memory features fit, None where in none.

    Parameters
    ----------
    needed : int
        Bytes.
    encoder_device : torch.device
        A GPU is asked first.
    budget : int, optional
        Bytes of the computer's memory; by default a quarter of what is free now.
    sharers : int
        Processes of this computer that each keep as much.
    """
    processor = torch.device("cpu")
    if budget is not None:
        return processor if needed <= budget else None
    if encoder_device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(encoder_device)
        if needed <= PART_OF_FREE_MEMORY * free:
            return encoder_device
    free = psutil.virtual_memory().available
    return processor if sharers * needed <= PART_OF_FREE_MEMORY * free else None


def gigabytes(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e9:.1f} GB"


STRIDES = (2, 4, 8, 16, 32)
"""Of the maps that the published networks read, fine to coarse."""

IMAGES_AT_ONCE = {"cuda": 8}
"""That the encoder gets in one go; one where the processor computes."""
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


class FeatureStore:
    """The five after-pooling maps of each image, fine to coarse.

    Parameters
    ----------
    encoder : Encoder
        Any with five after-pooling levels at strides 2 … 32.
    images : int
        How many the store will hold; decides where it keeps them.
    folder : Path, optional
        For what does not fit into memory. Files in it are found again by encoder,
        size and content, so it may outlive the process and serve several stores.
    network_shape_yx : tuple of int
        Rows and columns of the images.
    budget_bytes : int, optional
        Memory it may take; by default a quarter of what is free now, on the
        encoder's GPU or else in the computer.
    sharers : int
        Processes of this computer that each have such a store.

    Raises
    ------
    UsageError
        If the encoder has other levels, or there is neither room nor a folder.
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
        self._shelf = self._chosen_shelf(images, folder, budget_bytes, sharers)

    def bytes_needed(self, images: int) -> int:
        """Return how much so many images take, in memory or on the disk."""
        return 2 * sum(self._sizes) * images

    @property
    def in_memory(self) -> bool:
        """Whether the maps are kept in memory, not in files."""
        return isinstance(self._shelf, MemoryShelf)

    @property
    def device(self) -> torch.device:
        """The encoder's."""
        return self._encoder.device

    def __contains__(self, content: object) -> bool:
        """Say whether the maps of an image, known by its content, are there."""
        return isinstance(content, str) and self._shelf.find(content) is not None

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
            self._encode_and_keep([content], compute())
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
            Images that are in the store, B of them.
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
            If one is not in the store.
        """
        device = self.device if device is None else device
        images = []
        for content in contents:
            found = self._shelf.find(content)
            if found is None:
                raise KeyError(content)
            images.append(self._views(found))
        return tuple(
            torch.stack(level).to(device, dtype).permute(0, 3, 1, 2)
            for level in zip(*images, strict=True)
        )

    def encode_all(
        self, sources: Sequence[Source], should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[int]:
        """Encode what is new, reading ahead while the encoder works.

        Parameters
        ----------
        sources : sequence of Source
            Those that the store has already are neither read nor encoded.
        should_stop : callable
            Asked before each step. What is encoded by then is kept.

        Yields
        ------
        int
            How many of the sources are in the store.
        """
        waiting = [source for source in sources if source.content not in self]
        done = len(sources) - len(waiting)
        if done:
            yield done
        at_once = IMAGES_AT_ONCE.get(self.device.type, 1)
        for read, images in read_ahead(waiting, at_once):
            if should_stop():
                return
            self._encode_and_keep([source.content for source in read], images)
            done += len(read)
            yield done

    def clear(self) -> None:
        """Forget everything; delete the files of all that this store has used."""
        self._shelf.clear()

    def _chosen_shelf(
        self, images: int, folder: Path | None, budget_bytes: int | None, sharers: int
    ) -> FeatureShelf:
        needed = self.bytes_needed(images)
        device = roomy_device(needed, self.device, budget_bytes, sharers)
        if device is not None:
            return MemoryShelf(device)
        if folder is None:
            raise UsageError(
                f"the features of {images} images take {gigabytes(needed)}, more than "
                "may be kept in memory",
                remedy="name a folder for them, or take fewer images",
            )
        card = self._encoder.card
        precision = str(getattr(self._encoder, "dtype", ""))
        # The version stands for how images are prepared.
        maker = repr(
            (
                *(__version__, card.name, card.weights_sha256, precision),
                *(self.levels, self._network_shape_yx),
            )
        )
        shelf = FolderShelf(folder, maker, sum(self._sizes))
        shelf.check_room(images)
        return shelf

    def _encode_and_keep(self, contents: Sequence[str], images: Tensor) -> None:
        try:
            maps = self.encode(images)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            half = len(images) // 2
        else:
            self.keep(contents, maps)
            return
        # Here, where the error no longer holds on to the maps of its attempt.
        torch.cuda.empty_cache()
        self._encode_and_keep(contents[:half], images[:half])
        self._encode_and_keep(contents[half:], images[half:])

    def keep(self, contents: Sequence[str], maps: Maps) -> None:
        """Keep maps that were computed elsewhere, by the same encoder."""
        # Half precision ends at 65504, and infinity would spoil a cosine.
        halves = [
            one.permute(0, 2, 3, 1).clamp(-LARGEST_HALF, LARGEST_HALF).half().flatten(1)
            for one in maps
        ]
        for flat, content in zip(torch.cat(halves, 1), contents, strict=True):
            self._shelf.keep(content, flat)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]
