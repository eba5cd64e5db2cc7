"""The training loop, for all methods: a generator of events.

Everything random in a step depends on the seed and the step's position, and everything else
is in the checkpoint: a training that was killed goes on as if nothing had happened, to the
last bit on one processor. The processes of a group run the same loop side by side.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.encoders.device import (
    is_out_of_memory,
    keep_freed_memory,
    resolve_precision,
)
from napari_oneshot_lmk.errors import TrainingError
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork
from napari_oneshot_lmk.training.augmentation import Copies, TemplateAugmentation
from napari_oneshot_lmk.training.checkpoint import (
    SECONDS_BETWEEN_CHECKPOINTS,
    Checkpoint,
    CheckpointSink,
    KeptNetwork,
)
from napari_oneshot_lmk.training.config import Stream, random_stream
from napari_oneshot_lmk.training.dataset import list_names
from napari_oneshot_lmk.training.events import EpochEnded, Event, Failed, Finished, Noted, Stepped
from napari_oneshot_lmk.training.feature_cache import FeatureCache, pooled_levels
from napari_oneshot_lmk.training.first_pass import EncodedImages, encode_images
from napari_oneshot_lmk.training.heatmap_objective import HeatmapObjective
from napari_oneshot_lmk.training.methods import Batch
from napari_oneshot_lmk.training.objective import Objective, StepLosses
from napari_oneshot_lmk.training.pseudo_labels import (
    PseudoLabels,
    infer_pseudo_labels,
    initial_labels,
    instant_labels,
)
from napari_oneshot_lmk.training.sharpness import measure_sharpness
from napari_oneshot_lmk.training.state import (
    Clock,
    NetworkState,
    learning_rate,
    preview,
    trained_model,
)
from napari_oneshot_lmk.training.task import TrainingTask

NOTHING_TRAINED = Failed(
    "Stopped before the first step: nothing was trained. Start it again to go on."
)


def fit(
    task: TrainingTask, checkpoints: CheckpointSink, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Train, from the beginning or from the newest checkpoint.

    ``should_stop`` is called at each step and image, with the same answer in all processes of a
    group; if true, training ends with the best model so far. The last event is `Finished`, or
    `Failed` where nothing was trained yet. Raises `TrainingError` if not even one image fits
    into memory.
    """
    keep_freed_memory()
    yield from Trainer(task, checkpoints, should_stop).events()


def left_to_instant(model: TrainedModel) -> Iterator[Noted]:
    """Say which landmarks a model leaves to detection without training, if any."""
    if model.card.instant:
        yield Noted(
            f"The training has made {list_names(model.card.instant)} worse, as far as that can be "
            "told without annotations: left to detection without training."
        )


