"""What a training tells whoever listens: small immutable events.

The loop yields them; the run folder appends them to ``events.jsonl``; the
command line, the dock and the tests read the same ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Noted:
    """Something a user should know, one sentence.

    Parameters
    ----------
    text : str
        The sentence.
    serious : bool
        Whether it is a warning.
    """

    text: str
    serious: bool = False


@dataclass(frozen=True)
class Preparing:
    """Work before the first epoch.

    Parameters
    ----------
    what : str
        ``"images"`` (encoded, first pseudo-labels) or ``"copies"`` of the template.
    done, total : int
        How far it is.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Stepped:
    """One step of the optimiser.

    Parameters
    ----------
    model : str
        The landmark whose own model is trained, empty where all share one.
    epoch, epochs : int
        From 1, of how many.
    step, steps : int
        In this epoch, from 1, of how many.
    loss : float
        Of this step.
    seconds_left : float, optional
        Until all is trained; None while unknown.
    """

    model: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class EpochEnded:
    """An epoch, its new pseudo-labels included.

    Parameters
    ----------
    model : str
        As in `Stepped`.
    epoch, epochs : int
        From 1, of how many.
    losses : dict of str to float
        Mean loss of each stage: ``"template"``, ``"pseudo-labels"``.
    shift : float
        Median distance that the pseudo-labels moved.
    unit : str
        Of the shift: ``"mm"``, or ``"px"`` of the network's grid.
    agreement : float, optional
        The criterion that models are chosen by, smaller is better, same unit.
    best : bool
        Whether this is the best epoch so far.
    seconds : float
        That the epoch took.
    """

    model: str
    epoch: int
    epochs: int
    losses: dict[str, float]
    shift: float
    unit: str
    agreement: float | None
    best: bool
    seconds: float


@dataclass(frozen=True)
class Previewed:
    """Where the model of this moment sees the landmarks of an image.

    Parameters
    ----------
    image : str
        Its path.
    points_yx : dict of str to tuple of float
        By landmark, pixels of the image's own grid.
    """

    image: str
    points_yx: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Finished:
    """The model is on disk.

    Parameters
    ----------
    model : str
        Its folder.
    epoch : int
        The epoch that was kept.
    stopped : bool
        Whether the user ended it early.
    seconds : float
        Of training, over all sessions of the run.
    """

    model: str
    epoch: int
    stopped: bool
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The training ended without a model.

    Parameters
    ----------
    sentence : str
        What is wrong and what to do.
    report : str
        For a bug report.
    """

    sentence: str
    report: str = field(default="")


Event = Noted | Preparing | Stepped | EpochEnded | Previewed | Finished | Failed

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (Noted, Preparing, Stepped, EpochEnded, Previewed, Finished, Failed)
}


def event_to_json(event: Event) -> dict[str, Any]:
    """Return the content of an event's line."""
    return {"event": type(event).__name__, **asdict(event)}


def event_from_json(content: dict[str, Any]) -> Event | None:
    """Return the event of a line; None for a kind that this version does not know."""
    kind = _KINDS.get(str(content.get("event")))
    if kind is None:
        return None
    known = {part.name for part in fields(kind)}
    values = {name: value for name, value in content.items() if name in known}
    if kind is Previewed:
        points = values["points_yx"].items()
        values["points_yx"] = {name: (float(p[0]), float(p[1])) for name, p in points}
    event: Event = kind(**values)
    return event
