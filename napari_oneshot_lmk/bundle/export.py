"""Exports a trained model as a MONAI bundle, and verifies it before the folder appears."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import torch

from napari_oneshot_lmk.bundle import configs, layout
from napari_oneshot_lmk.bundle.configs import About, make_metadata
from napari_oneshot_lmk.bundle.documents import make_data_terms, make_readme
from napari_oneshot_lmk.bundle.layout import BundleCard, EncoderEntry
from napari_oneshot_lmk.bundle.network import FineNetwork, PointNetwork
from napari_oneshot_lmk.bundle.verify import Comparison, verify_bundle
from napari_oneshot_lmk.detection import model_encoder
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.model_encoder import VGG19, encoder_for
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.model_weights import encoder_identity
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, read_weights
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable

TOLERANCE_PX = 0.05
"""Largest distance of a bundle's points from this program's, in pixels of the image."""
STEPS = ("Writing the bundle", "Recording the network", "Running the bundle")


@dataclass(frozen=True)
class Export:
    """What is to be exported."""

    model: TrainedModel
    """On the CPU."""
    out: Path
    """The bundle's folder."""
    about: About
    weights: EncoderWeights | None
    """Of the encoder; needed where the model was trained on VGG19."""
    images: Sequence[Path] = ()
    """To verify the bundle on, beside the template."""
    metrics: dict[str, Any] | None = None
    """Measured ones, for the documents."""


def export_bundle(export: Export, *, overwrite: bool = False) -> Iterator[Comparison | str]:
    """Write a bundle; its folder appears once MONAI's own command has found the same points.

    Yields
    ------
    str
        One of `STEPS`, before it begins.
    Comparison
        At the end: of the bundle's points with this program's.

    Raises
    ------
    ModelError
        If the bundle finds other points, or does not run.
    OutputError
        If the folder exists or cannot be written.
    """
    check_writable(export.out, overwrite=overwrite)
    model = _with_weights(export.model, export.weights)
    encoder = encoder_for(model, None, "cpu")
    # As the bundle does it.
    detector = TrainedDetector(model, model.template, encoder, model.precision, upright=True)
    with atomic_write(export.out, overwrite=overwrite, folder=True) as partial:
        yield STEPS[0]
        _write(partial, model, export)
        yield STEPS[1]
        network = PointNetwork(detector)
        torch.save(network.state_dict(), partial / layout.STATE)
        network.scripted().save(str(partial / layout.SCRIPTED))
        if model.fine is not None:
            FineNetwork(detector).scripted().save(str(partial / layout.FINE))
        yield STEPS[2]
        found = verify_bundle(partial, detector, export.images)
        if found.largest_px > TOLERANCE_PX:
            raise ModelError(
                f"the bundle finds other points, up to {found.largest_px:.2f} px away "
                f"({found.worst})",
                file=export.out,
                remedy="nothing was exported; report this with oneshot-lmk info",
            )
    yield found


def _with_weights(model: TrainedModel, weights: EncoderWeights | None) -> TrainedModel:
    """Return the model with the weights that are written into the bundle."""
    card = model.card
    if weights is not None and model.packed:
        # Of the two encoders of a packed model, the one in the bundle.
        identity = encoder_identity(weights.sha256, card.encoder)
        if identity in model.encoders:
            card = card.model_copy(update={"encoder": identity})
    return replace(model, card=card, encoder_weights=weights, precision="float32", origin=None)


def _write(folder: Path, model: TrainedModel, export: Export) -> None:
    """Write everything but the weights."""
    about = export.about
    if not about.name:
        about = replace(about, name=export.out.absolute().name)
    metrics = export.metrics or {}
    for path in (layout.METADATA, layout.STATE, layout.README):
        (folder / path.parent).mkdir()
    texts = {
        layout.METADATA: _json(make_metadata(model, _card(model), about, metrics)),
        layout.INFERENCE: _json(configs.make_inference(model)),
        layout.TRAINING: _json(configs.make_training(model)),
        layout.LOGGING: (configs.FILES / "logging.conf").read_text(encoding="utf-8"),
        layout.README: make_readme(model, about, metrics),
        layout.DATA_TERMS: make_data_terms(model, about, _terms_of(export.weights)),
        layout.LICENCE: _licence(),
    }
    for path, text in texts.items():
        (folder / path).write_text(text, encoding="utf-8")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).with_name("scripts"), folder / layout.SCRIPTS, ignore=ignore)
    model.template.save(folder / layout.TEMPLATE)


def _card(model: TrainedModel) -> BundleCard:
    weights, encoder = model.encoder_weights, None
    if weights is not None:
        normalisation, source = asdict(weights.normalisation), _without_path(weights.source)
        encoder = EncoderEntry(**normalisation, source=source, licence=weights.licence)
    networks = tuple(part.entry for part in model.parts)
    fine = None if model.fine is None else model.fine.card
    return BundleCard(model=model.card, networks=networks, encoder=encoder, fine=fine)


def _without_path(source: str) -> str:
    """Keep an address; of a path on this computer only the file's name."""
    return source if "://" in source else Path(source).name


def _terms_of(weights: EncoderWeights | None) -> str:
    if weights is None:
        return ""
    licence = weights.licence or "licence as stated by their source"
    return f"{_without_path(weights.source)}; {licence}"


def _licence() -> str:
    text = distribution("napari-oneshot-lmk").read_text("licenses/LICENSE")
    if text is None:
        what = "this program's own licence is missing from its installation"
        raise ModelError(what, remedy="install napari-oneshot-lmk again")
    return text


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def weights_for(
    model: TrainedModel,
    named: Path | None = None,
    usual: Path | None = None,
    *,
    allow_download: bool = True,
) -> EncoderWeights | None:
    """Return the weights of a model's encoder; None where it needs none.

    ``named`` is a file that the user named, to use instead of the model's own. Other parameters
    and errors are those of `encoder_for`.
    """
    if not model.card.encoder.startswith(VGG19):
        return None
    if named is not None:
        return read_weights(named)
    return model_encoder.weights_for(model, usual, allow_download=allow_download)
