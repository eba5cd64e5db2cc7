"""Looks at a folder of images before a training, in another thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.find import ImageFile, find_images
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.training.estimate import MachineSpeed
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.qt.worker import Done, Failure, WorkerRun
from napari_oneshot_lmk.widgets.settings import Preferences, preferences
from napari_oneshot_lmk.widgets.train import training_texts

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
        count = training_texts.CHECKED.format(images=texts.counted(len(self.paths), "image"))
        parts = (count, _sizes(self.sizes_yx), _spacings(self.spacings_mm_yx))
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


def _sizes(sizes_yx: Sequence[Size]) -> str:
    if not sizes_yx:
        return ""
    rows, columns = zip(*sizes_yx, strict=True)
    text = texts.SIZE if len(set(sizes_yx)) == 1 else training_texts.CHECKED_SIZES
    high = {"high_rows": max(rows), "high_columns": max(columns)}
    return text.format(rows=min(rows), columns=min(columns), **high)


def _spacings(spacings: Sequence[SpacingMm]) -> str:
    known = [mm for spacing in spacings if spacing is not None for mm in spacing]
    unknown = sum(spacing is None for spacing in spacings)
    if not known:
        return texts.SPACING_UNKNOWN if unknown else ""
    low, high = min(known), max(known)
    same = f"{low:.3g}" == f"{high:.3g}"
    text = training_texts.CHECKED_SPACING if same else training_texts.CHECKED_SPACINGS
    said, some = text.format(low=low, high=high), training_texts.CHECKED_SOME_SPACING
    return some.format(known=said, unknown=unknown) if unknown else said


class FolderCheck(WorkerRun):
    """Checks the folder that was asked for last: its images, then the machine's speed.

    Duplicates of the template are left out. It fails where no image can be used.
    """

    checked = Signal(object)
    """What is known of the folder so far, a `CheckedFolder`; the last one has the speed."""

    def __init__(
        self,
        inspector: ImageInspector = inspect_files,
        measurement: SpeedMeasurement = measure_machine,
    ) -> None:
        super().__init__()
        self._inspector, self._measurement = inspector, measurement
        self._next: tuple[Path, Template, SpacingMm] | None = None

    def start(self, folder: Path, template: Template, spacing_mm_yx: SpacingMm = None) -> None:
        """Check a folder, instead of one that is being checked.

        ``spacing_mm_yx`` overrides what the files say.
        """
        self._next = (folder, template, spacing_mm_yx)
        if self.running:
            self.cancel()
        else:
            self._start_next()

    def _start_next(self) -> None:
        if self._next is not None:
            # Settings belong to the window's thread.
            asked, wanted = self._next, preferences()
            self._next = None
            self.going.emit(training_texts.CHECKING_FOLDER, 0, 0)
            self._work(lambda: self._check(*asked, wanted))

    def _check(
        self, folder: Path, template: Template, spacing: SpacingMm, wanted: Preferences
    ) -> Generator[Any, None, tuple[str, bool]]:
        files = find_images([folder])
        text = training_texts.CHECKING
        yield self.going, text.format(done=0, total=len(files)), 0, 0
        checked = None
        for step in self._inspector(folder, files, template, spacing):
            if isinstance(step, CheckedFolder):
                checked = step
                yield self.checked, step
            else:
                yield self.going, text.format(done=step.done, total=step.total), 0, 0
        if checked is not None:
            yield self.going, training_texts.TIMING, 0, 0
            yield self.checked, replace(checked, machine=self._measurement(wanted))
        return "", False

    def _on_step(self, step: Any) -> None:
        # Else it is of a folder that nobody wants any more.
        if self._next is None or isinstance(step, Done | Failure):
            super()._on_step(step)

    def _on_ended(self, end: Done | Failure) -> None:
        if self._next is None:
            super()._on_ended(end)
        else:
            self._start_next()

    def _on_cancelled(self) -> None:
        self._worker = None
        self._start_next()
