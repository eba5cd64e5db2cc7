"""Opens a run: makes it, goes on with it or begins it anew."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import ImageError, OutputError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable
from napari_oneshot_lmk.storage.lock import LockedError, file_lock
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.dataset import (
    Inspection,
    TrainingSet,
    list_names,
    read_images,
    write_images,
)
from napari_oneshot_lmk.training.events import Event, Noted, Preparing
from napari_oneshot_lmk.training.run_folder import (
    CLOCK_S,
    SCHEMA_VERSION,
    ProcessInfo,
    RunFolder,
    versions,
)

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder

_UNFINISHED = re.compile(r"\.[0-9a-f]{16}(\..*)?")
"""Names that `atomic_write` gives to unfinished files."""


@contextmanager
def open_run(
    path: Path, config: TrainingConfig, template: Template, *, overwrite: bool = False
) -> Iterator[RunFolder]:
    """Make a run or go on with it, as the only process that may.

    The folder is missing, empty, or a run of the same, resolved configuration; the template is
    saved in it. With ``overwrite``, a run that has finished or has another configuration is
    begun anew; the model in it stays until there is a new one. Whether there is anything left
    to do, the run's `finished` tells.

    Raises
    ------
    UsageError
        If the folder is another run, no run at all, or another process is at work on it.
    OutputError
        If it cannot be written to.
    """
    run = RunFolder(path)
    _check_place(run)
    run.path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(run.lock_path))
        except LockedError as error:
            raise _busy(run) from error
        _prepare(run, config, template, overwrite=overwrite)
        this_process = ProcessInfo.of(os.getpid(), run.log_bytes)
        _clear_up(run, this_process)
        run.note(process=asdict(this_process))
        try:
            yield run
        finally:
            run.stop_path.unlink(missing_ok=True)


def check_encoder(run: RunFolder, encoder: Encoder) -> None:
    """Record encoder and device; raise `UsageError` if the run was begun with another encoder."""
    identity = encoder.card.identity
    before = run.record().get("encoder", identity)
    if before != identity:
        raise UsageError(
            f"this run was begun with the encoder {before}, here is {identity}",
            file=run.path,
            remedy="name its weights with --encoder-weights, choose another --out, or "
            "begin anew with --overwrite",
        )
    origin = encoder.card.origin
    run.note(
        encoder=identity,
        encoder_weights=None if origin is None else origin.model_dump(),
        device=str(encoder.device),
    )


def _check_place(run: RunFolder) -> None:
    """Refuse a folder that holds something else, or a file."""
    if run.path.is_dir():
        # What a window may put there before the training has begun.
        harmless = (run.preview_path, run.output_path, run.stop_path)
        strange = [
            path.name
            for path in run.path.iterdir()
            if path not in harmless and not _UNFINISHED.fullmatch(path.name)
        ]
        # The lock is the first that a training makes, run.json comes a moment later.
        is_run = run.run_path.exists() or run.lock_path.exists()
        if strange and not is_run:
            raise UsageError(
                f"this folder holds something else than a training ({min(strange)})",
                file=run.path,
                remedy="choose another name with --out",
            )
    elif run.path.exists():
        what = "is a file, but a training is a folder"
        raise OutputError(what, file=run.path, remedy="choose another name with --out")
    check_writable(run.run_path, overwrite=True)


def _prepare(
    run: RunFolder, config: TrainingConfig, template: Template, *, overwrite: bool
) -> None:
    """Begin the run, or check that it may go on."""
    if run.run_path.exists():
        worker = run.worker
        if worker and worker.alive and worker != ProcessInfo.of(os.getpid(), worker.log_bytes):
            # Two at once are possible only where the file system knows no locks.
            raise _busy(run)
        before = run.settings
        different = config.differences(before)
        if different and not overwrite and config.adds_fine_stage(before):
            _add_fine_stage(run, config)
            return
        if different and not overwrite:
            raise UsageError(
                f"this run has other settings: {'; '.join(different)}",
                file=run.path,
                remedy="choose another --out, or begin anew with --overwrite",
            )
        if not different and not (overwrite and run.finished is not None):
            return
    _begin(run, config, template)


def _add_fine_stage(run: RunFolder, config: TrainingConfig) -> None:
    """Let a run that was begun, or has finished, without a fine stage go on with one."""
    if config.numbers.fine != run.settings.numbers.fine and run.fine_path.exists():
        shutil.rmtree(run.fine_path)
    _write_preset(run, config)
    coarse = run.coarse or run.finished
    run.note(
        settings=config.to_json(),
        finished=None,
        coarse=None if coarse is None else asdict(coarse),
    )


def _write_preset(run: RunFolder, config: TrainingConfig) -> None:
    with atomic_write(run.preset_path, overwrite=True) as partial:
        partial.write_text(config.numbers.to_toml(), encoding="utf-8")


def _begin(run: RunFolder, config: TrainingConfig, template: Template) -> None:
    """Write a new run; ``run.json`` comes last and makes it one."""
    for folder in (*run.work_paths, run.tensorboard_path, run.template_path):
        if folder.exists():
            shutil.rmtree(folder)
    for file in (run.events_path, run.images_path, run.preset_path):
        file.unlink(missing_ok=True)
    template.save(run.template_path)
    _write_preset(run, config)
    run.write_record(
        {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "settings": config.to_json(),
            "process": None,
            "finished": None,
        }
    )


def _clear_up(run: RunFolder, this_process: ProcessInfo) -> None:
    """Remove what a process that was killed has left behind."""
    run.recover_interrupted_swap()
    for folder in (run.path, run.checkpoint_path, run.parts_path):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if _UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    # A request that is older than this process was for the one before it.
    if run.stop_requested and run.stop_path.stat().st_mtime < this_process.started - CLOCK_S:
        run.stop_path.unlink()


def _busy(run: RunFolder) -> UsageError:
    worker = run.worker if run.run_path.exists() else None
    who = f" ({worker.pid} on {worker.host})" if worker is not None else ""
    return UsageError(
        f"another process is training this run{who}",
        file=run.path,
        remedy="wait for it or stop it, or choose another --out",
    )


def inspect_images(
    run: RunFolder,
    files: Sequence[ImageFile],
    template: Template,
    spacing_mm_yx: tuple[float, float] | None,
    spacings_mm_yx: Mapping[str, tuple[float, float]],
    should_stop: Callable[[], bool],
) -> Generator[Event, None, TrainingSet | None]:
    """Read all images once, and record them or compare them with the record.

    The run was opened by this process; spacings are those of `Inspection`; ``should_stop`` is
    called before each image. Yields progress and warnings; returns the images of the run, None if
    asked to stop. Raises `UsageError` if no image can be used, `ImageError` if images are missing
    or have changed.
    """
    inspection = Inspection(template, spacing_mm_yx, spacings_mm_yx)
    for done, image in enumerate(files, start=1):
        if should_stop():
            return None
        inspection.inspect(image)
        yield Preparing("files", done, len(files))
    images = inspection.result()
    for failed in images.failed:
        yield Noted(f"Left out: {failed}", serious=True)
    for warning in images.warnings:
        yield Noted(warning, serious=True)
    if not run.images_path.exists():
        write_images(run.images_path, images.usable)
        return images
    recorded = read_images(run.images_path)
    if changed := images.changed_since(recorded):
        raise ImageError(
            "these images are gone or have changed since the training began: "
            f"{list_names(changed)}",
            file=run.path,
            remedy="put the earlier ones back, or begin anew with --overwrite",
        )
    names = [image.name for image in recorded]
    if added := [image.name for image in images.usable if image.name not in names]:
        what = f"Not part of this training, which began without: {list_names(added)}"
        yield Noted(what, serious=True)
    return images.only(names)
