"""The registry of methods that a benchmark can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.benchmark.trained import TRAINED_METHODS, TrainingOptions, trained_method
from napari_oneshot_lmk.errors import UsageError, WeightsError
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
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
    from napari_oneshot_lmk.benchmark.references import TemplateCopy

    return TemplateCopy(template)


def _grey_patches(template: Template, options: Options) -> Locator:
    from napari_oneshot_lmk.benchmark.references import GreyPatches

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
