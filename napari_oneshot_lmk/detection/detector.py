"""Detects a template's landmarks on other images, without training.

`Detector.set_image` runs the encoder and keeps the features, `Detector.detect` matches:
detecting again on the same image costs no second forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from napari_oneshot_lmk.detection.encoded_image import EncodedImage, encode_images
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.detection.orientation import (
    FEWEST_LANDMARKS,
    POOR_BELOW,
    SURER_BY,
    UPRIGHT,
    OrientationFinder,
)
from napari_oneshot_lmk.detection.points_on_image import (
    Offsets,
    decided_on_image,
    landmarks_on_image,
    moved_landmarks,
    points_of_template,
    points_with_errors,
    provenance_of,
)
from napari_oneshot_lmk.detection.similarity_maps import SimilarityMaps
from napari_oneshot_lmk.encoders.encoder import Encoder, EncoderCard, FeaturePyramid
from napari_oneshot_lmk.errors import TemplateError
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage
from napari_oneshot_lmk.imaging.transforms import prepare_for_network, prepare_image
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.matching.ambiguity import estimate_clarity
from napari_oneshot_lmk.matching.confidence import estimate_confidence
from napari_oneshot_lmk.matching.shape import Decided, ShapeModel
from napari_oneshot_lmk.matching.similarity import (
    combine_templates,
    describe_points,
    log_similarities,
)
from napari_oneshot_lmk.matching.uncertainty import read_signs, sharpness_for, similarity_at
from napari_oneshot_lmk.matching.variation import ShapeVariation


class Detector:
    """Detects the landmarks of one template.

    Parameters
    ----------
    template : Template
        The annotated image. Only its placed landmarks are searched.
    encoder : Encoder
        Of both images.
    variation : ShapeVariation, optional
        How far subjects may differ from the template.
    further : sequence of Template
        More annotated images, corrected ones for example: each landmark is compared with all
        of them that know its name (docs/benchmarks/corrections.md).
    upright : bool
        Take every image as it lies. Otherwise an image that is mirrored or turned by right
        angles, compared with the template, is recognised (docs/benchmarks/orientation.md).

    Raises
    ------
    TemplateError
        If the template has no placed landmark.

    Examples
    --------
    >>> detector = Detector.instant(template)  # doctest: +SKIP
    >>> detector.set_image(read_image("patient.dcm"))  # doctest: +SKIP
    >>> detector.detect()["sella"].position_yx  # doctest: +SKIP
    """

    method = "instant"
    further: tuple[Template, ...] = ()
    upright = False
    offsets: Offsets = {}  # noqa: RUF012  never changed
    """What each found landmark is moved by; see `with_offsets`."""
    fine: FineStage | None = None
    """What looks a second time around each point."""
    tuned_on = 0
    """Corrected images that its model was fine-tuned on."""

    def __init__(
        self,
        template: Template,
        encoder: Encoder,
        variation: ShapeVariation | None = None,
        further: Sequence[Template] = (),
        *,
        upright: bool = False,
    ) -> None:
        geometry = template.image.geometry
        placed = template.landmarks.placed
        if not placed:
            raise TemplateError("the template has no placed landmark", file=template.name)
        self.template, self.further = template, tuple(further)
        self.upright = upright or len(placed) < FEWEST_LANDMARKS
        self._encoder = encoder
        self.sharpness = sharpness_for(len(encoder.card.levels))
        self._names = [p.name for p in placed]
        each = [points_of_template(one, self._names) for one in (template, *self.further)]
        self._known = torch.stack([known for _, known in each])
        self._descriptors = [
            describe_points(self._encoded(one), points_yx)
            for one, (points_yx, _) in zip((template, *self.further), each, strict=True)
        ]
        # Size of a network pixel along (row, column), in mm or in image pixels.
        spacing = np.array(geometry.spacing_mm_yx or (1.0, 1.0))
        pixel_size_yx = spacing / geometry.network_pixels_per_image_pixel_yx
        self.shape = ShapeModel(
            each[0][0].numpy(), pixel_size_yx, geometry.network_shape_yx, variation
        )
        self._current: EncodedImage | None = None

    @classmethod
    def instant(
        cls,
        template: Template,
        *,
        encoder: Encoder | None = None,
        encoder_weights: Path | None = None,
        device: str = "auto",
        further: Sequence[Template] = (),
        upright: bool = False,
    ) -> Detector:
        """Make a detector that needs no training.

        Parameters
        ----------
        template : Template
        encoder : Encoder, optional
            Instead of one made of the other two arguments.
        encoder_weights : Path, optional
            File of VGG19 weights; by default they are searched, downloaded, or replaced by
            the encoder that is shipped.
        device : str
            ``"auto"``, ``"cpu"`` or ``"cuda"``.
        further : sequence of Template
            More annotated images of the same landmarks.
        upright : bool
            Take every image as it lies.

        Raises
        ------
        WeightsError
            If ``encoder_weights`` cannot be used.
        UsageError
            If the device is missing.
        """
        if encoder is None:
            from napari_oneshot_lmk.encoders.select import instant_encoder

            encoder = instant_encoder(encoder_weights, device)
        return cls(template, encoder, further=further, upright=upright)

    @property
    def encoder_card(self) -> EncoderCard:
        """Identity of the encoder; its note says what a user should know."""
        return self._encoder.card

    @property
    def encoder(self) -> Encoder:
        """The frozen network that makes the features."""
        return self._encoder

    @property
    def device(self) -> torch.device:
        """Device of the encoder."""
        return self._encoder.device

    def embeddings(self) -> dict[str, Tensor]:
        """Return the descriptors of the template's landmarks, (N, C) by a name per level."""
        return {f"instant_{i}": each for i, each in enumerate(self._descriptors[0].vectors)}

    def _encoded(self, template: Template) -> FeaturePyramid:
        return self._encoder(prepare_image(template.image, self.device))

    def set_image(self, image: GrayImage) -> None:
        """Encode an image of any size, spacing and grey range, and keep its features.

        An `ImageError` is raised where there is nothing to match in it.
        """
        [self._current] = encode_images(self._encoder, [self.prepare(image)])

    def prepare(self, image: GrayImage) -> PreparedImage:
        """Bring an image to the network's grid, as `set_image` does; in any thread."""
        prepared = prepare_for_network(image, self.template.image.geometry.network_shape_yx)
        if self.fine is None:
            return prepared
        return replace(prepared, crop_pixels=self.fine.grid.prepare(image))

    def detect_batch(self, images: Sequence[PreparedImage]) -> list[Landmarks]:
        """Return what `detect` returns for each of several images from `prepare`.

        The encoder gets them in one batch. The image of `set_image` stays set.
        """
        return [self._landmarks(*self._look(each)) for each in encode_images(self._encoder, images)]

    def detect(self) -> Landmarks:
        """Detect on the image that was set.

        Returns
        -------
        Landmarks
            The template's names in the template's order, positions in pixels of the
            image. Landmarks that are skipped or absent in the template are so here. Their
            provenance says how the image lies, if not as the template does.

        A ValueError says if no image was set.
        """
        self._current, found = self._look(self._image_that_is_set)
        return self._landmarks(self._current, found)

    def settle(self, decided: Landmarks) -> Landmarks:
        """Detect on the image that was set, given what a person has decided there.

        Landmarks that were placed, corrected or accepted are held and trusted fully, absent
        and removed ones are left out; each of the others is found anew, given these.

        Parameters
        ----------
        decided : Landmarks
            Of the image that was set, positions in its pixels. Only landmarks with
            ``is_manual`` count, and of those only the ones that the template knows.

        Returns
        -------
        Landmarks
            As `detect` returns them; the decided ones as they were given.

        A ValueError says if no image was set.
        """
        encoded = self._image_looked_at
        manual = {point.name: point for point in decided if point.is_manual}
        held = decided_on_image(manual, self._names, encoded, self.offsets) if manual else None
        with torch.inference_mode():
            found = self.points(encoded.pyramid, held).cpu()
        return self._landmarks(encoded, found, manual)

    def similarity_maps(self) -> SimilarityMaps:
        """Return the maps that the image that was set is matched with.

        A ValueError says if no image was set.
        """
        encoded = self._image_looked_at
        with torch.inference_mode():
            maps = encoded.lies.applied(self.log_maps(encoded.pyramid))
        seen = maps.float().cpu().numpy()
        return SimilarityMaps(tuple(self._names), seen, encoded.prepared.geometry)

    @property
    def _image_that_is_set(self) -> EncodedImage:
        if self._current is None:
            raise ValueError("set_image has not been called")
        return self._current

    @property
    def _image_looked_at(self) -> EncodedImage:
        encoded = self._image_that_is_set
        if encoded.orientation is None:
            encoded = self._current = self._look(encoded)[0]
        return encoded

    @torch.inference_mode()
    def _look(self, encoded: EncodedImage) -> tuple[EncodedImage, Tensor]:
        """Match an image, turned where that is clearly better; return it as it was matched."""
        found = self.match(encoded.pyramid).cpu()
        if encoded.orientation is not None:
            return encoded, points_with_errors(found, self.shape)
        # Clarity is left out: repeated parts are as ambiguous in any orientation.
        best, surest = replace(encoded, orientation=UPRIGHT), found[:, 2].mean()
        if not self.upright and surest < POOR_BELOW:
            surest += SURER_BY
            pixels = encoded.prepared.pixels.to(self.device)
            for orientation in self.finder.candidates(pixels):
                pyramid = self._encoder(orientation.undone(pixels))
                turned = replace(encoded, pyramid=pyramid, orientation=orientation)
                points = self.match(pyramid).cpu()
                if points[:, 2].mean() > surest:
                    best, found, surest = turned, points, points[:, 2].mean()
        return best, points_with_errors(found, self.shape)

    @cached_property
    def finder(self) -> OrientationFinder:
        """Recognises how images lie; made when the first image needs it."""
        pixels = prepare_image(self.template.image, self.device)
        points_yx = points_of_template(self.template, self._names)[0]
        return OrientationFinder(pixels, points_yx, self.shape, self.device)

    def _landmarks(
        self, encoded: EncodedImage, found: Tensor, manual: Mapping[str, Landmark] | None = None
    ) -> Landmarks:
        """Map points back to the image's own grid; what a person decided stays as it is."""
        if self.fine is not None:
            found = self.fine.refined(encoded, self._names, found)
        orientation = encoded.lies
        provenance = provenance_of(self, orientation)
        geometry = encoded.prepared.geometry
        points = landmarks_on_image(
            self.template.landmarks, geometry, orientation, found, manual or {}
        )
        landmarks = Landmarks(points, encoded.prepared.name, geometry, provenance)
        return moved_landmarks(landmarks, self.offsets)

    def points(self, pyramid: FeaturePyramid, decided: Decided | None = None) -> Tensor:
        """Match the feature maps of one image, given what was decided on it.

        Returns (N, 7) float64: for each placed landmark y, x, score, the y and x that the
        other landmarks predict for it, the error that is expected, and the radius that holds the
        true point with a probability of 90 %, lengths in pixels of the network's grid.
        """
        return points_with_errors(self.match(pyramid, decided), self.shape)

    def match(self, pyramid: FeaturePyramid, decided: Decided | None = None) -> Tensor:
        """Match as `points` does, and return what its last columns are derived from.

        Returns (N, 10) float64: for each placed landmark y, x, confidence, expected y and x, the
        three signs of `read_signs`, and the clarity and distance of `estimate_clarity`. The
        clarity is 1 where a point that a person has placed says where the body lies.
        """
        stride = min(level.stride for level in pyramid.levels)
        maps, all_alike, start = self._maps(pyramid, decided)
        fitted = self.shape.fit(maps, stride, start_yx=start, decided=decided)
        found, expectation, posterior = fitted
        confidence = estimate_confidence(posterior, found, expectation, self.shape, stride)
        similar = similarity_at(pyramid, self._descriptors, self._known, found)
        seen = (posterior, found, expectation, self.shape, stride, similar)
        ambiguity = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(len(found), 2)
        if decided is None or not self.shape.is_confirmed(expectation, decided):
            ambiguity = estimate_clarity(self.shape, all_alike, stride, found, decided)
        each = (found, confidence[:, None], expectation.points_yx)
        return torch.cat((*each, read_signs(*seen, self._sharpness_of_each), ambiguity), 1)

    def log_maps(self, pyramid: FeaturePyramid, decided: Decided | None = None) -> Tensor:
        """Return the log-similarity of each placed landmark with each position of an image.

        (N, H / s, W / s), float32, s the stride of the finest level; values are <= 0. What
        was ``decided`` matters to detectors that look near a first solution only.
        """
        return self._maps(pyramid, decided)[0]

    def _maps(
        self, pyramid: FeaturePyramid, decided: Decided | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the maps of `log_maps`, some that compare all places alike, where to start."""
        maps = combine_templates(log_similarities(pyramid, self._descriptors), self._known)
        return maps, maps, None

    @property
    def _sharpness_of_each(self) -> Tensor:
        """Return the factor on the posterior of each placed landmark, (N,)."""
        return torch.full((len(self._names),), self.sharpness)

    @property
    def templates_sha256(self) -> str:
        """Hash of the template's content, of the further ones and of the offsets, if any."""
        hashes = [template.content_sha256 for template in (self.template, *self.further)]
        if self.offsets:
            hashes.append(str(sorted(self.offsets.items())))
        return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest()

    def with_offsets(self, offsets: Offsets) -> Self:
        """Return the same detector, each landmark that it finds moved by its offset, if any.

        Names that the template does not know are passed over.
        """
        detector = copy(self)
        detector.offsets = {name: offsets[name] for name in self._names if name in offsets}
        return detector

    def with_further(self, chosen: Sequence[Template]) -> Self:
        """Return the same detector with only some of its ``further`` templates.

        Nothing is computed anew. The image of `set_image` stays set.
        """
        wanted = set(map(id, chosen))
        left = [0, *(i for i, one in enumerate(self.further, 1) if id(one) in wanted)]
        detector = copy(self)
        detector._keep(left)
        return detector

    def _keep(self, templates: list[int]) -> None:
        self.further = tuple(self.further[i - 1] for i in templates[1:])
        self._known = self._known[templates]
        self._descriptors = [self._descriptors[i] for i in templates]
