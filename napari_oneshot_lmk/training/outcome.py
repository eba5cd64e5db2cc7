"""What a training shows and leaves: previews and the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from torch import Tensor

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_card import ModelCard, Training
from napari_oneshot_lmk.detection.trained import TrainedDetector
from napari_oneshot_lmk.encoders.weights_file import read_weights
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.training.events import Event, Noted, Previewed
from napari_oneshot_lmk.training.task import TrainingTask
from napari_oneshot_lmk.training.unit import Unit, new_network


def trained_model(
    task: TrainingTask,
    channels: tuple[int, ...],
    states: Mapping[int, Mapping[str, Tensor]],
    epoch: int,
    seconds: float,
) -> TrainedModel:
    """Join the trained networks to one model.

    Parameters
    ----------
    task : TrainingTask
        What was trained.
    channels : tuple of int
        Of the encoder's five maps, fine to coarse.
    states : mapping
        Parameters of each unit that was trained.
    epoch : int
        That was kept; of the last unit where there are several.
    seconds : float
        Working time.
    """
    parts = []
    for index, state in sorted(states.items()):
        network = new_network(task, index, channels)
        network.load_state_dict(dict(state))
        network.to(task.encoder.device).requires_grad_(False).eval()
        names = tuple(task.placed[row] for row in task.units[index])
        parts.append(Part(names, network))
    model = TrainedModel(
        _card(task, epoch, seconds), tuple(parts), task.template, origin=task.encoder.card.origin
    )
    if task.packed_weights is None:
        return model
    return model.with_packed(read_weights(task.packed_weights))


def previews(task: TrainingTask, channels: tuple[int, ...], unit: Unit) -> Iterator[Event]:
    """Show the model of this moment on the images that are being looked at."""
    paths = task.preview_images()
    if not paths:
        return
    was_training = unit.network.training
    part = Part(tuple(task.placed[row] for row in unit.rows), unit.network.eval())
    model = TrainedModel(_card(task, unit.epoch, 0.0), (part,), task.template)
    detector = TrainedDetector(model, task.template, task.encoder)
    for path in paths:
        try:
            detector.set_image(read_image(path))
            found = detector.detect()
        except OneshotError as error:
            yield Noted(f"No preview: {error.about(path)}.")
            continue
        points = {point.name: point.position_yx for point in found if point.position_yx is not None}
        yield Previewed(str(path), points)
    unit.network.train(was_training)


def _card(task: TrainingTask, epoch: int, seconds: float) -> ModelCard:
    preset = task.preset
    # Self-supervision learns from patches, and detects from the whole template.
    anchor: Literal["patch", "template"] = (
        "template" if task.method == "joint" else preset.training.anchor
    )
    return ModelCard(
        method=task.method,
        encoder=task.encoder.card.identity,
        anchor=anchor,
        patch_px=preset.patch.size,
        instant_share=preset.detection.instant_share,
        search_cells=preset.detection.search_cells,
        training=Training(
            images=len(task.images),
            epoch=epoch,
            epochs=preset.training.epochs,
            seed=task.seed,
            seconds=seconds,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
        ),
    )
