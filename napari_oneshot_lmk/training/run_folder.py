"""The folder of a training: its configuration, progress and result.

::

    RUN/run.json      settings, versions, the process at work, how it ended
    RUN/preset.toml   every number
    RUN/template/     the annotated image
    RUN/images.csv    the unlabelled images, with a hash of their content
    RUN/events.jsonl  events, one per line
    RUN/tensorboard/  the same as curves
    RUN/checkpoint/   from which a run that was killed goes on
    RUN/parts/        networks of single landmarks that are finished, until all are
    RUN/fine/         checkpoint of the fine stage
    RUN/units/        checkpoints and events of networks trained by workers, until all are
    RUN/encoder.safetensors  the encoder's weights, until the model has them (--pack)
    RUN/model/        what detection loads; there once a training has succeeded

Nothing here imports torch: a window reads it while a training runs.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_oneshot_lmk._version import package_versions
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import Finished
from napari_oneshot_lmk.training.preset import Preset

CLOCK_S = 2.0
"""What two readings of a process's start may differ by."""


@dataclass(frozen=True)
class ProcessInfo:
    """The process at work on a run, or the last one that was."""

    pid: int
    started: float
    """Seconds since 1970: process numbers are used again."""
    host: str
    log_bytes: int
    """Length of the event log when it opened the run."""

    @classmethod
    def of(cls, pid: int, log_bytes: int) -> ProcessInfo:
        """Describe a process of this computer that is alive or not yet waited for."""
        import psutil

        started = float(psutil.Process(pid).create_time())
        return cls(pid, started, platform.node(), log_bytes)

    @property
    def alive(self) -> bool:
        """Whether it still runs; False for one of another computer, which cannot be known."""
        import psutil

        if self.host != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            began = float(process.create_time())
            # It has ended, but its parent has not asked how.
            ended = process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return not ended and abs(began - self.started) < CLOCK_S


SCHEMA_VERSION = 1
RUN_FILE = "run.json"
NEW_MODEL, OLD_MODEL = ".model-new", ".model-old"


