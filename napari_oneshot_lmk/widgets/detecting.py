"""The work behind the Detect buttons: a generator that touches no layer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.encoders.encoder import EncoderCard
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.widgets.picture import Picture
    from napari_oneshot_lmk.widgets.settings import Preferences
    from napari_oneshot_lmk.widgets.warm import MakesDetectors, Progress


@dataclass(frozen=True)
class Ready:
    """The encoder is loaded."""

    card: EncoderCard
    device: str


@dataclass(frozen=True)
class Looking:
    """An image is being worked on: its name, its number from 1, and how many."""

    image: str
    number: int
    total: int


@dataclass(frozen=True)
class Found:
    """An image is done."""

    key: Hashable
    landmarks: Landmarks
    seconds: float


@dataclass(frozen=True)
class CouldNot:
    """An image cannot be worked on; the others go on."""

    key: Hashable
    error: OneshotError


Event = Ready | Looking | Found | CouldNot


def detect_on(
    pictures: Sequence[tuple[Hashable, Picture]],
    template: Template,
    preferences: Preferences,
    make: MakesDetectors,
    progress: Progress,
) -> Iterator[Event]:
    """Detect a template's landmarks on pictures.

    Parameters
    ----------
    pictures : sequence of (key, Picture)
        Each is loaded only when its turn comes.
    template : Template
        Where the landmarks come from.
    preferences : Preferences
        Read in the window's thread.
    make : MakesDetectors
        Keeps the encoder warm between calls.
    progress : callable
        Told how a download goes, in this thread.
    """
    detector = make(template, preferences, progress)
    yield Ready(detector.encoder_card, str(detector.device))
    for number, (key, picture) in enumerate(pictures, start=1):
        yield Looking(picture.name, number, len(pictures))
        began = time.perf_counter()
        try:
            detector.set_image(picture.radiograph())
            landmarks = detector.detect()
        except OneshotError as error:
            yield CouldNot(key, error.about(picture.name))
            continue
        yield Found(key, landmarks, time.perf_counter() - began)
