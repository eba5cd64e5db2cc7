"""Detection with a trained model: the same two steps, better features."""

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
    STRIDES,
    network_log_maps,
    patch_anchors,
    searched_log_maps,
    template_anchors,
)


@dataclass(frozen=True)
class _Anchored:
    """A part of the model, the rows of its landmarks and what they look like."""

    part: Part
    rows: list[int]
    adapters: list[int]
    anchors: tuple[Tensor, ...]


class TrainedDetector(Detector):
    """Detects the landmarks of a template with a trained model.

    Landmarks of the template that the model was not trained for are found as
    without training.

    Parameters
    ----------
    model : TrainedModel
        See `TrainedModel.load`.
    template : Template
        The model's own, or another annotation of the same landmarks.
    encoder : Encoder
        The one that the model was trained on.
    precision : {"auto", "float32", "bfloat16"}
        Of the networks; see `resolve_precision`.

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
        self._parts = [
            anchored for part in model.parts if (anchored := self._anchored(part)) is not None
        ]
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
        """Make a detector.

        Parameters
        ----------
        model : TrainedModel
            Moved to the encoder's device.
        template : Template, optional
            Instead of the one in the model: a new annotation of its landmarks.
        encoder : Encoder, optional
            Use this one and ignore the other two arguments.
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
        """Return what the template's landmarks look like, to each network, too."""
        own = {
            f"network_{index}_level_{level}": anchor
            for index, part in enumerate(self._parts)
            for level, anchor in enumerate(part.anchors, start=1)
        }
        return super().embeddings() | own

    def log_maps(self, pyramid: FeaturePyramid) -> Tensor:
        """Log-similarity of each placed landmark with each place of an image.

        That of the trained network, plus a share of what detection without
        training sees: the two err in different places.
        """
        card = self.model.card
        rows = [row for anchored in self._parts for row in anchored.rows]
        complete = len(rows) == len(self._names)
        if complete and not card.instant_share and not card.search_cells:
            return torch.cat([self._seen(part, pyramid) for part in self._parts])[np.argsort(rows)]
        base = super().log_maps(pyramid)
        places = self._places(base) if card.search_cells else None
        mixed = base.clone()
        for part in self._parts:
            trained = self._seen(part, pyramid, places)
            mixed[part.rows] = trained + card.instant_share * base[part.rows]
        return mixed

    def _places(self, log_maps: Tensor) -> Tensor:
        """Where detection without training sees the landmarks, (N, 2)."""
        found, _, _ = self.shape.settle(log_maps, STRIDES[0])
        return found.to(log_maps.device)

    def _seen(
        self, part: _Anchored, pyramid: FeaturePyramid, places: Tensor | None = None
    ) -> Tensor:
        """Log-similarity that one network sees for its landmarks."""
        maps = [level.float() for level in pyramid.after_pooling.maps]
        known = (part.part.network, maps, part.adapters, part.anchors)
        if places is None:
            return network_log_maps(*known)
        cells = self.model.card.search_cells
        dtype = resolve_precision(self.device, self.precision)
        return searched_log_maps(*known, places[part.rows], cells, dtype)

    def _anchored(self, part: Part) -> _Anchored | None:
        rows = [i for i, name in enumerate(self._names) if name in part.landmarks]
        if not rows:
            return None
        names = tuple(self._names[i] for i in rows)
        adapters = part.adapters(names)
        landmarks = self.template.landmarks
        placed = landmarks.positions_yx[np.isfinite(landmarks.positions_yx).all(1)]
        geometry = self.template.image.geometry
        points = torch.from_numpy(geometry.points_to_network(placed[rows])).float()
        points = points.to(self.device)
        image = prepare_image(self.template.image, self.device)
        # Not inference_mode: what a bundle's state holds must be loadable.
        with torch.no_grad():
            if self.model.card.anchor == "patch":
                size = self.model.card.patch_px
                anchors = patch_anchors(part.network, self._encoder, image, adapters, points, size)
            else:
                maps = [m.float() for m in self._encoder(image).after_pooling.maps]
                anchors = template_anchors(part.network, maps, adapters, points[None])
        return _Anchored(part, rows, adapters, anchors)
