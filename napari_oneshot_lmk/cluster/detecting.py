"""Detection over many images on a cluster: what `detect_many` does, elsewhere."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cluster.connection import Connection
from napari_oneshot_lmk.cluster.losses import Losses
from napari_oneshot_lmk.cluster.recipe import Recipe
from napari_oneshot_lmk.detection.many import Outcome
from napari_oneshot_lmk.errors import ClusterError, ImageError
from napari_oneshot_lmk.imaging.find import ImageFile

if TYPE_CHECKING:
    from distributed import Future, as_completed

    from napari_oneshot_lmk.cluster.kitchen import Reading

LARGEST_CHUNK = 16
"""Images in a task: what a worker that is lost costs at most, twice."""
CHUNKS_A_SLOT = 2
"""Tasks given out for each that can run: one in work, one waiting."""
SECONDS_BETWEEN_COUNTS = 1.0


def detect_across(
    connection: Connection,
    recipe: Recipe,
    images: Sequence[ImageFile],
    reading: Reading | None = None,
    on_note: Callable[[str], None] = lambda sentence: None,
) -> Generator[Outcome, None, None]:
    """Detect on many images with all workers of a cluster.

    Only a few tasks are given out at a time, however many images there are. What a
    worker that is lost had in hand is done again by others. An image on which workers
    die again and again is tried alone and then fails.

    Parameters
    ----------
    connection : Connection
        The cluster.
    recipe : Recipe
        Of the detector.
    images : sequence of ImageFile
        As the workers see them.
    reading : Reading, optional
        How they are read.
    on_note : callable
        Told, in a sentence, what a user should know meanwhile.

    Yields
    ------
    Outcome
        One an image, as they come; ``index`` says which.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or a worker cannot do such work.
    """
    from napari_oneshot_lmk.cluster.kitchen import Kitchen, Reading

    name = f"oneshot-lmk-{secrets.token_hex(8)}"
    client = connection.client
    client.register_plugin(Kitchen(recipe, connection.threads, connection.local), name)
    work = _Work(connection, name, images, reading or Reading(), on_note)
    try:
        with closing(work.losses):
            yield from work.outcomes()
    finally:
        work.cancel()
        if client.status == "running":
            client.unregister_worker_plugin(name)


class _Work:
    """Chunks of images that are given out and come back."""

    def __init__(
        self,
        connection: Connection,
        kitchen: str,
        images: Sequence[ImageFile],
        reading: Reading,
        on_note: Callable[[str], None],
    ) -> None:
        self._connection, self._kitchen = connection, kitchen
        self._images, self._reading, self._note = images, reading, on_note
        self._out: dict[str, tuple[Future, list[int]]] = {}
        self._suspects: deque[int] = deque()
        self._slots, self._counted = 0, -SECONDS_BETWEEN_COUNTS
        self._told_to_wait = self._alone = False
        self.losses = Losses(connection.client)

    def outcomes(self) -> Iterator[Outcome]:
        """Give chunks out and yield what comes back."""
        from distributed import as_completed

        loop = self._connection.client.loop
        done = as_completed(loop=loop, with_results=True, raise_errors=False)
        chunks = self._chunks()
        self._give(chunks, done)
        for future, result in done:
            yield from self._back(future, result)
            self._give(chunks, done)
        # One after the other: who dies now dies of this image.
        self._alone = True
        while self._suspects:
            done.add(self._submitted([self._suspects.popleft()]))
            for future, result in done:
                yield from self._back(future, result)

    def cancel(self) -> None:
        """Take back what is not done."""
        futures = [future for future, _ in self._out.values()]
        if futures and self._connection.client.status == "running":
            self._connection.client.cancel(futures, force=True)
        self._out.clear()

    def _chunks(self) -> Iterator[list[int]]:
        """Yield the images' numbers, few at a time where there are few."""
        total, start = len(self._images), 0
        batch = self._reading.batch or 1
        while start < total:
            fair = (total - start) // (CHUNKS_A_SLOT * max(self._slots, 1))
            size = max(batch, min(LARGEST_CHUNK, fair), 1)
            yield list(range(start, min(start + size, total)))
            start += size

    def _give(self, chunks: Iterator[list[int]], done: as_completed) -> None:
        if time.monotonic() - self._counted > SECONDS_BETWEEN_COUNTS:
            # Workers come and go.
            self._slots = self._connection.slots()
            self._counted = time.monotonic()
        if self._slots == 0 and not self._told_to_wait:
            self._told_to_wait = True
            self._note("The scheduler has no worker yet; waiting for one.")
        while len(self._out) < CHUNKS_A_SLOT * max(self._slots, 1):
            chunk = next(chunks, None)
            if chunk is None:
                return
            done.add(self._submitted(chunk))

    def _submitted(self, chunk: list[int]) -> Future:
        from napari_oneshot_lmk.cluster.kitchen import detect_chunk

        images = [self._images[index] for index in chunk]
        future = self._connection.client.submit(
            detect_chunk, self._kitchen, images, self._reading, pure=False
        )
        self._out[future.key] = (future, chunk)
        return future

    def _back(self, future: Future, result: object) -> Iterator[Outcome]:
        """Yield what a task has found, or see to why it has not."""
        at_work = {key: len(chunk) for key, (_, chunk) in self._out.items()}
        for sentence in self.losses.told(at_work, "image"):
            self._note(sentence)
        _, chunk = self._out.pop(future.key)
        if future.status == "finished":
            assert isinstance(result, list)
            for index, outcome in zip(chunk, result, strict=True):
                yield replace(outcome, index=index, total=len(self._images))
            return
        yield from self._failed(future, chunk)

    def _failed(self, future: Future, chunk: list[int]) -> Iterator[Outcome]:
        from distributed.scheduler import KilledWorker

        if future.status == "cancelled":
            raise ClusterError(
                "the scheduler cannot be reached any more",
                remedy="what was found is kept; start it again, and give the same "
                "command again to go on",
            )
        error = future.exception()
        if not isinstance(error, KilledWorker):
            raise error
        if not self._alone:
            self._suspects.extend(chunk)
            return
        image = self._images[chunk[0]]
        failure = ImageError(
            "workers died again and again while they worked on this image",
            file=image.path,
            remedy="try it without a cluster; memory may be short there",
        )
        yield Outcome(image, None, failure, chunk[0], len(self._images), 0.0)
