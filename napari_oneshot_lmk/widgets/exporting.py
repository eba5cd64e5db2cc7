"""The steps of an export, in another thread; touches no widget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.widgets import words_train as words

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.settings import Preferences


@dataclass(frozen=True)
class Going:
    """What is done now."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class Exported:
    """The bundle is there."""

    text: str


def exporting(model: Path, out: Path, preferences: Preferences) -> Iterator[Going | Exported]:
    """Export a model as a MONAI bundle.

    Parameters
    ----------
    model : Path
        Its folder, or a bundle.
    out : Path
        The bundle to write; an earlier one is replaced, anything else is not.
    preferences : Preferences
        Where weights are, who the author is.

    Yields
    ------
    Going
        Before each step.
    Exported
        At the end.
    """
    from napari_oneshot_lmk.bundle.configs import make_about
    from napari_oneshot_lmk.bundle.documents import training_images
    from napari_oneshot_lmk.bundle.export import STEPS, Export, export_bundle, weights_for
    from napari_oneshot_lmk.bundle.load import load_model
    from napari_oneshot_lmk.bundle.verify import Comparison

    opened = load_model(model)
    weights = weights_for(
        opened, usual=preferences.encoder_weights, allow_download=preferences.allow_download
    )
    about = make_about(name=out.name, authors=preferences.author)
    export = Export(opened, out, about, weights, training_images(model))
    for step in export_bundle(export, overwrite=is_bundle(out)):
        if isinstance(step, Comparison):
            yield Exported(words.EXPORTED.format(path=out, agreement=step.summary))
        else:
            yield Going(step, STEPS.index(step), len(STEPS))
