"""What a project has learnt from its corrected images, and how to forget it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_oneshot_lmk.errors import OutputError, ProjectError
from napari_oneshot_lmk.storage.atomic import atomic_write

FORMAT = 1
LEARNT_FILE = "learnt.json"
TUNING_FOLDER = "fine-tuning"
"""Of a project: the runs that have trained its model on corrected images."""


class Way(StrEnum):
    """How corrected images help."""

    OFFSETS = "offsets"
    TEMPLATES = "further templates"
    BOTH = "both"
    TUNED = "fine tuning"
    TUNED_TEMPLATES = "fine tuning and templates"

    @property
    def offsets(self) -> bool:
        """Whether what is found is moved by the corrected images' offsets."""
        return self in (Way.OFFSETS, Way.BOTH)

    @property
    def templates(self) -> bool:
        """Whether corrected images are further templates."""
        return self in (Way.TEMPLATES, Way.BOTH, Way.TUNED_TEMPLATES)

    @property
    def tuned(self) -> bool:
        """Whether the model's adapters are trained on the corrected images."""
        return self in (Way.TUNED, Way.TUNED_TEMPLATES)


WITHOUT_TRAINING = (Way.OFFSETS, Way.TEMPLATES, Way.BOTH)


class Learnt(BaseModel):
    """How a project's detections are helped from now on; in ``learnt.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int = FORMAT
    time: str = ""
    """ISO 8601, with the time zone."""
    way: Way
    images: tuple[str, ...]
    """Ids of the corrected images that it was learnt from."""
    offsets: Mapping[str, tuple[float, float]] = {}
    """Landmark -> (row, column) in pixels of the network's grid; see `Detector.with_offsets`."""
    tuned: str = Field(default="", pattern=r"^[0-9a-f]*$")
    """Folder of the fine-tuned model's run in `TUNING_FOLDER`; empty where none was trained."""
    before: Mapping[str, Mapping[str, Any]] = {}
    """Ids of the images that were detected anew -> the content of their files before."""

    def without_removed(self, ids: Collection[str]) -> Learnt:
        """Return it without images that do not belong to the project, which has ``ids``, any more.

        Offsets stay as they were learnt.
        """
        kept = {
            "images": tuple(each for each in self.images if each in ids),
            "before": {each: work for each, work in self.before.items() if each in ids},
        }
        return self.model_copy(update=kept)


def load_learnt(folder: Path) -> Learnt | None:
    """Return what the project in a folder has learnt; None if it has not.

    A `ProjectError` says if the file is damaged or of a newer version.
    """
    path = folder / LEARNT_FILE
    remedy = "delete it to detect without it"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(
            f"cannot be read ({error.strerror or error})", file=path, remedy=remedy
        ) from error
    try:
        learnt = Learnt.model_validate_json(content)
    except ValidationError as error:
        raise ProjectError("is damaged", file=path, remedy=remedy) from error
    if learnt.format > FORMAT:
        raise ProjectError(
            "was written by a newer version of this program",
            file=path,
            remedy="update napari-oneshot-lmk",
        )
    return learnt


def save_learnt(folder: Path, learnt: Learnt | None) -> None:
    """Write it, whole or not at all, or take it away; an `OutputError` says why it cannot be."""
    path = folder / LEARNT_FILE
    if learnt is not None:
        with atomic_write(path, overwrite=True) as partial:
            text = json.dumps(learnt.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
            partial.write_text(text + "\n", encoding="utf-8")
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be deleted ({error.strerror or error})", file=path) from error
