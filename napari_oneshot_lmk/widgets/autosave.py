"""Saves the annotation after every edit and offers what was saved before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.landmarks.landmark import State
from napari_oneshot_lmk.widgets.settings import autosave_folder, preferences
from napari_oneshot_lmk.widgets.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.landmarks.landmark import Landmarks
    from napari_oneshot_lmk.widgets.session import Session


@dataclass(frozen=True)
class Offer:
    """Work of an earlier session.

    Parameters
    ----------
    landmarks : Landmarks
        What was saved.
    saved_at : datetime
        When.
    """

    landmarks: Landmarks
    saved_at: datetime


class Autosave:
    """Follows a session; emits ``saved`` with the sidecar, or ``failed`` with why.

    Parameters
    ----------
    session : Session
        Whose annotations to save.
    """

    saved = Signal(Sidecar, datetime)
    failed = Signal(OneshotError)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sidecars: dict[Hashable, Sidecar] = {}
        self._on_disk: dict[Hashable, Landmarks] = {}
        session.events.annotation.connect(self.save)
        session.events.spacing.connect(self.save)

    def end(self) -> None:
        """Stop following the session."""
        self._session.events.annotation.disconnect(self.save, missing_ok=True)
        self._session.events.spacing.disconnect(self.save, missing_ok=True)

    @property
    def sidecar(self) -> Sidecar | None:
        """The sidecar of the session's picture; None without a picture."""
        target = self._session.target
        if target is None:
            return None
        if target.key not in self._sidecars:
            beside = preferences().autosave_beside_image
            place = Sidecar.of(target, beside, autosave_folder())
            self._sidecars[target.key] = place
        return self._sidecars[target.key]

    def offer(self) -> Offer | None:
        """Look for work of an earlier session on this picture.

        Raises
        ------
        OneshotError
            If there is some that cannot be read.
        """
        sidecar = self.sidecar
        if sidecar is None or len(self._session.annotation.landmarks):
            return None
        landmarks = sidecar.offer()
        return None if landmarks is None else Offer(landmarks, sidecar.saved_at)

    def accept(self) -> None:
        """Go on with what was offered: it may be overwritten."""
        if self.sidecar is not None:
            self.sidecar.accept()

    def save(self) -> None:
        """Write the annotation, unless it is on disk already."""
        target = self._session.target
        if target is None:
            return
        made = self._session.annotation.landmarks
        decided = any(p.state is not State.SKIPPED for p in made)
        if not decided and target.key not in self._on_disk:
            return
        landmarks = self._session.landmarks(preferences().author)
        if self._on_disk.get(target.key) == landmarks:
            return
        try:
            sidecar = self.sidecar
            if sidecar is None:
                return
            when = sidecar.save(landmarks)
        except OneshotError as error:
            self.failed.emit(error)
            return
        self._on_disk[target.key] = landmarks
        self.saved.emit(sidecar, when)
