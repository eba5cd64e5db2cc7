"""The images whose landmarks are saved together, open and removed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_oneshot_lmk.widgets.image_names import named_apart

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.widgets.layers.image_identity import RemovedImage
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView
    from napari_oneshot_lmk.widgets.workbench import Workbench


@dataclass(frozen=True)
class SavedImages:
    """Landmarks for one file, or for a folder with a file each."""

    landmarks: list[Landmarks]
    """One set per image, each under a name of its own."""
    files: list[Path | None]
    """The images' files, where they have one."""
    removed: int
    """How many of the images, the last ones, are not open any more."""

    @property
    def names(self) -> list[str]:
        """Names of the images, all different."""
        return [landmarks.image for landmarks in self.landmarks]


def results_of(bench: Workbench, author: str = "") -> SavedImages:
    """Return all images that a detection took part in."""
    session, results = bench.session, bench.session.results()
    targets = [target for target in session.with_landmarks if target.key in results]
    return _together(bench, targets, session.removed.results(), author)


def unsaved_of(bench: Workbench, author: str = "") -> SavedImages:
    """Return all images whose landmarks are in no file as they are now."""
    session = bench.session
    targets = [t for t in session.with_landmarks if not session.is_saved(t)]
    return _together(bench, targets, session.removed.unsaved(), author)


def results_and_unsaved_of(bench: Workbench, author: str = "") -> SavedImages:
    """Return all images that a detection took part in, or whose landmarks are in no file."""
    session, results = bench.session, bench.session.results()
    targets = [
        target
        for target in session.with_landmarks
        if target.key in results or not session.is_saved(target)
    ]
    removed = session.removed.results()
    # By identity: of two images with one name, both may have the same landmarks.
    known = set(map(id, removed))
    removed += [kept for kept in session.removed.unsaved() if id(kept) not in known]
    return _together(bench, targets, removed, author)


def _together(
    bench: Workbench,
    targets: Iterable[ImageView],
    removed: Iterable[RemovedImage],
    author: str,
) -> SavedImages:
    targets, removed = list(targets), list(removed)
    sets = [
        bench.session.landmarks(author, target).with_points(
            bench.session.annotation_of(target).kept
        )
        for target in targets
    ]
    sets += [each.landmarks.with_points(each.history.value.kept) for each in removed]
    files = [bench.file_of(target) for target in targets] + [kept.path for kept in removed]
    return SavedImages(named_apart(sets, files), files, len(removed))
