"""``--workers`` and ``--scheduler``: the work of a command done by others."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.cli.console import warn
from napari_oneshot_lmk.errors import UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.batch import DetectionResult
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.journal import Journal
    from napari_oneshot_lmk.training.per_landmark import Strategy


@dataclass(frozen=True)
class Elsewhere:
    """Who is to do it.

    Parameters
    ----------
    workers : int, optional
        Processes on this computer.
    scheduler : str, optional
        Or a dask scheduler's address or file.
    """

    workers: int | None
    scheduler: str | None

    @classmethod
    def asked(cls, workers: int | None, scheduler: str | None) -> Elsewhere | None:
        """Return what the options say; None where this process is to do it.

        Raises
        ------
        UsageError
            If both are given, or dask.distributed is not installed.
        """
        if workers is None and scheduler is None:
            return None
        if workers is not None and scheduler is not None:
            raise UsageError("--workers and --scheduler were both given", remedy="give one of them")
        from napari_oneshot_lmk.cluster.client import check_installed

        check_installed()
        return cls(workers, scheduler)

    def detect(
        self,
        detector: Detector,
        journal: Journal,
        encoder_weights: Path | None,
        device: str,
        batch: int | None,
    ) -> Generator[DetectionResult, None, None]:
        """Detect on what is missing in a journal.

        Parameters
        ----------
        detector : Detector
            What the workers are to make again, on the processor.
        journal : Journal
            Says which images, and how they are read.
        encoder_weights, device
            For the workers.
        batch : int, optional
            As for `detect_many`.
        """
        images = journal.missing
        if not images:
            return
        from napari_oneshot_lmk.cluster.client import connected
        from napari_oneshot_lmk.cluster.detect import Reading, Recipe, detect_across

        recipe = Recipe.of(detector, encoder_weights, device)
        about = journal.settings
        reading = Reading(about.spacing_mm_yx, about.slice_index, batch)
        with connected(self.scheduler, self.workers) as connection:
            yield from detect_across(connection, recipe, images, reading, warn)

    def strategy(self, encoder_weights: Path | None, device: str) -> Strategy:
        """Return who trains; see `training.job.train`."""
        from napari_oneshot_lmk.cluster.train import ClusterStrategy

        weights = None if encoder_weights is None else encoder_weights.absolute()
        return ClusterStrategy(self.scheduler, self.workers, weights, device)
