"""Detection with a trained model: its network's embeddings are matched instead of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.model import Part, TrainedModel
from napari_oneshot_lmk.detection.model_encoder import encoder_for
from napari_oneshot_lmk.detection.points_on_image import points_of_template
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
from napari_oneshot_lmk.matching.heatmaps import heatmap_log_similarity
from napari_oneshot_lmk.matching.shape import Decided
from napari_oneshot_lmk.matching.uncertainty import SHARPNESS_OF_MODELS, sharpness_for
from napari_oneshot_lmk.network.config import STRIDES
from napari_oneshot_lmk.network.heatmap_network import HeatmapNetwork, Network
from napari_oneshot_lmk.network.network import LandmarkNetwork


@dataclass(frozen=True)
class _AnchoredPart:
    """A network of the model, the rows of its landmarks and their anchor embeddings."""

    network: Network
    rows: list[int]
    adapters: list[int]
    anchors: tuple[Tensor, ...]
    """Per level (M, K, E) of the M templates; none of a network that draws heatmaps."""


class TrainedDetector(Detector):
    """Detects the landmarks of a template with a trained model.

    Landmarks of the template that the model was not trained for, and those that its training has
    made worse, are detected as by `Detector`.

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
    further : sequence of Template
        More annotated images; see `Detector`.
    upright : bool
        Take every image as it lies; see `Detector`.

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
        further: Sequence[Template] = (),
        *,
        upright: bool = False,
    ) -> None:
        read = encoder.card.identity
        if read not in model.encoders:
            raise ModelError(
                f"the model was trained on the encoder {model.card.encoder}, here is {read}",
                remedy="name the weights that it was trained on (--encoder-weights), "
                "or none: it remembers where they lay",
            )
        self._of_template: FeaturePyramid | None = None
        super().__init__(template, encoder, further=further, upright=upright)
        self.model = model
        self.fine = None if model.fine is None else model.fine.in_precision(precision)
        self.method = model.card.method
        self.tuned_on = model.card.training.corrected
        if model.parts:
            self.sharpness = model.card.sharpness or SHARPNESS_OF_MODELS * self.sharpness
        self.precision = precision
        anchored = [self._anchor(part) for part in model.parts]
        self._of_template = None
        self._parts = [part for part in anchored if part is not None]
        if not any(name in model.landmarks for name in self._names):
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
        further: Sequence[Template] = (),
        upright: bool = False,
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
        further : sequence of Template
            More annotated images; see `Detector`.
        upright : bool
            Take every image as it lies; see `Detector`.

        Raises
        ------
        ModelError
            If model, template and encoder do not belong together.
        """
        if encoder is None:
            encoder = encoder_for(model, encoder_weights, device)
        for part in model.parts:
            part.network.to(encoder.device)
        if model.fine is not None:
            model.fine.to(encoder.device)
        annotated = template or model.template
        return cls(model, annotated, encoder, model.precision, further, upright=upright)

    def _encoded(self, template: Template) -> FeaturePyramid:
        """Encode the first template once, for descriptors and anchors."""
        if template is not self.template:
            return super()._encoded(template)
        if self._of_template is None:
            self._of_template = super()._encoded(template)
        return self._of_template

    def embeddings(self) -> dict[str, Tensor]:
        """Return the descriptors of `Detector` and the anchor embeddings of each network."""
        own = {
            f"network_{index}_level_{level}": anchor
            for index, part in enumerate(self._parts)
            for level, anchor in enumerate(part.anchors, start=1)
        }
        return super().embeddings() | own

    @property
    def trained_rows(self) -> list[int]:
        """Which of the template's placed landmarks are seen by a network of the model."""
        return sorted(row for part in self._parts for row in part.rows)

    @property
    def _sharpness_of_each(self) -> Tensor:
        """That of the model's maps only where they are used."""
        other = sharpness_for(len(self.encoder_card.levels))
        each = [other] * len(self._names)
        for row in self.trained_rows:
            each[row] = self.sharpness
        return torch.tensor(each)

    def _maps(
        self, pyramid: FeaturePyramid, decided: Decided | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the maps of the trained network plus a share of those of `Detector`.

        The two err in different places. Where the network looks near a first solution only,
        those of `Detector` alone compare all places alike, and points are looked for from that
        solution, as in Infer-PL: no whole-body poses are tried again. Where a person has decided
        on points they are.
        """
        if not self._parts:
            return super()._maps(pyramid)
        card = self.model.card
        rows = [row for part in self._parts for row in part.rows]
        complete = len(rows) == len(self._names)
        if complete and not card.instant_share and not card.search_cells:
            maps = [self._network_maps(part, pyramid) for part in self._parts]
            whole = torch.cat(maps)[np.argsort(rows)]
            return whole, whole, None
        base, _, _ = super()._maps(pyramid)
        centres = None
        if card.search_cells:
            centres = self.shape.fit_points(base, STRIDES[0], decided=decided)[0].to(base.device)
        mixed = base.clone()
        for part in self._parts:
            trained = self._network_maps(part, pyramid, centres)
            mixed[part.rows] = trained + card.instant_share * base[part.rows]
        if centres is None:
            return mixed, mixed, None
        return mixed, base, (centres.cpu() if decided is None else None)

    def _network_maps(
        self, part: _AnchoredPart, pyramid: FeaturePyramid, centres: Tensor | None = None
    ) -> Tensor:
        maps = [level.float() for level in pyramid.after_pooling.maps]
        dtype = resolve_precision(self.device, self.precision)
        if isinstance(part.network, HeatmapNetwork):
            return heatmap_log_similarity(part.network, maps, part.adapters, dtype)
        shared = (part.network, maps, part.adapters, part.anchors)
        known = self._known[:, part.rows]
        if centres is None:
            return network_log_similarity(*shared, known)
        cells = self.model.card.search_cells
        return local_log_similarity(*shared, centres[part.rows], cells, dtype, known)

    def _keep(self, templates: list[int]) -> None:
        super()._keep(templates)
        self._parts = [
            replace(part, anchors=tuple(level[templates] for level in part.anchors))
            for part in self._parts
        ]

    def _anchor(self, part: Part) -> _AnchoredPart | None:
        """Embed the templates' points; None where the part knows none of the landmarks."""
        left = self.model.card.instant
        rows = [
            i for i, name in enumerate(self._names) if name in part.landmarks and name not in left
        ]
        if not rows:
            return None
        adapters = part.adapters(tuple(self._names[i] for i in rows))
        if isinstance(part.network, HeatmapNetwork):
            return _AnchoredPart(part.network, rows, adapters, ())
        network = part.network
        each = [
            self._embed(template, network, adapters, rows)
            for template in (self.template, *self.further)
        ]
        anchors = tuple(torch.cat(level) for level in zip(*each, strict=True))
        return _AnchoredPart(part.network, rows, adapters, anchors)

    def _embed(
        self, template: Template, network: LandmarkNetwork, adapters: list[int], rows: list[int]
    ) -> tuple[Tensor, ...]:
        card = self.model.card
        points = points_of_template(template, self._names)[0][rows].float().to(self.device)
        # Not inference_mode: these tensors become part of a bundle's state_dict.
        with torch.no_grad():
            if card.anchor == "patch":
                image = prepare_image(template.image, self.device)
                return embed_points_in_patches(
                    network, self._encoder, image, adapters, points, card.patch_px
                )
            maps = [m.float() for m in self._encoded(template).after_pooling.maps]
            return embed_points(network, maps, adapters, points[None])
