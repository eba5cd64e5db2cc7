"""The loss of one step of a network that draws heatmaps: CC2D's second stage."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_oneshot_lmk.encoders.device import autocast
from napari_oneshot_lmk.matching.heatmaps import cell_targets
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork
from napari_oneshot_lmk.training.methods import Batch
from napari_oneshot_lmk.training.objective import Examples, StepObjective
from napari_oneshot_lmk.training.pseudo_labels import PseudoLabels


class HeatmapObjective(StepObjective[HeatmapNetwork]):
    """Cross-entropy between where a network sees the landmarks and a Gaussian about each label.

    The labels are those of unlabelled images, weighed, and the exact ones of augmented templates.
    """

    def losses(
        self, batch: Batch, labels: PseudoLabels, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the loss of each stage that a step belongs to, as `Objective.losses`."""
        examples = self._stages(batch, labels)
        # One pass: batch norms see images and copies together.
        contents = [key for shown in examples.values() for key in shown.contents]
        counted = [c for shown in examples.values() for c in shown.shard.counted]
        maps = self._cache.batch(contents)
        with self._statistics(counted), autocast(self._device, self._dtype):
            logits = self._network(maps)
        log_shares = logits[:, list(batch.landmarks)].float().flatten(2).log_softmax(2)
        each = torch.split(log_shares, [len(shown.contents) for shown in examples.values()])
        return {
            stage: self._cross_entropy(seen, shown, logits.shape[-2:])
            for (stage, shown), seen in zip(examples.items(), each, strict=True)
        }

    def _cross_entropy(self, log_shares: Tensor, shown: Examples, shape_yx: torch.Size) -> Tensor:
        sd_cells = self._task.preset.student.target_sd_cells
        targets = cell_targets(shown.points_yx, shape_yx, sd_cells).flatten(2)
        # Divided by each process's part of all weights, as the contrastive loss.
        total = self._task.group.mean(shown.weights.sum())
        losses = -(targets * log_shares).sum(2)
        return (shown.weights * losses).sum() / total.clamp_min(1e-6)
