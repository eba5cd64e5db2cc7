"""Looks at a folder of images before a training: a generator for another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt import worker
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun, explained
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.train import training_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_oneshot_lmk.errors import OneshotError
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.estimate import MachineSpeed
    from napari_oneshot_lmk.widgets.settings import Preferences

Size = tuple[int, int]
"""Rows, columns."""
SpacingMm = tuple[float, float] | None
"""Along (row, column); None where unknown."""


@dataclass(frozen=True)
class ImagesRead:
    """So many images have been read."""

    done: int
    total: int


@dataclass(frozen=True)
class SpeedMeasuring:
    """The images are known; the machine's speed is measured now."""


@dataclass(frozen=True)
class CheckedFolder:
    """What is in a folder.

    ``paths`` are the images that can be used, by name, with their ``sizes_yx`` and
    ``spacings_mm_yx``; ``failed`` says why others cannot be. ``warnings`` are what a user
    should know before training.
    """

    folder: Path
    paths: dict[str, Path]
    sizes_yx: tuple[Size, ...] = ()
    spacings_mm_yx: tuple[SpacingMm, ...] = ()
    failed: tuple[OneshotError, ...] = ()
    warnings: tuple[str, ...] = ()
    machine: MachineSpeed | None = field(default=None, compare=False)

    @property
    def summary(self) -> str:
        """How many there are, their sizes and spacings, in one line."""
        count = texts.counted(len(self.paths), "image")
        parts = [training_texts.CHECKED.format(images=count), _sizes(self.sizes_yx)]
        parts.append(_spacings(self.spacings_mm_yx))
        return ", ".join(part for part in parts if part)


ImageInspector = Callable[
    [Path, "Sequence[ImageFile]", "Template", SpacingMm], Iterator[ImagesRead | CheckedFolder]
]
"""Reads images one by one, yields how far it is, then what was found."""
SpeedMeasurement = Callable[["Preferences"], "MachineSpeed"]
"""Measures the machine with the encoder that training will use."""


def inspect_files(
    folder: Path, files: Sequence[ImageFile], template: Template, spacing_mm_yx: SpacingMm
) -> Iterator[ImagesRead | CheckedFolder]:
    """Look at images just as the training will, one at a time."""
    from napari_oneshot_lmk.training.dataset import Inspection

    inspection = Inspection(template, spacing_mm_yx)
    for done, file in enumerate(files, start=1):
        inspection.inspect(file)
        yield ImagesRead(done, len(files))
    found = inspection.result()
    yield CheckedFolder(
        folder,
        {image.name: image.path for image in found.usable},
        tuple(image.shape_yx for image in found.usable),
        tuple(image.spacing_mm_yx for image in found.usable),
        found.failed,
        found.warnings,
    )


def measure_machine(preferences: Preferences) -> MachineSpeed:
    """Measure with the encoder of the preferences; nothing is downloaded for it."""
    from napari_oneshot_lmk.encoders.select import instant_encoder
    from napari_oneshot_lmk.training.estimate import measure

    encoder = instant_encoder(preferences.encoder_weights, preferences.device, allow_download=False)
    return measure(encoder)


def check_folder(
    folder: Path,
    template: Template,
    preferences: Preferences,
    spacing_mm_yx: SpacingMm = None,
    inspector: ImageInspector = inspect_files,
    measurement: SpeedMeasurement = measure_machine,
) -> Iterator[ImagesRead | SpeedMeasuring | CheckedFolder]:
    """Read a folder of images with its subfolders, then measure the machine.

    Duplicates of the template are left out; ``spacing_mm_yx`` overrides what the files
    say. The last `CheckedFolder` has the machine's speed.

    Raises
    ------
    UsageError
        If there is no image that can be used.
    """
    files = find_images([folder])
    yield ImagesRead(0, len(files))
    checked = None
    for step in inspector(folder, files, template, spacing_mm_yx):
        if isinstance(step, CheckedFolder):
            checked = step
        yield step
    if checked is not None:
        yield SpeedMeasuring()
        yield replace(checked, machine=measurement(preferences))


def _sizes(sizes_yx: Sequence[Size]) -> str:
    if not sizes_yx:
        return ""
    rows, columns = zip(*sizes_yx, strict=True)
    text = training_texts.CHECKED_SIZE if len(set(sizes_yx)) == 1 else training_texts.CHECKED_SIZES
    return text.format(
        rows=min(rows), columns=min(columns), high_rows=max(rows), high_columns=max(columns)
    )


def _spacings(spacings: Sequence[SpacingMm]) -> str:
    known = [mm for spacing in spacings if spacing is not None for mm in spacing]
    unknown = sum(spacing is None for spacing in spacings)
    if not known:
        return training_texts.CHECKED_NO_SPACING if unknown else ""
    low, high = min(known), max(known)
    same = f"{low:.3g}" == f"{high:.3g}"
    text = training_texts.CHECKED_SPACING if same else training_texts.CHECKED_SPACINGS
    said = text.format(low=low, high=high)
    if unknown:
        return training_texts.CHECKED_SOME_SPACING.format(known=said, unknown=unknown)
    return said


class FolderCheck(WorkerRun):
    """Checks the folder that was asked for last; arguments are those of `check_folder`."""

    going = Signal(str)
    """What runs, as a text."""
    checked = Signal(object)
    """What is known of the folder so far: a :class:`CheckedFolder`."""
    ended = Signal(str, str)
    """Why it failed, or "", and a report to copy, or ""."""

    def __init__(
        self,
        inspector: ImageInspector = inspect_files,
        measurement: SpeedMeasurement = measure_machine,
    ) -> None:
        super().__init__()
        self._inspector, self._measurement = inspector, measurement
        self._next: tuple[Path, Template, SpacingMm] | None = None

    def start(self, folder: Path, template: Template, spacing_mm_yx: SpacingMm = None) -> None:
        """Check a folder, instead of one that is being checked."""
        self._next = (folder, template, spacing_mm_yx)
        if self._worker is not None:
            self._worker.quit()
            return
        self._begin()

    def _begin(self) -> None:
        if self._next is None:
            return
        folder, template, spacing = self._next
        self._next = None
        # Settings belong to the window's thread.
        arguments = (preferences(), spacing, self._inspector, self._measurement)
        self.going.emit(training_texts.CHECKING_FOLDER)
        self._worker = worker.start(
            lambda: check_folder(folder, template, *arguments), self._on_step, self._on_cancelled
        )

    def _on_step(self, step: Any) -> None:
        if isinstance(step, Done | Failure):
            failed = explained(step) if isinstance(step, Failure) else ("", "")
            self._worker = None
            if self._next is not None:
                self._begin()
            else:
                self.ended.emit(*failed)
        elif self._next is not None:
            # Of a folder that nobody wants any more.
            return
        elif isinstance(step, ImagesRead):
            self.going.emit(training_texts.CHECKING.format(done=step.done, total=step.total))
        elif isinstance(step, SpeedMeasuring):
            self.going.emit(training_texts.TIMING)
        elif isinstance(step, CheckedFolder):
            self.checked.emit(step)

    def _on_cancelled(self) -> None:
        self._worker = None
        self._begin()
