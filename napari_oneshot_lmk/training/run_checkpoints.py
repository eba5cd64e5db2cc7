"""The checkpoints, parts and models of a run, in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_oneshot_lmk.training.run import RunFolder, UnitFolder

if TYPE_CHECKING:
    from torch import Tensor

    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.training.checkpoint import Checkpoint


class RunCheckpoints:
    """Keeps what the loop hands over, in the run's folder.

    Parameters
    ----------
    run : RunFolder
        Taken up by this process, or by one that this process works for.
    unit : UnitFolder, optional
        The checkpoints' place where networks are trained side by side.
    """

    def __init__(self, run: RunFolder, unit: UnitFolder | None = None) -> None:
        self._run = run
        self._place = (unit or run).checkpoint_path

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint; None at the beginning."""
        from napari_oneshot_lmk.training.checkpoint import Checkpoint

        return Checkpoint.load(self._place)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""
        checkpoint.save(self._place)

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep the network of a landmark that is done."""
        from napari_oneshot_lmk.training.checkpoint import save_part

        save_part(self._run.part_path(index), state, epoch)

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the network of a landmark that was done before."""
        from napari_oneshot_lmk.training.checkpoint import load_part

        return load_part(self._run.part_path(index))

    def save_model(self, model: TrainedModel) -> None:
        """Keep a model in place of the one before."""
        with self._run.new_model() as folder:
            model.save(folder)
