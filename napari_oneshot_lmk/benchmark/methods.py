"""The methods that a benchmark can run, and baselines that learned features have to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.benchmark.trained import TRAINED_METHODS, TrainingOptions, trained_method
from napari_oneshot_lmk.errors import UsageError, WeightsError
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX, Points
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance
from napari_oneshot_lmk.landmarks.template import Template

if TYPE_CHECKING:
    import torch

    from napari_oneshot_lmk.encoders.encoder import Encoder
    from napari_oneshot_lmk.landmarks.template import Template

Locator = Callable[[GrayImage], Landmarks]
"""Returns the landmarks of an image."""


@dataclass(frozen=True)
class Options:
    """What methods need beside the template.

    Parameters
    ----------
    encoder_weights : Path, optional
        By default they are searched.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : callable, optional
        Called with (bytes done, bytes in all) during a download of weights.
    training : TrainingOptions, optional
        For the methods that are trained first.
    """

    encoder_weights: Path | None = None
    device: str = "auto"
    progress: Callable[[int, int], None] | None = None
    training: TrainingOptions | None = None


def find_method(name: str) -> Callable[[Template, Options], Locator]:
    """Return a method of `METHODS`.

    Raises
    ------
    UsageError
        If there is no such method.
    """
    if name not in METHODS:
        raise UsageError(f"there is no method {name!r}", remedy=f"choose from {', '.join(METHODS)}")
    return METHODS[name]


def checked_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names once each, split at commas; refuse unknown ones."""
    split = (part.strip() for name in names for part in name.split(","))
    chosen = tuple(dict.fromkeys(part for part in split if part))
    for name in chosen:
        find_method(name)
    if not chosen:
        raise UsageError("no method is named", remedy=f"choose from {', '.join(METHODS)}")
    return chosen


def _with_encoder(template: Template, encoder: Encoder) -> Locator:
    from napari_oneshot_lmk.detection.detector import Detector

    detector = Detector.instant(template, encoder=encoder)

    def locate(image: GrayImage) -> Landmarks:
        detector.set_image(image)
        return detector.detect()

    return locate


def _instant(template: Template, options: Options) -> Locator:
    from napari_oneshot_lmk.encoders.select import instant_encoder

    encoder = instant_encoder(options.encoder_weights, options.device, progress=options.progress)
    return _with_encoder(template, encoder)


def _vgg19(template: Template, options: Options) -> Locator:
    from napari_oneshot_lmk.encoders.select import build_encoder

    encoder = build_encoder(options.encoder_weights, options.device, progress=options.progress)
    if encoder.card.name != "vgg19":
        raise WeightsError(
            "the weights of VGG19 were not found",
            remedy="name a file with --encoder-weights or leave the method vgg19 out",
        )
    return _with_encoder(template, encoder)


def _shipped(template: Template, options: Options) -> Locator:
    from napari_oneshot_lmk.encoders.device import resolve_device
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder

    return _with_encoder(template, shipped_encoder(resolve_device(options.device)))


def _template_copy(template: Template, options: Options) -> Locator:

    return TemplateCopy(template)


def _grey_patches(template: Template, options: Options) -> Locator:

    return GreyPatches(template)


def _trained(name: str) -> Callable[[Template, Options], Locator]:
    def method(template: Template, options: Options) -> Locator:
        weights, device = options.encoder_weights, options.device
        return trained_method(name, template, options.training, weights, device)

    return method


METHODS: dict[str, Callable[[Template, Options], Locator]] = {
    "instant": _instant,  # the best encoder that can be had
    **{name: _trained(name) for name in TRAINED_METHODS},  # trained first
    "vgg19": _vgg19,  # its maps alone
    "shipped": _shipped,  # the encoder that needs no download
    "template-copy": _template_copy,  # no image is looked at
    "grey-patches": _grey_patches,  # no features, no shape step
}


PATCH_SIDE = 33
"""Cells of the network's grid that a grey patch spans: about 17 x 21 mm of a
cephalogram."""


class TemplateCopy:
    """The template's points at the same place of the image: a lower bound."""

    def __init__(self, template: Template) -> None:
        self.template = template

    def __call__(self, image: GrayImage) -> Landmarks:
        """Return the template's landmarks scaled to an image."""
        on_network = _placed_on_network(self.template)
        return _landmarks(self.template, image, on_network, None, "template-copy")


class GreyPatches:
    """Normalised cross-correlation of the template's grey patches, without a shape step.

    Each landmark goes to the best of all positions on the network's grid.
    """

    def __init__(self, template: Template) -> None:
        import torch.nn.functional as F

        self.template = template
        half = PATCH_SIDE // 2
        centres = np.rint(_placed_on_network(template)).astype(int)
        centres = centres.clip(0, np.array(NETWORK_SHAPE_YX) - 1)
        # A patch centre is a whole cell; what is cut off comes back at the end.
        self.offsets_yx = _placed_on_network(template) - centres
        padded = F.pad(prepare_image(template.image), (half,) * 4, mode="reflect")[0, 0]
        self.patches = _standardised(
            [padded[y : y + PATCH_SIDE, x : x + PATCH_SIDE] for y, x in centres]
        )

    def __call__(self, image: GrayImage) -> Landmarks:
        """Return the best match of each patch on an image."""
        import torch
        import torch.nn.functional as F

        half = PATCH_SIDE // 2
        padded = F.pad(prepare_image(image), (half,) * 4, mode="reflect")
        cells = PATCH_SIDE**2
        mean = F.avg_pool2d(padded, PATCH_SIDE, stride=1)
        square = F.avg_pool2d(padded**2, PATCH_SIDE, stride=1)
        norm = (cells * (square - mean**2)).clamp_min(1e-6).sqrt()
        correlation = (F.conv2d(padded, self.patches) / norm)[0]
        best, place = correlation.flatten(1).max(dim=1)
        rows_columns = torch.stack(
            [place // NETWORK_SHAPE_YX[1], place % NETWORK_SHAPE_YX[1]], dim=1
        )
        found = rows_columns.double().numpy() + self.offsets_yx
        scores = best.clamp(0, 1).tolist()
        return _landmarks(self.template, image, found, scores, "grey-patches")


def _standardised(patches: list[torch.Tensor]) -> torch.Tensor:
    """Stack patches as (K, 1, S, S) kernels of mean zero and length one."""
    import torch

    kernels = torch.stack(patches)[:, None]
    kernels = kernels - kernels.mean(dim=(2, 3), keepdim=True)
    length = kernels.square().sum(dim=(2, 3), keepdim=True).sqrt()
    return kernels / length.clamp_min(1e-6)


def _placed_on_network(template: Template) -> Points:
    placed = np.array([p.position_yx for p in template.landmarks.placed])
    return template.image.geometry.points_to_network(placed)


def _landmarks(
    template: Template,
    image: GrayImage,
    on_network: Points,
    scores: list[float] | None,
    method: str,
) -> Landmarks:
    """Return (N, 2) points of the network's grid as landmarks like the template's."""
    positions = iter(image.geometry.points_from_network(on_network).tolist())
    confidences = iter(scores or ())
    points = []
    for point in template.landmarks:
        if point.position_yx is None:
            points.append(Landmark(point.name, None, point.state))
        else:
            y, x = next(positions)
            points.append(Landmark(point.name, (y, x), score=next(confidences, None)))
    provenance = Provenance(method=method, template=template.name)
    return Landmarks(tuple(points), image.name, image.geometry, provenance)
