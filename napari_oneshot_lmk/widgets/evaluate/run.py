"""Reads reference points and compares with them, in another thread."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.evaluation.comparison import compare
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.lookup import LandmarkLookup
from napari_oneshot_lmk.widgets.contributions.readers import image_beside
from napari_oneshot_lmk.widgets.evaluate import evaluate_texts
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.geometry import Geometry


@dataclass(frozen=True)
class KnownImages:
    """The images here, for files that lack what their image says."""

    sets: tuple[Landmarks, ...] = ()
    paths: Mapping[str, Path | None] = field(default_factory=dict)
    """Name of an image -> its file, None where it has none."""

    def file_of(self, image: str, beside: Path) -> Path | None:
        """Return the file of an image: of one that is here, or in the folder of ``beside``."""
        known = LandmarkLookup(self.sets).find(image)
        here = None if known is None else self.paths.get(known.image)
        return here or image_beside(image, beside)

    def geometry_of(self, image: str, beside: Path) -> Geometry | None:
        """Return the geometry of an image that is here, or lies in the folder of ``beside``."""
        from napari_oneshot_lmk.imaging.reader import read_image

        known = LandmarkLookup(self.sets).find(image)
        if known is not None and known.geometry is not None:
            return known.geometry
        file = image_beside(image, beside)
        if file is not None:
            # Damaged, or a stack: the landmark file has to do without.
            with suppress(OneshotError):
                return read_image(file).geometry
        return None


class ReferenceRun(WorkerRun):
    """Reads landmark files."""

    read = Signal(object, object)
    """A tuple of landmarks, and sentences about what was ignored or assumed."""

    def start(self, paths: Sequence[Path], here: KnownImages, names: Sequence[str]) -> None:
        """Begin; ``names`` are those of landmarks that a file only numbers."""
        if not self.running:
            self._work(lambda: self._read(tuple(paths), here, tuple(names)))

    def _read(
        self, paths: Sequence[Path], here: KnownImages, names: Sequence[str]
    ) -> Generator[Any, None, tuple[str, bool]]:
        sets: list[Landmarks] = []
        told: list[str] = []
        for number, path in enumerate(paths):
            yield self.going, evaluate_texts.READING, number, len(paths)
            sets += read_landmarks(
                path,
                geometry_of=partial(here.geometry_of, beside=path),
                source_of=partial(here.file_of, beside=path),
                names=names,
                tell=told.append,
            )
        # Two files about one image are told now, not with every comparison.
        LandmarkLookup(sets, "reference")
        yield self.read, tuple(sets), tuple(told)
        return "", False


class CompareRun(WorkerRun):
    """Compares the points of the images with the reference; the latest wish wins."""

    compared = Signal(object)
    """A `Comparison`."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: tuple[Sequence[Landmarks], Sequence[Landmarks]] | None = None

    def want(self, found: Sequence[Landmarks], reference: Sequence[Landmarks]) -> None:
        """Compare these, after what is going on, and instead of what waits."""
        self._wanted = found, reference
        self._start()

    def forget(self) -> None:
        """Compare nothing any more."""
        self._wanted = None
        self.cancel()

    def _start(self) -> None:
        if self._wanted is not None and not self.running:
            (found, reference), self._wanted = self._wanted, None
            self._work(lambda: self._compare(found, reference))

    def _compare(
        self, found: Sequence[Landmarks], reference: Sequence[Landmarks]
    ) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        yield self.compared, compare(found, reference)
        return "", False

    def _on_ended(self, end: Done | Failure) -> None:
        super()._on_ended(end)
        self._start()

    def _on_cancelled(self) -> None:
        super()._on_cancelled()
        self._start()
