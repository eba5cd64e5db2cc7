"""Detection with a trained model: its network's embeddings are matched instead of features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.encoders.device import Precision, resolve_precision
from napari_oneshot_lmk.encoders.encoder import Encoder, FeaturePyramid
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.matching.embeddings import (
    embed_points,
    embed_points_in_patches,
    local_log_similarity,
    network_log_similarity,
)
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.network import LandmarkNetwork


@dataclass(frozen=True)
class _AnchoredPart:
    """A network of the model, the rows of its landmarks and their anchor embeddings."""

    network: LandmarkNetwork
    rows: list[int]
    adapters: list[int]
    anchors: tuple[Tensor, ...]


class TrainedDetector(Detector):
    """Detects the landmarks of a template with a trained model.

    Landmarks of the template that the model was not trained for are detected as by
    `Detector`.

    Parameters
    ----------
    model : TrainedModel
        From `TrainedModel.load`.
    template : Template
        The model's own, or another annotation of the same landmarks.
    encoder : Encoder
        The one that the model was trained on.
    precision : {"auto", "float32", "bfloat16"}
        Of the networks.

    Raises
    ------
    ModelError
        If the model belongs to another encoder, or knows none of the landmarks.
    """

    def __init__(
        self,
        model: TrainedModel,
        template: Template,
        encoder: Encoder,
        precision: Precision = "auto",
    ) -> None:
        read = encoder.card.identity
        if read not in model.encoders:
            raise ModelError(
                f"the model was trained on the encoder {model.card.encoder}, here is {read}",
                remedy="name the weights that it was trained on (--encoder-weights), "
                "or none: it remembers where they lay",
            )
        super().__init__(template, encoder)
        self.model = model
        self.method = model.card.method
        self.precision = precision
        anchored = [self._anchor(part) for part in model.parts]
        self._parts = [part for part in anchored if part is not None]
        if not self._parts:
            known = ", ".join(model.landmarks[:3])
            raise ModelError(
                f"the model knows none of the template's landmarks, only {known}",
                file=template.name,
                remedy="use the names that it was trained with",
            )

    @classmethod
    def from_model(
        cls,
        model: TrainedModel,
        template: Template | None = None,
        encoder: Encoder | None = None,
        *,
        encoder_weights: Path | None = None,
        device: str = "auto",
    ) -> TrainedDetector:
        """Make a detector and move the model to the device of its encoder.

        Parameters
        ----------
        model : TrainedModel
        template : Template, optional
            Another annotation of the same landmarks, instead of the model's own.
        encoder : Encoder, optional
            Instead of the one that `encoder_for` returns for the other two arguments.
        encoder_weights : Path, optional
            File of VGG19 weights, if the model was trained on VGG19.
        device : str
            ``"auto"``, ``"cpu"`` or ``"cuda"``.

        Raises
        ------
        ModelError
            If model, template and encoder do not belong together.
        """
        if encoder is None:
            encoder = encoder_for(model, encoder_weights, device)
        for part in model.parts:
            part.network.to(encoder.device)
        return cls(model, template or model.template, encoder, model.precision)

    def embeddings(self) -> dict[str, Tensor]:
        """Return the descriptors of `Detector` and the anchor embeddings of each network."""
        own = {
            f"network_{index}_level_{level}": anchor
            for index, part in enumerate(self._parts)
            for level, anchor in enumerate(part.anchors, start=1)
        }
        return super().embeddings() | own

    def log_maps(self, pyramid: FeaturePyramid) -> Tensor:
        """Return the log-similarity of each placed landmark with each position of an image.

        That of the trained network plus a share of `Detector.log_maps`: the two err in
        different places.
        """
        card = self.model.card
        rows = [row for part in self._parts for row in part.rows]
        complete = len(rows) == len(self._names)
        if complete and not card.instant_share and not card.search_cells:
            maps = [self._network_maps(part, pyramid) for part in self._parts]
            return torch.cat(maps)[np.argsort(rows)]
        base = super().log_maps(pyramid)
        centres = None
        if card.search_cells:
            centres = self.shape.fit(base, STRIDES[0])[0].to(base.device)
        mixed = base.clone()
        for part in self._parts:
            trained = self._network_maps(part, pyramid, centres)
            mixed[part.rows] = trained + card.instant_share * base[part.rows]
        return mixed

    def _network_maps(
        self, part: _AnchoredPart, pyramid: FeaturePyramid, centres: Tensor | None = None
    ) -> Tensor:
        maps = [level.float() for level in pyramid.after_pooling.maps]
        known = (part.network, maps, part.adapters, part.anchors)
        if centres is None:
            return network_log_similarity(*known)
        cells = self.model.card.search_cells
        dtype = resolve_precision(self.device, self.precision)
        return local_log_similarity(*known, centres[part.rows], cells, dtype)

    def _anchor(self, part: Part) -> _AnchoredPart | None:
        """Embed the template's points; None where the part knows none of its landmarks."""
        rows = [i for i, name in enumerate(self._names) if name in part.landmarks]
        if not rows:
            return None
        network, card = part.network, self.model.card
        adapters = part.adapters(tuple(self._names[i] for i in rows))
        points = torch.from_numpy(self._points_yx[rows]).float().to(self.device)
        image = prepare_image(self.template.image, self.device)
        # Not inference_mode: these tensors become part of a bundle's state_dict.
        with torch.no_grad():
            if card.anchor == "patch":
                anchors = embed_points_in_patches(
                    network, self._encoder, image, adapters, points, card.patch_px
                )
            else:
                maps = [m.float() for m in self._encoder(image).after_pooling.maps]
                anchors = embed_points(network, maps, adapters, points[None])
        return _AnchoredPart(network, rows, adapters, anchors)
