"""What the processes of a training share besides the loop: images and checkpoints.

The leader reads and writes; the others hear of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_oneshot_lmk.errors import ImageError, UsageError
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import TrainingSet
from napari_oneshot_lmk.training.distributed.group import World
from napari_oneshot_lmk.training.events import Event, Noted
from napari_oneshot_lmk.training.methods import Batch
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels
from napari_oneshot_lmk.training.run_folder import versions
from napari_oneshot_lmk.training.task import TrainingTask

if TYPE_CHECKING:
    from torch import Tensor

    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.training.checkpoint import Checkpoint
    from napari_oneshot_lmk.training.task import CheckpointSink


def check_together(world: World, config: TrainingConfig) -> None:
    """Refuse what several processes cannot train, or were not asked for alike.

    Raises
    ------
    UsageError
        If so, in the leader and where all are told.
    LostProcessError
        In the others, where the leader tells.
    """
    if not world.several:
        return
    if config.training_method.per_landmark:
        raise UsageError(
            f"torchrun's {world.size} processes train one network together, but the "
            f"method {config.method} trains one per landmark",
            remedy="use --method fused, or --workers and --scheduler without torchrun",
        )
    world.check_alike("the version", versions()["napari-oneshot-lmk"])
    everybodys = world.gather(config)
    for rank, other in enumerate(everybodys):
        for difference in other.differences(everybodys[0]):
            now = difference.replace(" before", "")
            raise world.refusal(
                f"process {rank} was started with other settings than process 0: {now}",
                "start the same command on all hosts",
            )


def introduced(world: World, config: TrainingConfig) -> Iterator[Noted]:
    """Say how many processes train, and what that makes of a step."""
    if world.several:
        batch = config.numbers.training.batch
        yield Noted(
            f"{world.size} processes train together: a step has {world.size} x {batch} images."
        )


def same_encoder(
    world: World, config: TrainingConfig, fetching: Callable[[int, int], None] | None
) -> Encoder:
    """Return the encoder of this process; weights are fetched once on each computer."""
    from napari_oneshot_lmk.encoders.select import instant_encoder

    def fetched(tell: Callable[[int, int], None]) -> Encoder:
        def progress(done: int, total: int) -> None:
            tell(done, total)
            if fetching is not None:
                fetching(done, total)

        device = world.device(config.device)
        return instant_encoder(config.encoder_weights, device, progress=progress)

    return world.messages.host_by_host(world.local_rank == 0, fetched)


def check_same_encoder(world: World, encoder: Encoder) -> None:
    """Refuse processes with encoders of different kinds.

    Raises
    ------
    UsageError
        If they differ, in the leader.
    """
    world.check_alike("the encoder", encoder.card.identity)
    world.check_alike("the kind of device", encoder.device.type)


def same_images(
    world: World, found: Generator[Event, None, TrainingSet | None]
) -> Generator[Event, None, TrainingSet | None]:
    """Let all processes train on the images that the leader finds.

    Parameters
    ----------
    world : World
        Where it is one process, nothing changes.
    found : generator
        From `inspected`; only the leader's is run.

    Yields
    ------
    Event
        The leader's.

    Returns
    -------
    TrainingSet or None
        The leader's.

    Raises
    ------
    ImageError
        If this process does not find one of the images.
    """
    if not world.several:
        return (yield from found)
    images: TrainingSet | None = None
    while True:
        event: Event | None = None
        if world.leads:
            try:
                event = next(found)
            except StopIteration as end:
                images = end.value
        # One image at a time, so that nobody waits for long without news.
        event = world.from_leader(event)
        if event is None:
            break
        yield event
    images = world.from_leader(images)
    for image in images.usable if images else ():
        if not image.path.exists():
            raise ImageError(
                f"process {world.rank} does not find this image",
                file=image.path,
                remedy="all hosts have to see the images under the same path",
            )
    return images


class SharedCheckpoints:
    """What the loop hands over: the leader keeps it, all go on from it.

    Parameters
    ----------
    world : World
        Those who train; where it is one process, nothing changes.
    sink : CheckpointSink
        Only the leader's is used.
    """

    def __init__(self, world: World, sink: CheckpointSink) -> None:
        self._world, self._sink = world, sink

    def load(self) -> Checkpoint | None:
        """Return the leader's newest checkpoint."""
        return self._world.from_leader(self._sink.load() if self._world.leads else None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        if self._world.leads:
            self._sink.save(checkpoint)

    def save_part(self, index: int, state: dict[str, Tensor], epoch: int) -> None:
        """Keep a network that is done."""
        if self._world.leads:
            self._sink.save_part(index, state, epoch)

    def load_part(self, index: int) -> dict[str, Tensor]:
        """Return the leader's."""
        part = self._sink.load_part(index) if self._world.leads else {}
        return self._world.from_leader(part)

    def save_model(self, model: TrainedModel) -> None:
        """Keep the finished model."""
        if self._world.leads:
            self._sink.save_model(model)


StepLosses = Callable[[Batch, PseudoLabels, torch.Generator], dict[str, Tensor]]
"""Loss of each stage of a step; see `Stages.losses`."""


class _Step(nn.Module):
    """A whole step as one forward pass.

    DistributedDataParallel follows what is called through `forward`; the loss of a
    step calls `LandmarkNetwork.near`, and that more than once.
    """

    def __init__(self, network: LandmarkNetwork, losses: StepLosses) -> None:
        super().__init__()
        self.network = network
        self._losses = losses

    def forward(
        self, plan: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self._losses(plan, labels, generator)


def averaged(task: TrainingTask, network: LandmarkNetwork, losses: StepLosses) -> StepLosses:
    """Let gradients of losses be those of all processes, averaged.

    Parameters
    ----------
    task : TrainingTask
        What is trained, and by whom.
    network : LandmarkNetwork
        Its parameters become the leader's.
    losses : callable
        Computed with the network.

    Returns
    -------
    callable
        The same losses; where there is but one process, the very same function.
    """
    if not task.world.several:
        return losses
    # Of 1 x 1 convolutions, whose strides say nothing; it is about speed alone.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    parallel: StepLosses = DistributedDataParallel(
        _Step(network, losses),
        # Adapters of landmarks that a step does not see have no gradient and make
        # no step, as in one process.
        find_unused_parameters=len(network.adapters) > 1 and not task.preset.training.together,
    )
    return parallel
