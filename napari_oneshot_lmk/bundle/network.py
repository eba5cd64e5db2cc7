"""A trained detector as one network: an image in, points out."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.detection.trained_detector import TrainedDetector

COLUMNS = ("y", "x", "score", "expected_y", "expected_x", "predicted_error", "radius_90")
"""Of each row of the output; see `Detector.points`."""
FEWEST_COLUMNS = COLUMNS[:5]
"""Of bundles of earlier versions, and of other programs."""


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
        # Looks at another image: recorded by itself.
        self.fine = detector.fine
        # The same tensor objects as the detector's: recording names them after these buffers,
        # instead of writing copies into the graph.
        for name, tensor in detector.embeddings().items():
            self.register_buffer(name, tensor)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Detect on one image, (1, 1, H, W) float32 from `prepare_image`.

        Returns (1, N, 7) float32: `COLUMNS` of each landmark, in pixels of the network's grid.
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


class FineNetwork(nn.Module):
    """The fine stage of a detector as one network: finer image and points in, points out."""

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        assert detector.fine is not None
        self.fine = detector.fine
        self._names = [point.name for point in detector.template.landmarks.placed]
        self._network_shape_yx = detector.template.image.geometry.network_shape_yx
        self.eval()

    def forward(self, images: Tensor, points: Tensor) -> Tensor:
        """Look again on one image, (1, 1, h, w) float32 on the stage's grid.

        ``points`` are (1, N, 7) of `PointNetwork`, and so is the result.
        """
        with torch.no_grad():
            found = points[0].double()
            refined = self.fine.look_again(images, self._network_shape_yx, self._names, found)
        return refined[None].float()

    def scripted(self) -> torch.jit.ScriptModule:
        """Record the network as TorchScript, for images of any size."""
        points = torch.full((1, len(self._names), len(COLUMNS)), 100.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            recorded: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
                self, (torch.rand(1, 1, 200, 220), points), check_trace=False
            )
        return recorded
