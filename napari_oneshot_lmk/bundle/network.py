"""A trained detector as one network: an image in, points out."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

COLUMNS = ("y", "x", "score", "expected_y", "expected_x")
"""Of each row of the output; see `Detector.points`."""


class PointNetwork(nn.Module):
    """Encoder, trained networks, template's embeddings and shape step together.

    Its state_dict is all that the points depend on, without any pixel of the template.

    Parameters
    ----------
    detector : TrainedDetector
        On the CPU. It computes with whatever is loaded into this module's state_dict.
    """

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        self._detector = detector
        self.encoder = detector.encoder
        self.networks = nn.ModuleList(p.network for p in detector.model.parts)
        self.shape = detector.shape
        # The same tensor objects as the detector's: recording names them after these buffers,
        # instead of writing copies into the graph.
        for name, tensor in detector.embeddings().items():
            self.register_buffer(name, tensor)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Detect on one image, (1, 1, H, W) float32 from `prepare_image`.

        Returns (1, N, 5) float32: `COLUMNS` of each landmark, in pixels of the network's grid.
        """
        with torch.no_grad():
            found = self._detector.points(self._detector.encoder(images))
        return found[None].float()

    def scripted(self) -> torch.jit.ScriptModule:
        """Record the network as TorchScript, for one image at a time."""
        shape_yx = self._detector.template.image.geometry.network_shape_yx
        example = torch.linspace(0, 1, shape_yx[0] * shape_yx[1])
        with warnings.catch_warnings():
            # Sizes are recorded as numbers, as they should be: the grid is fixed.
            warnings.simplefilter("ignore")
            recorded: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
                self, example.reshape(1, 1, *shape_yx), check_trace=False
            )
        return recorded