class Trainer:
    """A training under way; `fit` runs it.

    Without ``cache``, features are kept in one of its own.
    """

    measures_sharpness = True
    """Of the finished model; otherwise it keeps the one that it had."""

    def __init__(
        self,
        task: TrainingTask,
        checkpoints: CheckpointSink,
        should_stop: Callable[[], bool],
        cache: FeatureCache | None = None,
    ) -> None:
        self.task, self.sink, self.should_stop = task, checkpoints, should_stop
        self.settings = task.preset.training
        self.copies = self._make_copies()
        cache = cache or FeatureCache(
            task.encoder,
            len(task.images) + len(self.copies or ()) + 1,
            task.features_folder,
            task.template.image.geometry.network_shape_yx,
            sharers=task.group.local_size,
        )
        self.channels = tuple(level.channels for level in pooled_levels(task.encoder))
        detector = Detector(task.template, task.encoder)
        self.encoded = EncodedImages(cache, task.images.usable, detector)
        self.clock = Clock(len(task.landmark_groups), self.settings.epochs)
        self.dtype = resolve_precision(cache.device, self.settings.precision)
        task.group.check_same("the precision", str(self.dtype))
        self._pieces = 1
        """Into which a step is split, for lack of memory."""

    def events(self) -> Iterator[Event]:
        """Everything from the first image to the model."""
        cache = self.encoded.cache
        needed = cache.bytes_needed(len(self.encoded.images))
        where = "memory" if cache.in_memory else "files"
        yield Noted(f"Features of the images: {needed / 1e9:.1f} GB, kept in {where}.")
        for event in encode_images(self.task, self.encoded, self.copies):
            yield event
            if self.should_stop():
                yield NOTHING_TRAINED
                return
        checkpoint = self.sink.load()
        index = 0 if checkpoint is None else int(checkpoint.state["index"])
        done = {i: self.sink.load_part(i) for i in range(index)}
        last = len(self.task.landmark_groups) - 1
        while True:
            state = self.new_state(index)
            yield from self.train_network(state, checkpoint)
            done[index] = state.kept
            if (note := self._drift(state)) is not None:
                yield note
            if self.should_stop() or index == last:
                break
            self.sink.save_part(index, state.kept)
            index, checkpoint = index + 1, None
        stopped, seconds = self.should_stop(), self.clock.seconds
        model = self.make_model(done, state.best_epoch, seconds)
        yield from left_to_instant(model)
        if self.measures_sharpness:
            model = yield from measure_sharpness(
                model, self.task, self.encoded.detector, stopped=stopped
            )
        self.sink.save_model(model)
        yield Finished("", state.best_epoch, stopped, seconds)

    def _drift(self, state: NetworkState) -> Noted | None:
        """Say which landmarks have drifted, where nothing holds them; None if none has."""
        if not state.epoch or not self.encoded.instants or self.settings.keep_instant:
            return None
        shape = self.encoded.shape
        size_px_yx = (shape.size / shape.pixel_size_yx).numpy()
        drifted = state.labels.drifted(instant_labels(self.encoded), size_px_yx)
        names = [self.task.placed[row] for row in state.rows if drifted[row]]
        if not names:
            return None
        return Noted(
            f"Drift: on all images alike, {list_names(names)} moved away from where detection "
            'without training finds them. A preset with "hold = true" takes this back.',
            serious=True,
        )

    def _make_copies(self) -> Copies | None:
        """Return the annotated images that are trained on."""
        task = self.task
        if not task.config.template_stage or task.method.self_supervised:
            return None
        settings = task.preset.template_copies
        return TemplateAugmentation(task.template, settings, task.config.seed)

    def make_model(
        self, networks: Mapping[int, KeptNetwork], epoch: int, seconds: float
    ) -> TrainedModel:
        """Join the trained networks, by their index, to one model."""
        return trained_model(self.task, self.channels, networks, epoch, seconds)

    def new_state(self, index: int) -> NetworkState:
        """Return a network at its beginning."""
        labels = initial_labels(self.task, self.encoded)
        return NetworkState.begin(self.task, index, self.channels, labels)

    def train_network(self, state: NetworkState, checkpoint: Checkpoint | None) -> Iterator[Event]:
        """Train one network to its end, or until asked to stop."""
        if checkpoint is None:
            self._save(state)
        else:
            state.restore(checkpoint.tensors, checkpoint.state)
            self.clock.restore(float(checkpoint.state["clock"]["seconds"]))
            # The process may have been killed before this was in the log, which takes it once.
            if state.ended is not None:
                yield state.ended
        if state.processes != self.task.group.size:
            yield self._regroup(state)
        objective = self._objective(state)
        losses_of = self.task.group.average_gradients(
            state.network,
            objective.losses,
            # Adapters of landmarks that a step does not see have no gradient.
            find_unused=self._leaves_adapters_out(state.network.config),
        )
        while state.epoch < self.settings.epochs and not self.should_stop():
            yield from self._train_epoch(state, losses_of)
        if self.should_stop() and not state.best:
            # Stopped within the first epoch: better this network than none.
            state.keep()

    def _objective(self, state: NetworkState) -> Objective | HeatmapObjective:
        data, network = (self.task, self.encoded, self.copies), state.network
        if isinstance(network, HeatmapNetwork):
            return HeatmapObjective(*data, network, state.rows, self.dtype)
        return Objective(*data, network, state.rows, self.dtype)

    def _leaves_adapters_out(self, layout: NetworkConfig) -> bool:
        several = layout.adapter_channels > 0 and layout.num_landmarks > 1
        return several and not self.task.method.holds_all(self.settings)

    def _train_epoch(self, state: NetworkState, losses_of: StepLosses) -> Iterator[Event]:
        """Train-Template and Train-PL, Infer-PL (paper, section 2.1), selection."""
        batches = self.task.method.batches(
            self.settings,
            random_stream(self.task.config.seed, Stream.BATCHES, state.index, state.epoch),
            images=len(self.encoded.images),
            copies=len(self.copies or ()),
            landmarks=len(state.rows),
            processes=self.task.group.size,
        )
        state.network.train()
        for _ in range(state.step, len(batches)):
            if self.should_stop():
                return
            yield from self._train_step(state, losses_of, batches)
        started = time.monotonic()
        if self.should_stop() or (labels := self._infer_pseudo_labels(state)) is None:
            return
        ended = self._end_epoch(state, labels, started)
        self._save(state)
        yield ended
        yield from preview(self.task, state)

    def _infer_pseudo_labels(self, state: NetworkState) -> PseudoLabels | None:
        """Infer-PL over all images; None if asked to stop meanwhile."""
        group, count = self.task.group, len(self.encoded.images)
        network = state.network.eval()
        own = infer_pseudo_labels(
            self.task, self.encoded, network, state.rows, state.labels, self.dtype
        )
        points, residuals = [], []
        for points_yx, residual in group.gather_in_order(count, own):
            points.append(points_yx)
            residuals.append(residual)
            if len(points) < count and self.should_stop():
                return None
        return PseudoLabels(np.stack(points), np.stack(residuals))

    def _end_epoch(self, state: NetworkState, seen: PseudoLabels, started: float) -> EpochEnded:
        """Select the model, take the new labels where they are due.

        ``seen`` are the points that the network of this epoch finds.
        """
        instant, labels = instant_labels(self.encoded), seen
        worse: tuple[str, ...] = ()
        if self.settings.keep_instant:
            flags = seen.made_worse(instant, self.encoded.shape)
            worse = tuple(self.task.placed[row] for row in state.rows if flags[row])
        if self.task.preset.labels.are_held:
            labels = seen.held_to(instant)
        losses, shape = state.mean_losses, self.encoded.shape
        agreements = labels.agreements(state.rows)
        shift = labels.shift(state.labels, shape.pixel_size_yx.numpy())
        due = (state.epoch + 1) % self.task.preset.labels.renew_every == 0
        next_labels = labels if due else state.labels
        best = state.end_epoch(next_labels, agreements, self.settings.selection, worse)
        known = self.task.template.image.geometry.spacing_mm_yx is not None
        state.ended = EpochEnded(
            self.task.network_name(state.index),
            state.epoch,
            self.settings.epochs,
            losses,
            shift,
            "mm" if known else "px",
            float(agreements.mean()) * float(shape.size),
            best,
            self.clock.epoch_ended(inferring_since=started),
        )
        return state.ended

    def _regroup(self, state: NetworkState) -> Noted:
        """Begin the epoch again with another number of processes: its batches differ."""
        before, now = state.processes, self.task.group.size
        batch = self.settings.batch
        state.begin_epoch(state.epoch)
        state.processes = now
        return Noted(
            f"Begun with a step of {before * batch} images ({before} x {batch}), goes "
            f"on with {now * batch} ({now} x {batch}); epoch {state.epoch + 1} begins "
            "again.",
            serious=True,
        )

    def _save(self, state: NetworkState) -> None:
        tensors, content = state.tensors_and_state()
        content |= {"index": state.index, "clock": {"seconds": self.clock.seconds}}
        self.sink.save(Checkpoint(state.epoch, state.step, tensors, content))
        self.clock.saved()

    def _train_step(
        self, state: NetworkState, losses_of: StepLosses, batches: Sequence[Batch]
    ) -> Iterator[Event]:
        """Take the next step, in as many pieces as the memory demands.

        Raises `TrainingError` if there is not enough memory even for one image; with several
        processes, for a whole step: they would have to halve it together, and one that has
        failed within a step cannot ask the others, who wait for its gradients.
        """
        started = time.monotonic()
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, state.epoch, state.step, len(batches))
        batch, note = batches[state.step], None
        while (losses := self._try_gradients(state, losses_of, batch)) is None:
            note = self._halve(batch)
        if note is not None:
            yield note
        state.optimiser.step()
        losses = self.task.group.means(losses)
        state.add(losses)
        state.step += 1
        self.clock.stepped(time.monotonic() - started, len(batches))
        if self.clock.since_saved > SECONDS_BETWEEN_CHECKPOINTS:
            self._save(state)
        yield Stepped(
            self.task.network_name(state.index),
            state.epoch + 1,
            self.settings.epochs,
            state.step,
            len(batches),
            sum(losses.values()),
            self.clock.left(state.index, state.epoch, state.step, len(batches)),
        )

    def _try_gradients(
        self, state: NetworkState, losses_of: StepLosses, batch: Batch
    ) -> dict[str, float] | None:
        """Leave a step's gradients in the network; None where memory ran out."""
        try:
            return self._gradients(state, losses_of, batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self.task.group.is_distributed:
                raise TrainingError(
                    "there is not enough memory for a step",
                    remedy="use a preset with a smaller batch: several processes "
                    "do not halve their steps",
                ) from error
        # Here, where the error no longer holds on to the maps of its attempt.
        state.optimiser.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _halve(self, batch: Batch) -> Noted:
        """Let this step and all later ones go in halves."""
        largest = max(len(batch.images), len(batch.copies))
        if self._pieces >= largest:
            raise TrainingError(
                "there is not enough memory for a step with one image",
                remedy="close other programs, or use a preset with a smaller width",
            )
        self._pieces *= 2
        now = math.ceil(largest / self._pieces)
        return Noted(
            f"Out of memory: steps go on in pieces of {now} image{'s' if now != 1 else ''}.",
            serious=True,
        )

    def _gradients(
        self, state: NetworkState, losses_of: StepLosses, batch: Batch
    ) -> dict[str, float]:
        state.optimiser.zero_grad(set_to_none=True)
        # The hash of a tuple of integers is the same on all machines.
        seed = hash((self.task.config.seed, state.index, state.epoch, state.step)) & 0x7FFFFFFF
        generator = torch.Generator().manual_seed(seed)
        sums: dict[str, float] = {}
        pieces = batch.split(self._pieces) if self._pieces > 1 else [batch]
        for piece in pieces:
            losses = losses_of(piece, state.labels, generator)
            total = torch.stack(list(losses.values())).sum() / len(pieces)
            total.backward()  # type: ignore[no-untyped-call]
            for stage, loss in losses.items():
                sums[stage] = sums.get(stage, 0.0) + float(loss.detach()) / len(pieces)
        return sums
