"""Putting the encoder's weights into a run, so that its model needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.run import RunFolder


def keep_weights(run: RunFolder, encoder: Encoder) -> Path | None:
    """Put the weights into the run before it trains, in half precision.

    Their file may be gone at the end of a long training.

    Parameters
    ----------
    run : RunFolder
        Taken up by this process.
    encoder : Encoder
        That is trained on.

    Returns
    -------
    Path or None
        Where they lie until the model has them; None where the encoder has none.

    Raises
    ------
    WeightsError
        If they cannot be read again, or half precision cannot hold them.
    TrainingError
        If their file was replaced since the encoder was made.
    UsageError
        If the encoder was made without a file.
    """
    from napari_oneshot_lmk.encoders.weights_file import half_precision, read_weights, write_weights

    if not encoder.card.weights_sha256:
        return None
    origin = encoder.card.origin
    if origin is None or not origin.path:
        raise UsageError(
            "the encoder's weights came from no file and cannot be packed",
            file=run.path,
            remedy="name their file with --encoder-weights",
        )
    weights = read_weights(Path(origin.path))
    if weights.sha256 != origin.sha256:
        raise TrainingError(
            "the file of the encoder's weights was replaced a moment ago",
            file=origin.path,
            remedy="give the same command again",
        )
    write_weights(run.encoder_path, half_precision(weights), half=True)
    return run.encoder_path


def pack_finished(run: RunFolder, weights: Path | None) -> None:
    """Put the weights into the model of a run that has finished without them.

    Parameters
    ----------
    run : RunFolder
        Finished, and taken up by this process.
    weights : Path, optional
        Their file; otherwise they are looked for where they lay.

    Raises
    ------
    WeightsError
        If they cannot be had.
    UsageError
        If the file holds others than the model was trained on.
    """
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.model_encoder import VGG19, weights_for
    from napari_oneshot_lmk.encoders.model_weights import encoder_identity
    from napari_oneshot_lmk.encoders.weights_file import read_weights

    model = TrainedModel.load(run.model_path)
    if model.packed or not model.card.encoder.startswith(VGG19):
        return
    found = weights_for(model) if weights is None else read_weights(weights)
    if encoder_identity(found.sha256) != model.card.encoder:
        raise UsageError(
            "the model was not trained on these weights",
            file=weights,
            remedy="name those that it was trained on, or none",
        )
    with run.new_model() as folder:
        model.with_packed(found).save(folder)
