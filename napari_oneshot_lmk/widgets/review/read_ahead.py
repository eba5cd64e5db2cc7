"""Images that are likely to be shown next, decoded in another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.widgets.layers.shared_layer import DecodedImage


class ReadAhead:
    """Keeps a few decoded images.

    Parameters
    ----------
    read : callable
        Reads an image by its id; an `OneshotError` says why it cannot be read.
    """

    def __init__(self, read: Callable[[str], GrayImage]) -> None:
        self._read = read
        self._images: dict[str, Future[DecodedImage]] = {}
        self._thread = ThreadPoolExecutor(1, "read ahead")

    def __len__(self) -> int:
        return len(self._images)

    def get(self, image: str) -> DecodedImage:
        """Return an image, read now where it was not expected.

        Raises
        ------
        OneshotError
            If it cannot be read.
        """
        reading = self._images.pop(image, None)
        if reading is None:
            return DecodedImage.of(self._read(image))
        decoded = reading.result()
        # It may be turned back to.
        self._images[image] = reading
        return decoded

    def expect(self, images: Iterable[str], shown: str | None) -> None:
        """Read some images, in this order, and drop all others but the one that is shown."""
        wanted = list(images)
        for image in [each for each in self._images if each not in (*wanted, shown)]:
            self._images.pop(image).cancel()
        for image in wanted:
            if image not in self._images:
                self._images[image] = self._thread.submit(self._decode, image)

    def forget(self, image: str) -> None:
        """Drop an image: it is read anew."""
        reading = self._images.pop(image, None)
        if reading is not None:
            reading.cancel()

    def clear(self) -> None:
        """Drop all: they are read anew."""
        while self._images:
            self._images.popitem()[1].cancel()

    def close(self) -> None:
        """End the thread."""
        self.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _decode(self, image: str) -> DecodedImage:
        return DecodedImage.of(self._read(image))
