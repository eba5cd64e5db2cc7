"""One training on disk: what was requested, beside the run that carries it out.

Each lies in a folder of its own, so that a new training never touches an earlier
model, and two windows never write the same file::

    NAME/order.json   what to run, and what to call it
    NAME/template/    the template as it was
    NAME/preset.toml  all numbers
    NAME/run/         the run: events, checkpoints, and at the end the model
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from napari_oneshot_lmk.errors import OutputError
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.run_folder import RunFolder
from napari_oneshot_lmk.training.subprocess import TrainingProcess
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.settings import Preferences
from napari_oneshot_lmk.widgets.train import training_texts

SCHEMA_VERSION = 1
REQUEST_FILE, SEEN = "order.json", "seen"
TEMPLATE, PRESET_FILE, RUN = "template", "preset.toml", "run"
MODEL_FILE = "model.json"


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, in a folder with all that it needs.

    ``models`` networks are trained; ``arguments`` follow ``oneshot-lmk train``, and the
    same again resume the run; ``created`` is in ISO 8601, with the time zone.
    """

    folder: Path
    title: str
    models: int
    arguments: tuple[str, ...]
    created: str = ""

    @property
    def run_folder(self) -> Path:
        """Where the run lies."""
        return self.folder / RUN

    @property
    def model_folder(self) -> Path:
        """Where the model lies once the training has succeeded."""
        return RunFolder(self.run_folder).model_path

    @property
    def has_model(self) -> bool:
        """Whether the training has succeeded."""
        return (self.model_folder / MODEL_FILE).is_file()

    @property
    def seen(self) -> bool:
        """Whether the user has seen how it ended."""
        return (self.folder / SEEN).exists()

    def mark_seen(self) -> None:
        """Remember that the user has seen how it ended."""
        if self.folder.is_dir():
            (self.folder / SEEN).touch()

    def forget_seen(self) -> None:
        """Let the next window show this training: it goes on."""
        (self.folder / SEEN).unlink(missing_ok=True)

    def save(self) -> None:
        """Write ``order.json``."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        del content["folder"]
        with atomic_write(self.folder / REQUEST_FILE, overwrite=True) as partial:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TrainingRequest | None:
        """Read a request; None where there is none that this version knows."""
        try:
            content = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
            known = content["schema_version"] == SCHEMA_VERSION
            title, created = str(content["title"]), str(content["created"])
            arguments = tuple(map(str, content["arguments"]))
            return cls(folder, title, int(content["models"]), arguments, created) if known else None
        except (OSError, ValueError, KeyError, TypeError):
            # A folder of somebody else, or one that is being deleted.
            return None


def write_request(
    base: Path,
    template: Template,
    images: Sequence[Path],
    config: TrainingConfig,
    preferences: Preferences,
    on_gpu: bool,
) -> TrainingRequest:
    """Write everything that a training needs into a new folder below ``base``.

    ``images`` are folders or files; ``on_gpu`` says whether the automatic preset is the
    one for a graphics card. For any thread.

    An `OneshotError` says if the preset cannot be used, or the folder cannot be written.
    """
    preset = config.resolve_preset(lambda: on_gpu)
    now = datetime.now(UTC).astimezone()
    folder = _new_folder(base, f"{now:%Y-%m-%d %H.%M.%S} {template.name}")
    template.save(folder / TEMPLATE)
    with atomic_write(folder / PRESET_FILE) as partial:
        partial.write_text(preset.to_toml(), encoding="utf-8")
    arguments = ["--template", str(folder / TEMPLATE)]
    for source in images:
        arguments += ["--images", str(source)]
    update = {"device": preferences.device, "encoder_weights": preferences.encoder_weights}
    chosen = config.with_preset(str(folder / PRESET_FILE)).model_copy(update=update)
    arguments += [*chosen.to_arguments(), "--out", str(folder / RUN)]
    landmarks = len(template.landmarks.placed)
    title = f"{template.name}: {_what_is_learned(config, landmarks)}"
    models = len(config.networks(landmarks)) + int(config.fine)
    created = now.isoformat(timespec="seconds")
    request = TrainingRequest(folder, title, models, tuple(arguments), created)
    request.save()
    return request


def _what_is_learned(config: TrainingConfig, landmarks: int) -> str:
    count = texts.counted(landmarks, "landmark")
    if not config.training_method.per_landmark:
        return training_texts.TITLE_FUSED.format(landmarks=count)
    if config.landmarks:
        return training_texts.TITLE_SINGLE.format(landmark=config.landmarks[0])
    return training_texts.TITLE_EACH.format(landmarks=count)


def requests_in(base: Path) -> Iterator[TrainingRequest]:
    """Yield all trainings of a folder, the latest first."""
    if base.is_dir():
        found = (TrainingRequest.load(path) for path in base.iterdir() if path.is_dir())
        requests = [request for request in found if request is not None]
        yield from sorted(requests, key=lambda o: (o.created, o.folder.name), reverse=True)


def _new_folder(base: Path, name: str) -> Path:
    """Make a folder that nobody else has made, named as near as can be."""
    plain = re.sub(r"[^\w.\- ]+", "_", name).strip(" .") or "training"
    for number in range(1, 1000):
        folder = base / (plain if number == 1 else f"{plain} {number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(
                training_texts.CANNOT_WRITE.format(reason=error.strerror or error),
                file=base,
                remedy=training_texts.CANNOT_WRITE_REMEDY,
            ) from error
        return folder
    raise OutputError(training_texts.TOO_MANY, file=base)


class Phase(StrEnum):
    """Where a training stands."""

    NONE = "none"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DISCARDING = "discarding"
    DONE = "done"
    FAILED = "failed"


PATIENCE_S = 10.0
PAUSE_S = 0.05


def delete_request(request: TrainingRequest, process: TrainingProcess | None) -> Iterator[None]:
    """Delete a training whose process, if any, was killed; a generator for a worker's thread.

    An `OutputError` says if something cannot be deleted.
    """
    # A window that opens meanwhile must not take it up again.
    request.mark_seen()
    until = time.monotonic() + PATIENCE_S
    while process is not None and process.alive and time.monotonic() < until:
        time.sleep(PAUSE_S)
        yield
    while request.folder.exists():
        try:
            shutil.rmtree(request.folder)
        except OSError as error:
            # Windows lets go of a killed process's files a moment later.
            if time.monotonic() >= until:
                raise OutputError(
                    training_texts.CANNOT_DELETE.format(reason=error.strerror or error),
                    file=request.folder,
                    remedy=training_texts.CANNOT_DELETE_REMEDY,
                ) from error
            time.sleep(PAUSE_S)
            yield