class NetworkFolder:
    """One network's part of a run whose networks are trained side by side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint_path = path / "checkpoint"
        self.events_path = path / "events.jsonl"
        self.lock_path = path / "lock"


class RunFolder:
    """A run on disk: `open` reads one, `run_lifecycle.open_run` makes or resumes one."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.run_path = self.path / RUN_FILE
        self.preset_path = self.path / "preset.toml"
        self.template_path = self.path / "template"
        self.images_path = self.path / "images.csv"
        self.events_path = self.path / "events.jsonl"
        self.tensorboard_path = self.path / "tensorboard"
        self.checkpoint_path = self.path / "checkpoint"
        self.parts_path = self.path / "parts"
        self.networks_path = self.path / "units"
        self.features_path = self.path / "features"
        self.fine_path = self.path / "fine"
        self.encoder_path = self.path / "encoder.safetensors"
        self.model_path = self.path / "model"
        self.lock_path = self.path / "run.lock"
        self.stop_path = self.path / "stop"
        self.preview_path = self.path / "preview.txt"
        self.output_path = self.path / "process.log"
        self.work_paths = (
            self.checkpoint_path,
            self.parts_path,
            self.networks_path,
            self.features_path,
            self.fine_path,
        )

    def part_path(self, index: int) -> Path:
        """Return the file of one landmark's network once it is finished."""
        return self.parts_path / f"{index:03d}.safetensors"

    def network(self, index: int) -> NetworkFolder:
        """Return the folder of one network's checkpoint and log."""
        return NetworkFolder(self.networks_path / f"{index:03d}")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return a run that exists; raise `UsageError` if the folder is none."""
        run = cls(path)
        run.record()
        return run

    def record(self) -> dict[str, Any]:
        """Return the content of ``run.json``; `UsageError` if it is missing or too new."""
        try:
            content = json.loads(self.run_path.read_text(encoding="utf-8"))
            schema = int(content["schema_version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"is not the folder of a training, there is no readable {RUN_FILE}",
                file=self.path,
                remedy="name the folder that oneshot-lmk train wrote",
            ) from error
        if schema > SCHEMA_VERSION:
            raise UsageError(
                f"the run was written by a newer version of this program ({schema})",
                file=self.path,
                remedy="update napari-oneshot-lmk",
            )
        return dict(content)

    def write_record(self, content: dict[str, Any]) -> None:
        """Write ``run.json``."""
        with atomic_write(self.run_path, overwrite=True) as partial:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")

    def note(self, **values: Any) -> None:
        """Change some values of ``run.json``."""
        self.write_record({**self.record(), **values})

    @property
    def settings(self) -> TrainingConfig:
        """The run's configuration; `UsageError` if it is damaged."""
        content = self.record()
        try:
            text = self.preset_path.read_text(encoding="utf-8")
            preset = Preset.from_toml(text, self.preset_path)
            # A field that is newer than the file has its default.
            return TrainingConfig(**content["settings"], preset=preset)
        except (OSError, UsageError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"the run is damaged ({error})",
                file=self.path,
                remedy="delete it, or choose another --out",
            ) from error

    @property
    def finished(self) -> Finished | None:
        """How it ended; None if it has not."""
        content = self.record().get("finished")
        if content is None or not self.model_path.is_dir():
            return None
        return Finished(**{**content, "model": str(self.model_path.absolute())})

    @property
    def coarse(self) -> Finished | None:
        """How the coarse training ended that a fine stage follows; None if it has not."""
        content = self.record().get("coarse")
        return None if content is None else Finished(**content)

    @property
    def worker(self) -> ProcessInfo | None:
        """The process at work, or the last one."""
        content = self.record().get("process")
        return None if content is None else ProcessInfo(**content)

    @property
    def log_bytes(self) -> int:
        """Length of the event log."""
        return self.events_path.stat().st_size if self.events_path.exists() else 0

    def finish(self, end: Finished) -> None:
        """Record that the training has succeeded; delete what only going on with it needs."""
        self.note(finished=asdict(end))
        for path in self.work_paths:
            # A fine stage that was stopped may be gone on with.
            if path != self.fine_path or not end.stopped:
                shutil.rmtree(path, ignore_errors=True)
        self.encoder_path.unlink(missing_ok=True)

    def request_stop(self) -> None:
        """Ask the training to end with the best model so far."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.stop_path.touch()

    @property
    def stop_requested(self) -> bool:
        """Whether somebody has asked; the training loop looks at each step."""
        return self.stop_path.exists()

    @property
    def preview_images(self) -> list[Path]:
        """Images in which the model of each epoch is to find the landmarks."""
        try:
            text = self.preview_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [Path(line) for line in text.splitlines() if line]

    def set_preview_images(self, paths: Sequence[Path]) -> None:
        """Choose the images in which the model of each epoch is to find the landmarks."""
        with atomic_write(self.preview_path, overwrite=True) as partial:
            lines = "".join(f"{Path(path).absolute()}\n" for path in paths)
            partial.write_text(lines, encoding="utf-8")

    @contextmanager
    def new_model(self) -> Iterator[Path]:
        """Yield a folder to be made, which then replaces the earlier model as a whole."""
        new, old = self.path / NEW_MODEL, self.path / OLD_MODEL
        shutil.rmtree(new, ignore_errors=True)
        yield new
        if self.model_path.exists():
            self.model_path.rename(old)
        new.rename(self.model_path)
        shutil.rmtree(old, ignore_errors=True)

    def recover_interrupted_swap(self) -> None:
        """Complete or undo `new_model` of a process that was killed in it."""
        new, old = self.path / NEW_MODEL, self.path / OLD_MODEL
        if old.exists() and not self.model_path.exists():
            old.rename(self.model_path)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return package_versions(("torch", "monai", "numpy"))
