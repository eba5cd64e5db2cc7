"""What the file of an open image states and its layer does not: spacing, orientation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_oneshot_lmk.errors import GeometryError
from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.imaging.image import SpacingSource


@dataclass(frozen=True)
class Facts:
    """What an image file states."""

    shape_yx: tuple[int, int]
    """Rows and columns."""
    spacing_mm_yx: tuple[float, float] | None = None
    """None where the file states none, or an invalid one."""
    source: SpacingSource | None = None
    """What in the file states the spacing."""
    notes: tuple[str, ...] = ()
    """What a user should know about how the image is stored."""


def read_facts(path: Path) -> Facts | None:
    """Read what a file states; None for a volume and for files that we cannot read."""
    from napari_oneshot_lmk.imaging.formats import read_plane

    try:
        plane = read_plane(path)
    except Exception:
        # Another reader may have opened the layer; then nothing is known of its file.
        return None
    spacing = None
    with suppress(GeometryError):
        spacing = checked_spacing(plane.stated.spacing_mm_yx)
    rows, columns = plane.values.shape[:2]
    source = None if spacing is None else plane.stated.spacing_source
    return Facts((rows, columns), spacing, source, plane.notes)


class FileFacts(QObject):
    """Reads facts in another thread, one file after another, each once.

    ``ready`` carries the path of a file whose facts are now known.
    """

    ready = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._facts: dict[tuple[Path, float], Facts | None] = {}
        self._asked: set[tuple[Path, float]] = set()
        self._thread = ThreadPoolExecutor(1, "file-facts")

    def of(self, path: Path | None) -> Facts | None:
        """Return the facts of a file; None while they are unknown, and request them."""
        if path is None:
            return None
        try:
            key = path, path.stat().st_mtime
        except OSError:
            return None
        if key not in self._asked:
            self._asked.add(key)
            self._thread.submit(self._read, key)
        return self._facts.get(key)

    def _read(self, key: tuple[Path, float]) -> None:
        self._facts[key] = read_facts(key[0])
        # The window may have closed meanwhile.
        with suppress(RuntimeError):
            self.ready.emit(key[0])
