"""Trained models that the docks know of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_oneshot_lmk.bundle.layout import is_bundle
from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.request import MODEL_FILE, TrainingRequest, requests_in


@dataclass(frozen=True)
class KnownModel:
    """A model that can be chosen: its title for people, and its folder."""

    title: str
    path: Path


def model_of(request: TrainingRequest) -> KnownModel:
    """Return the model that a training has made."""
    when = request.created
    with suppress(ValueError):
        when = f"{datetime.fromisoformat(when):%d %b %H:%M}"
    title = training_texts.MODEL_TITLE.format(title=request.title, when=when)
    return KnownModel(title, request.model_folder)


def known_models(base: Path) -> list[KnownModel]:
    """Return the models among a folder's trainings, the latest first."""
    return [model_of(request) for request in requests_in(base) if request.has_model]


def model_in(folder: Path) -> KnownModel:
    """Return the model of a folder that a user chose: a model's, or a run's.

    A `ModelError` says if there is none.
    """
    # detection.model would tell as well, but loads torch into the window's thread.
    if is_bundle(folder):
        return KnownModel(folder.name, folder)
    for path in (folder, RunFolder(folder).model_path):
        if (path / MODEL_FILE).is_file():
            return KnownModel(folder.name, path)
    raise ModelError(training_texts.NO_MODEL, file=folder, remedy=training_texts.NO_MODEL_REMEDY)
