"""The methods that a benchmark can run, and baselines that learned features have to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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

Locator = Callable[[GrayImage], Landmarks]
"""Returns the landmarks of an image."""


@dataclass(frozen=True)
class Options:
    """What methods need beside the template."""

    encoder_weights: Path | None = None
    """By default they are searched."""
    device: str = "auto"
    """``"auto"``, ``"cpu"`` or ``"cuda"``."""
    progress: Callable[[int, int], None] | None = None
    """Called with (bytes done, bytes in all) during a download of weights."""
    training: TrainingOptions | None = None
    """For the methods that are trained first."""


def find_method(name: str) -> Callable[[Template, Options], Locator]:
    """Return a method of `METHODS`; a UsageError says if there is none of this name."""
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
    from napari_oneshot_lmk.encoders.shipped import shipped_encoder

    return _with_encoder(template, shipped_encoder(resolve_device(options.device)))


def _trained(template: Template, options: Options, *, name: str) -> Locator:
    weights, device = options.encoder_weights, options.device
    return trained_method(name, template, options.training, weights, device)


METHODS: dict[str, Callable[[Template, Options], Locator]] = {
    "instant": _instant,  # the best encoder that can be had
    **{name: partial(_trained, name=name) for name in TRAINED_METHODS},  # trained first
    "vgg19": _vgg19,  # its maps alone
    "shipped": _shipped,  # the encoder that needs no download
    "template-copy": lambda template, _: TemplateCopy(template),  # no image is looked at
    "grey-patches": lambda template, _: GreyPatches(template),  # no features, no shape step
}


PATCH_SIDE = 33
"""Cells of the network's grid that a grey patch spans: about 17 x 21 mm of a cephalogram."""


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
        import torch

        self.template = template
        on_network = _placed_on_network(template)
        centres = np.rint(on_network).astype(int).clip(0, np.array(NETWORK_SHAPE_YX) - 1)
        # A patch centre is a whole cell; what is cut off comes back at the end.
        self.offsets_yx = on_network - centres
        padded = _padded(template.image)[0, 0]
        patches = [padded[y : y + PATCH_SIDE, x : x + PATCH_SIDE] for y, x in centres]
        # (K, 1, S, S) kernels of mean zero and length one.
        kernels = torch.stack(patches)[:, None]
        kernels = kernels - kernels.mean(dim=(2, 3), keepdim=True)
        length = kernels.square().sum(dim=(2, 3), keepdim=True).sqrt()
        self.patches = kernels / length.clamp_min(1e-6)

    def __call__(self, image: GrayImage) -> Landmarks:
        """Return the best match of each patch on an image."""
        import torch.nn.functional as F

        padded = _padded(image)
        mean = F.avg_pool2d(padded, PATCH_SIDE, stride=1)
        square = F.avg_pool2d(padded**2, PATCH_SIDE, stride=1)
        norm = (PATCH_SIDE**2 * (square - mean**2)).clamp_min(1e-6).sqrt()
        correlation = (F.conv2d(padded, self.patches) / norm)[0]
        best, place = correlation.flatten(1).max(dim=1)
        cells = np.stack(np.unravel_index(place.numpy(), NETWORK_SHAPE_YX), axis=1)
        scores = best.clamp(0, 1).tolist()
        return _landmarks(self.template, image, cells + self.offsets_yx, scores, "grey-patches")


def _padded(image: GrayImage) -> torch.Tensor:
    """Return a prepared image (1, 1, H, W) whose every cell is the centre of a patch."""
    import torch.nn.functional as F

    return F.pad(prepare_image(image), (PATCH_SIDE // 2,) * 4, mode="reflect")


def _placed_on_network(template: Template) -> Points:
    placed = [p.position_yx for p in template.landmarks.placed]
    return template.image.geometry.points_to_network(np.array(placed))


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
    points = (
        Landmark(point.name, None, point.state)
        if point.position_yx is None
        else Landmark(point.name, tuple(next(positions)), score=next(confidences, None))
        for point in template.landmarks
    )
    provenance = Provenance(method=method, template=template.name)
    return Landmarks(tuple(points), image.name, image.geometry, provenance)
