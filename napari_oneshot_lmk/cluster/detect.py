"""Detection on many images by the workers of a cluster: `detect_many` on many computers.

Template and model are sent to each worker once. Images and the encoder's weights are read from
a shared file system.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Worker, WorkerPlugin, get_worker

from napari_oneshot_lmk.cluster.client import Connection, EncoderSpec, LostWorkers, WorkerSetup
from napari_oneshot_lmk.detection.batch import DetectionResult, detect_many
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.errors import ClusterError, ImageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.template import Template

if TYPE_CHECKING:
    from distributed import Future, as_completed

LARGEST_CHUNK = 16
"""Images in a task: a worker that is lost costs at most twice as many."""
CHUNKS_PER_SLOT = 2
"""Tasks submitted for each that can run: one in work, one waiting."""
SECONDS_BETWEEN_COUNTS = 1.0

_one_at_a_time = threading.Lock()
_built: dict[str, Detector] = {}


@dataclass(frozen=True)
class Reading:
    """How images are read and encoded; see `detect_many`."""

    spacing_mm_yx: tuple[float, float] | None = None
    slice_index: int | None = None
    batch: int | None = None


@dataclass(frozen=True, eq=False)
class DetectorSpec:
    """What a worker builds the detector from; without a model it needs no training."""

    template: Template
    model: TrainedModel | None
    encoder: EncoderSpec
    further: tuple[Template, ...] = ()
    upright: bool = False

    @classmethod
    def of(cls, detector: Detector, encoder_weights: Path | None, device: str) -> DetectorSpec:
        """Return the specification of a detector that is on the CPU.

        ``encoder_weights`` is a path as the workers see it, ``device`` is theirs.
        """
        weights = None if encoder_weights is None else encoder_weights.absolute()
        model = detector.model if isinstance(detector, TrainedDetector) else None
        encoder = EncoderSpec(weights, device, detector.encoder_card.identity)
        return cls(detector.template, model, encoder, detector.further, detector.upright)

    @property
    def key(self) -> str:
        """Equal for specifications of the same detector."""
        model = "" if self.model is None else self.model.content_sha256
        templates = [template.content_sha256 for template in (self.template, *self.further)]
        parts = (templates[0], model, repr((self.encoder, self.upright)), *templates[1:])
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def build(self, worker: str) -> Detector:
        """Build it, in a worker of this name; raises as `EncoderSpec.build`."""
        if self.model is not None and self.encoder.weights is None:
            # Packed weights were sent with it; others are searched where they were, and in
            # this worker's cache.
            self.encoder.check_version(worker)
            encoder = encoder_for(self.model, None, self.encoder.device)
        else:
            encoder = self.encoder.build(worker)
        options: dict[str, Any] = {"further": self.further, "upright": self.upright}
        if self.model is None:
            return Detector.instant(self.template, encoder=encoder, **options)
        return TrainedDetector.from_model(self.model, self.template, encoder, **options)


class DetectorPlugin(WorkerPlugin):
    """Sends a detector to every worker, including those that join later."""

    def __init__(self, spec: DetectorSpec, threads: int | None, local: bool) -> None:
        self.spec, self.worker = spec, WorkerSetup(threads, local)

    def setup(self, worker: Worker) -> None:
        """Set the worker up, but for the detector."""
        self.worker.begin(worker)

    def detector(self) -> Detector:
        """Return the detector, which is built at the first call."""
        self.worker.use_threads()
        key = self.spec.key
        if key not in _built:
            _built.clear()
            _built[key] = self.spec.build(self.worker.name)
        return _built[key]


def detect_chunk(
    plugin: str, images: Sequence[ImageFile], reading: Reading
) -> list[DetectionResult]:
    """Detect on some images, in a worker that has the `DetectorPlugin` of this name.

    Raises `ClusterError` if this worker does not see the images' folder, another
    `OneshotError` if the detector cannot be built here.
    """
    detection: DetectorPlugin = get_worker().plugins[plugin]
    for folder in {image.path.parent for image in images}:
        if not folder.is_dir():
            what = f"does not see the folder {folder}"
            remedy = "put the images on a file system that all workers share, under the same path"
            raise ClusterError(what, file=detection.worker.name, remedy=remedy)
    # A worker with several threads is given several chunks. One after the other is as fast,
    # because torch uses all threads, and needs the memory of one.
    with _one_at_a_time:
        return list(detect_many(detection.detector(), images, **asdict(reading)))


def detect_across(
    connection: Connection,
    spec: DetectorSpec,
    images: Sequence[ImageFile],
    reading: Reading | None = None,
    on_note: Callable[[str], None] = lambda message: None,
) -> Generator[DetectionResult, None, None]:
    """Detect on many images with all workers of a cluster.

    Only a few tasks are submitted at a time, however many images there are. Tasks of a
    worker that is lost are done again by others. An image on which workers die again and
    again is tried alone and then fails.

    Parameters
    ----------
    connection : Connection
    spec : DetectorSpec
    images : sequence of ImageFile
        As the workers see them.
    reading : Reading, optional
    on_note : callable
        Called with sentences for the user.

    Yields
    ------
    DetectionResult
        One per image, in order of completion; ``index`` says which.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or a worker cannot do the work.
    """
    name = f"oneshot-lmk-{secrets.token_hex(8)}"
    client = connection.client
    client.register_plugin(DetectorPlugin(spec, connection.threads, connection.local), name)
    work = _Work(connection, name, images, reading or Reading(), on_note)
    try:
        with closing(work.lost):
            yield from work.results()
    finally:
        work.cancel()
        if client.status == "running":
            client.unregister_worker_plugin(name)


class _Work:
    """Chunks of images that are submitted and their results."""

    def __init__(
        self,
        connection: Connection,
        plugin: str,
        images: Sequence[ImageFile],
        reading: Reading,
        on_note: Callable[[str], None],
    ) -> None:
        self._connection, self._plugin = connection, plugin
        self._images, self._reading, self._note = images, reading, on_note
        self._out: dict[str, tuple[Future, list[int]]] = {}
        self._suspects: deque[int] = deque()
        self._slots, self._counted = 0, -SECONDS_BETWEEN_COUNTS
        self._said_wait = self._alone = False
        self.lost = LostWorkers(connection.client)

    def results(self) -> Iterator[DetectionResult]:
        """Submit chunks and yield their results."""
        from distributed import as_completed

        loop = self._connection.client.loop
        done = as_completed(loop=loop, with_results=True, raise_errors=False)
        chunks = self._chunks()
        self._give(chunks, done)
        for future, result in done:
            yield from self._take_back(future, result)
            self._give(chunks, done)
        # One after the other: a worker that dies now dies of this image.
        self._alone = True
        while self._suspects:
            done.add(self._submit([self._suspects.popleft()]))
            for future, result in done:
                yield from self._take_back(future, result)

    def cancel(self) -> None:
        """Cancel what is not done."""
        futures = [future for future, _ in self._out.values()]
        if futures and self._connection.client.status == "running":
            self._connection.client.cancel(futures, force=True)
        self._out.clear()

    def _chunks(self) -> Iterator[list[int]]:
        """Yield the indices of the images, few at a time where there are few."""
        total, start = len(self._images), 0
        batch = self._reading.batch or 1
        while start < total:
            fair = (total - start) // (CHUNKS_PER_SLOT * max(self._slots, 1))
            size = max(batch, min(LARGEST_CHUNK, fair), 1)
            yield list(range(start, min(start + size, total)))
            start += size

    def _give(self, chunks: Iterator[list[int]], done: as_completed) -> None:
        if time.monotonic() - self._counted > SECONDS_BETWEEN_COUNTS:
            # Workers come and go.
            self._slots = sum(self._connection.client.nthreads().values())
            self._counted = time.monotonic()
        if self._slots == 0 and not self._said_wait:
            self._said_wait = True
            self._note("The scheduler has no worker yet; waiting for one.")
        free = CHUNKS_PER_SLOT * max(self._slots, 1) - len(self._out)
        for chunk in islice(chunks, max(free, 0)):
            done.add(self._submit(chunk))

    def _submit(self, chunk: list[int]) -> Future:
        images = [self._images[index] for index in chunk]
        future = self._connection.client.submit(
            detect_chunk, self._plugin, images, self._reading, pure=False
        )
        self._out[future.key] = (future, chunk)
        return future

    def _take_back(self, future: Future, result: object) -> Iterator[DetectionResult]:
        """Yield a task's results, or handle its failure."""
        at_work = {key: len(chunk) for key, (_, chunk) in self._out.items()}
        for message in self.lost.messages(at_work, "image"):
            self._note(message)
        _, chunk = self._out.pop(future.key)
        if future.status == "finished":
            assert isinstance(result, list)
            for index, one in zip(chunk, result, strict=True):
                yield replace(one, index=index, total=len(self._images))
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
