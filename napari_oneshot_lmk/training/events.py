"""What a training reports: small immutable events, and their log.

The training loop yields them; `train` appends them to the run's ``events.jsonl``, each named
after its class.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from napari_oneshot_lmk.errors import OutputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Noted:
    """A message for the user; ``serious`` for a warning."""

    text: str
    serious: bool = False


@dataclass(frozen=True)
class Preparing:
    """Progress before the first epoch, or after the last one.

    ``what`` is ``"files"`` (read), ``"images"`` (encoded, first pseudo-labels), ``"copies"`` of
    the template, or ``"certainty"`` (images that show how sure the points of the model are).
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Stepped:
    """One step of the optimiser.

    ``model`` is the landmark whose own network is trained, empty where all share one. Epochs,
    and the steps of an epoch, are counted from 1. ``seconds_left`` is the time until all is
    trained, None while unknown.
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
    """The end of an epoch, after its new pseudo-labels were inferred."""

    model: str
    epoch: int
    epochs: int
    losses: dict[str, float]
    """Mean loss of each stage: ``"template"``, ``"pseudo-labels"``."""
    shift: float
    """Median distance that the pseudo-labels moved."""
    unit: str
    """Of shift and agreement: ``"mm"``, or ``"px"`` of the network's grid."""
    agreement: float | None
    """The criterion that models are chosen by; smaller is better."""
    best: bool
    """Whether this is the best epoch so far."""
    seconds: float
    spreads_px: dict[str, float] = field(default_factory=dict)
    """Of each landmark's target, in pixels of a crop, where they adapt."""


@dataclass(frozen=True)
class Previewed:
    """Where the network of this epoch finds the landmarks of an image.

    Points are by landmark, (row, column) of the image's own grid.
    """

    image: str
    points_yx: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Finished:
    """The model is in the folder ``model``; ``epoch`` was kept.

    ``stopped`` says whether the user ended the training early, ``seconds`` how long it took
    over all sessions of the run.
    """

    model: str
    epoch: int
    stopped: bool
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The training ended without a model: what is wrong, and a report for the developers."""

    sentence: str
    report: str = ""


Event = Noted | Preparing | Stepped | EpochEnded | Previewed | Finished | Failed

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


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


MOST_BYTES = 64_000
"""Of one read, so that a window that reads never waits."""


class EventLog:
    """Appends events to a log, which is made where it is missing, each on the disk at once.

    A process that is killed may leave half a line; whoever writes next begins a new one, and
    readers skip what is no event. Where nothing can be written, `OutputError` is raised.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            before = read_events(path) if path.is_file() else []
            self._ended = [event for event in before if isinstance(event, EpochEnded)]
            torn = path.exists() and not _ends_with_line(path)
            # Unbuffered: what a full disk refuses must not be tried again at the end.
            self._file: FileIO = path.open("ab", buffering=0)
        except OSError as error:
            raise self._error(error) from error
        if torn:
            self._write(b"\n")

    def append(self, event: Event) -> bool:
        """Append an event, except an epoch's end that is there already; return if it is new.

        A resumed training reports again how the epoch of its checkpoint ended: the process
        may have been killed before the line was written.
        """
        if isinstance(event, EpochEnded):
            if event in self._ended:
                return False
            self._ended.append(event)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **event_to_json(event)}, ensure_ascii=False)
        self._write(line.encode() + b"\n")
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot be written ({error.strerror or error})",
            file=self._path,
            remedy="free some space, then give the same command again",
        )


def read_events(path: Path) -> list[Event]:
    """Read all events of a log; none where there is no log yet."""
    events: list[Event] = []
    offset = 0
    while True:
        some, after = read_some(path, offset, limit=10_000)
        if after == offset:
            return events
        events += [event for _, event in some]
        offset = after


def read_some(path: Path, offset: int, limit: int) -> tuple[list[tuple[int, Event]], int]:
    """Read the next events, at most ``limit``, of a log that is still being written.

    Returns them, each with the byte that its line begins at, and the offset to go on from,
    which is unchanged where there is nothing new.
    """
    found: list[tuple[int, Event]] = []
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read(MOST_BYTES)
            # A line may be longer than a read, if there are very many landmarks.
            if len(chunk) == MOST_BYTES and b"\n" not in chunk:
                chunk += file.readline()
    except FileNotFoundError:
        return found, offset
    for line in chunk.splitlines(keepends=True):
        # The last line may not be complete yet.
        if not line.endswith(b"\n") or len(found) >= limit:
            break
        # It may be half a line, or a later version's.
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            event = event_from_json(json.loads(line))
            if event is not None:
                found.append((offset, event))
        offset += len(line)
    return found, offset


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        return end == 0 or file.read(1) == b"\n"


class TensorBoardLogger:
    """Writes curves of losses, shift and agreement by epoch, in a folder per model."""

    def __init__(self, folder: Path) -> None:
        # It takes seconds to import: now, not when somebody waits for a stop.
        from torch.utils.tensorboard import SummaryWriter

        self._new_writer, self._folder = SummaryWriter, folder
        self._writers: dict[str, SummaryWriter] = {}

    def log(self, event: Event) -> None:
        """Draw an epoch's end; other events are ignored."""
        if not isinstance(event, EpochEnded):
            return
        if event.model not in self._writers:
            name = re.sub(r"[^\w.\- ]+", "_", event.model).strip(" .")
            # What an earlier process has drawn from this epoch on is drawn again.
            self._writers[event.model] = self._new_writer(
                str(self._folder / name), purge_step=event.epoch
            )
        writer = self._writers[event.model]
        for stage, loss in event.losses.items():
            writer.add_scalar(f"loss/{stage}", loss, event.epoch)
        writer.add_scalar(f"shift of pseudo-labels/{event.unit}", event.shift, event.epoch)
        if event.agreement is not None:
            writer.add_scalar(f"agreement/{event.unit}", event.agreement, event.epoch)
        for landmark, spread in event.spreads_px.items():
            writer.add_scalar(f"spread of the target/{landmark}", spread, event.epoch)
        writer.flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
