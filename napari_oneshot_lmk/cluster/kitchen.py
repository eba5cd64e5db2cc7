"""What runs in a worker: the detector is made once, then chunk after chunk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker

from napari_oneshot_lmk.cluster.presence import Presence
from napari_oneshot_lmk.errors import ClusterError

if TYPE_CHECKING:
    from napari_oneshot_lmk.cluster.recipe import Recipe
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.many import Outcome
    from napari_oneshot_lmk.imaging.find import ImageFile

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


def detect_chunk(kitchen: str, images: Sequence[ImageFile], reading: Reading) -> list[Outcome]:
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
    list of Outcome
        One an image, in order.

    Raises
    ------
    ClusterError
        If this worker does not see where the images are.
    OneshotError
        If the detector cannot be made here.
    """
    from napari_oneshot_lmk.detection.many import detect_many

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
