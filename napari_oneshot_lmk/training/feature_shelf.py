"""Where features lie: in memory, or in one file an image that is mapped when read."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Protocol

import psutil
import torch
from torch import Tensor

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.storage.atomic import atomic_write

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
