"""Detection over many images on a cluster: what `detect_many` does, elsewhere."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.cluster.client import Connection, Losses, Presence
from napari_oneshot_lmk.detection.batch import DetectionResult
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.errors import ClusterError, ImageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.template import Template

if TYPE_CHECKING:
    from distributed import Future, as_completed

    from napari_oneshot_lmk.detection.batch import DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.imaging.find import ImageFile


@dataclass(frozen=True)
class EncoderRecipe:
    """How a worker makes the encoder.

    Parameters
    ----------
    weights : Path, optional
        As the workers see them; otherwise each looks for weights as this computer
        does.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    identity : str
        Of the encoder that is expected; one worker with another would make results
        of two kinds.
    version : str
        Of this program, likewise.
    """

    weights: Path | None
    device: str
    identity: str
    version: str = __version__

    def encoder_of(self, worker: str) -> Encoder:
        """Make it.

        Parameters
        ----------
        worker : str
            Who does, for the errors.

        Raises
        ------
        ClusterError
            If this computer has another encoder or version.
        OneshotError
            If the weights cannot be read, or the device is missing.
        """
        self.check_version(worker)
        encoder = self._found()
        if encoder.card.identity != self.identity:
            raise ClusterError(
                f"has the encoder {encoder.card.identity}, not {self.identity}",
                file=worker,
                remedy="name weights that all workers can read with --encoder-weights",
            )
        return encoder

    def check_version(self, worker: str) -> None:
        """Refuse a worker with another version of this program.

        Raises
        ------
        ClusterError
            If it has one.
        """
        if self.version != __version__:
            raise ClusterError(
                f"has version {__version__} of this program, not {self.version}",
                file=worker,
                remedy="install the same version everywhere",
            )

    def _found(self) -> Encoder:
        from napari_oneshot_lmk.encoders.device import resolve_device
        from napari_oneshot_lmk.encoders.orientation import shipped_encoder
        from napari_oneshot_lmk.encoders.select import instant_encoder

        shipped = shipped_encoder(resolve_device(self.device))
        if shipped.card.identity == self.identity:
            # Whatever weights this computer has, or would try to fetch.
            return shipped
        return instant_encoder(self.weights, self.device)


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a detector is made of.

    Parameters
    ----------
    template : Template
        The annotated image.
    model : TrainedModel, optional
        On the processor; without it detection needs no training.
    encoder : EncoderRecipe
        What makes the features.
    """

    template: Template
    model: TrainedModel | None
    encoder: EncoderRecipe

    @classmethod
    def of(cls, detector: Detector, encoder_weights: Path | None, device: str) -> Recipe:
        """Return the recipe of a detector that is on the processor.

        Parameters
        ----------
        detector : Detector
            Or `TrainedDetector`.
        encoder_weights : Path, optional
            The file it was made with; the workers look for it at the same place.
        device : str
            For the workers.
        """
        weights = None if encoder_weights is None else encoder_weights.absolute()
        identity = detector.encoder_card.identity
        return cls(
            detector.template,
            detector.model if isinstance(detector, TrainedDetector) else None,
            EncoderRecipe(weights, device, identity),
        )

    @property
    def key(self) -> str:
        """The same for recipes that make the same detector."""
        parts = (
            self.template.content_sha256,
            "" if self.model is None else self.model.content_sha256,
            repr(self.encoder),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def detector(self, worker: str) -> Detector:
        """Make it.

        Parameters
        ----------
        worker : str
            Who does, for the errors.

        Raises
        ------
        OneshotError
            As `EncoderRecipe.encoder_of`.
        """
        if self.model is not None and self.encoder.weights is None:
            # What it brings has travelled with it; else this worker looks where the
            # weights lay, and in its own cache.
            self.encoder.check_version(worker)
            encoder = encoder_for(self.model, None, self.encoder.device)
        else:
            encoder = self.encoder.encoder_of(worker)
        if self.model is None:
            return Detector.instant(self.template, encoder=encoder)
        return TrainedDetector.from_model(self.model, self.template, encoder)


_one_at_a_time = threading.Lock()
_made: dict[str, Detector] = {}


@dataclass(frozen=True)
class Reading:
    """How images are read and encoded; see `detect_many`."""

    spacing_mm_yx: tuple[float, float] | None = None
    slice_index: int | None = None
    batch: int | None = None


class Kitchen(WorkerPlugin):
    """Brings a recipe to every worker, those included that come later.

    Parameters
    ----------
    recipe : Recipe
        Of the detector.
    threads, local
        As for `Presence`.
    """

    def __init__(self, recipe: Recipe, threads: int | None, local: bool) -> None:
        self.recipe, self.presence = recipe, Presence(threads, local)

    def setup(self, worker: Worker) -> None:
        """Get ready; the detector is made when there is work for it."""
        self.presence.begin(worker)

    def detector(self) -> Detector:
        """Return the detector, made at the first time."""
        self.presence.use_threads()
        key = self.recipe.key
        if key not in _made:
            _made.clear()
            _made[key] = self.recipe.detector(self.presence.name)
        return _made[key]


def detect_chunk(
    kitchen: str, images: Sequence[ImageFile], reading: Reading
) -> list[DetectionResult]:
    """Detect on some images, in a worker.

    Parameters
    ----------
    kitchen : str
        Name of the plugin.
    images : sequence of ImageFile
        As the workers see them.
    reading : Reading
        How.

    Returns
    -------
    list of DetectionResult
        One an image, in order.

    Raises
    ------
    ClusterError
        If this worker does not see where the images are.
    OneshotError
        If the detector cannot be made here.
    """
    from napari_oneshot_lmk.detection.batch import detect_many

    at_work: Kitchen = get_worker().plugins[kitchen]
    for folder in {image.path.parent for image in images}:
        if not folder.is_dir():
            raise ClusterError(
                f"does not see the folder {folder}",
                file=at_work.presence.name,
                remedy="put the images on a file system that all workers share, under "
                "the same path",
            )
    # A worker with several threads is given several chunks. One after the other is
    # as fast, torch uses all threads, and needs the memory of one.
    with _one_at_a_time:
        found = detect_many(
            at_work.detector(),
            images,
            spacing_mm_yx=reading.spacing_mm_yx,
            slice_index=reading.slice_index,
            batch=reading.batch,
        )
        return list(found)


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
) -> Generator[DetectionResult, None, None]:
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
    DetectionResult
        One an image, as they come; ``index`` says which.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or a worker cannot do such work.
    """
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

    def outcomes(self) -> Iterator[DetectionResult]:
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

        images = [self._images[index] for index in chunk]
        future = self._connection.client.submit(
            detect_chunk, self._kitchen, images, self._reading, pure=False
        )
        self._out[future.key] = (future, chunk)
        return future

    def _back(self, future: Future, result: object) -> Iterator[DetectionResult]:
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

    def _failed(self, future: Future, chunk: list[int]) -> Iterator[DetectionResult]:
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
        yield DetectionResult(image, None, failure, chunk[0], len(self._images), 0.0)
