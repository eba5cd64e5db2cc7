"""Saves landmarks after every edit of a person and offers what was saved before."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_oneshot_lmk.errors import OneshotError, OutputError
from napari_oneshot_lmk.landmarks.files import read_landmarks, write_landmarks
from napari_oneshot_lmk.landmarks.image_names import fits_as_name
from napari_oneshot_lmk.landmarks.landmarks import State
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.widgets import texts
from napari_oneshot_lmk.widgets.image_lock import ImageLocks
from napari_oneshot_lmk.widgets.layers.image_identity import identity_of, pixel_hash
from napari_oneshot_lmk.widgets.layers.image_view import ImageView
from napari_oneshot_lmk.widgets.settings import autosave_folder, preferences

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks
    from napari_oneshot_lmk.widgets.layers.image_view import Key
    from napari_oneshot_lmk.widgets.session import Session

SUFFIX = ".landmarks.csv"


class Sidecar:
    """The autosave file of one image.

    Parameters
    ----------
    path : Path
        Where it is, or would be.
    image : str
        Name of the image that it is about; "" where any will do.
    earlier : Path, optional
        Where versions before 0.2 wrote it: two images whose names differ only in a blank
        shared that place.
    """

    def __init__(self, path: Path, image: str = "", earlier: Path | None = None) -> None:
        self.path = path
        self._image = image
        self._earlier = earlier
        self._ours = False

    @classmethod
    def of(cls, target: ImageView, beside_image: bool, fallback: Path) -> Sidecar:
        """Return the sidecar of an image, beside its file or in the folder ``fallback``.

        The latter has those of images without a file, in a read-only folder, and of all
        images unless ``beside_image``.
        """
        name, path = target.image_name, target.path
        stem = re.sub(r"[^\w.\-]+", "_", name).strip("_") or "image"
        fits = beside_image and fits_as_name(f"{name}{SUFFIX}")
        if fits and path is not None and os.access(path.parent, os.W_OK):
            beside, earlier = (path.parent / f"{each}{SUFFIX}" for each in (name, stem))
            return cls(beside, name, None if earlier == beside else earlier)
        # Two patients' "img.png" must not share a file: the pixels tell them apart.
        ending = f"-{pixel_hash(target)[:10]}{SUFFIX}"
        return cls(fallback / f"{stem if fits_as_name(stem + ending) else stem[:40]}{ending}")

    def offer(self) -> Landmarks | None:
        """Read what an earlier session left here; None if there is nothing.

        An `OneshotError` says if the file is there but cannot be read.
        """
        path = self._existing()
        if self._ours or path is None:
            return None
        images = read_landmarks(path)
        if len(images) != 1 or all(p.state is State.SKIPPED for p in images[0]):
            return None
        of_another = self._image and images[0].image not in (self._image, "")
        return None if of_another else images[0]

    @property
    def place(self) -> Path:
        """The file that is there, else the one that would be."""
        return self._existing() or self.path

    def _existing(self) -> Path | None:
        places = (self.path, self._earlier)
        return next((path for path in places if path is not None and path.is_file()), None)

    def accept(self) -> None:
        """Go on with what is here: from now on it may be overwritten."""
        self._ours = True

    def keep(self) -> None:
        """Keep what is here: the next file does not replace it."""
        self._ours = False

    def save(self, landmarks: Landmarks) -> datetime:
        """Write the landmarks and return the time; a file of another session is renamed.

        An `OutputError` says if the folder cannot be written.
        """
        try:
            if not self._ours and self.path.exists():
                self.path.replace(self._free_previous())
            write_landmarks(self.path, [landmarks], overwrite=True)
        except OSError as error:
            reason = texts.NOT_SAVED.format(reason=error.strerror or error)
            raise OutputError(reason, file=self.path) from error
        self._ours = True
        return datetime.now().astimezone()

    @property
    def saved_at(self) -> datetime:
        """When the file was last written."""
        return datetime.fromtimestamp(self.place.stat().st_mtime).astimezone()

    def _free_previous(self) -> Path:
        stem = self.path.name.removesuffix(SUFFIX)
        names = (f"{stem}.previous{'' if n == 1 else f'-{n}'}.csv" for n in count(1))
        return next(p for p in map(self.path.with_name, names) if not p.exists())


@dataclass(frozen=True)
class Offer:
    """Landmarks that an earlier session saved, when, and in which file."""

    landmarks: Landmarks
    saved_at: datetime
    path: Path

    @property
    def decided(self) -> tuple[Landmark, ...]:
        """What a person had decided, so that no detection changes it."""
        annotation = Annotation.adopt(self.landmarks)
        return tuple(p for p in annotation.landmarks if annotation.is_manual(p.name))

    def stands_in(self, annotation: Annotation) -> bool:
        """Say whether any of these decisions is still as it was."""
        now = {p.name: p for p in annotation.landmarks}
        return any(_same_decision(p, now.get(p.name)) for p in self.decided)


def _same_decision(one: Landmark, other: Landmark | None) -> bool:
    fields = ("position_yx", "state", "source")
    return other is not None and all(getattr(one, f) == getattr(other, f) for f in fields)


class Autosave:
    """Follows a session and writes what a person did.

    What a detector alone has found is not written: it can be found again.
    """

    saved = Signal(ImageView, Sidecar, datetime)
    failed = Signal(OneshotError)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sidecars: dict[Key, Sidecar] = {}
        self._on_disk: dict[Key, Landmarks] = {}
        self._written: dict[str, tuple[Sidecar, Landmarks]] = {}
        """What was written last of each image, by its identity."""
        self._declined: set[Key] = set()
        self._taken: dict[Key, Offer] = {}
        self.locks = ImageLocks()
        session.edited.connect(self.save)
        session.events.spacing.connect(self._on_spacing)

    @property
    def sidecar(self) -> Sidecar | None:
        """The sidecar of the session's image; None without an image."""
        target = self._session.target
        return None if target is None else self._sidecar_of(target)

    def _sidecar_of(self, target: ImageView) -> Sidecar:
        if target.key not in self._sidecars:
            beside = preferences().autosave_beside_image
            self._sidecars[target.key] = Sidecar.of(target, beside, autosave_folder())
        return self._sidecars[target.key]

    def offer(self, target: ImageView | None = None) -> Offer | None:
        """Look for work of an earlier session on an image, by default the session's.

        None where the user has declined it, or something is decided on the image already. An
        `OneshotError` says if there is some that cannot be read.
        """
        target = target or self._session.target
        # First: to find the place of an image without a file, its pixels are hashed.
        if target is None or target.key in self._session.of_project | self._declined:
            return None
        if not self._session.annotation_of(target).is_empty:
            return None
        sidecar = self._sidecar_of(target)
        landmarks = sidecar.offer()
        if landmarks is None:
            return None
        return Offer(landmarks, sidecar.saved_at, sidecar.place)

    def decline(self, target: ImageView) -> None:
        """Offer the earlier work on an image no more; its file is kept under another name."""
        self._declined.add(target.key)

    def has_declined(self, target: ImageView) -> bool:
        """Say whether the user has declined what there was of an image."""
        return target.key in self._declined

    def take(self, target: ImageView, offer: Offer) -> None:
        """Go on with what was offered, beside what was detected: it may be overwritten.

        Where all of it is undone, its file is kept under another name.
        """
        self._sidecar_of(target).accept()
        self._taken[target.key] = offer

    def taken(self, target: ImageView) -> Offer | None:
        """Return the earlier work that was taken over on an image, while any of it stands."""
        offer = self._taken.get(target.key)
        stands = offer is not None and offer.stands_in(self._session.annotation_of(target))
        return offer if stands else None

    def other_window(self) -> str:
        """Say which other window works on the session's image; empty where none does."""
        target = self._session.target
        of_project = target is not None and target.key in self._session.of_project
        sidecar = None if of_project else self.sidecar
        holder = None if sidecar is None else self.locks.holder_of(sidecar.path)
        return "" if holder is None else holder.sentence

    def accept(self) -> None:
        """Go on with what was offered: it may be overwritten."""
        if self.sidecar is not None:
            self.sidecar.accept()

    def save(self, key: Key) -> None:
        """Write the landmarks of an image, unless they are on disk already."""
        target = self._session.target_of(key)
        if target is None or key in self._session.of_project:
            return
        annotation = self._session.annotation_of(target)
        # Landmarks that were taken off with their layer stay in their file.
        if not len(annotation.landmarks):
            return
        self._take_up(target)
        wanted = annotation.has_manual and not self._session.is_saved(target)
        if not wanted and key not in self._on_disk:
            return
        landmarks = self._session.landmarks(preferences().author, target)
        if self._on_disk.get(key) != landmarks.with_points(annotation.kept):
            self._write(target, landmarks)

    def _take_up(self, target: ImageView) -> None:
        """Go on in the file of an image that was removed and opened again."""
        if target.key not in self._on_disk and self._session.came_back(target):
            written = self._written.get(identity_of(target))
            if written is not None:
                self._sidecars[target.key], self._on_disk[target.key] = written

    def _write(self, target: ImageView, landmarks: Landmarks) -> None:
        try:
            sidecar = self._sidecar_of(target)
            holder = self.locks.taken_by(sidecar.path)
            if holder is not None:
                raise OutputError(holder.sentence.rstrip("."), file=sidecar.path)
            if target.key in self._taken and self.taken(target) is None:
                # Taken over without being asked for: it must not end with an undo.
                del self._taken[target.key]
                sidecar.keep()
            kept = landmarks.with_points(self._session.annotation_of(target).kept)
            when = sidecar.save(kept)
        except OneshotError as error:
            self.failed.emit(error)
            return
        self._on_disk[target.key] = kept
        self._written[identity_of(target)] = sidecar, kept
        self._session.note_saved(target, landmarks)
        self.saved.emit(target, sidecar, when)

    def _on_spacing(self) -> None:
        target = self._session.target
        if target is not None:
            # All slices of a stack have one spacing.
            others = [k for k in self._on_disk if k[0] == target.key[0] and k != target.key]
            for key in (target.key, *others):
                self.save(key)
