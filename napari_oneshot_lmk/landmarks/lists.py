"""Lists of landmarks to place: those that come with the package and a user's own."""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from napari_oneshot_lmk.errors import LandmarkError
from napari_oneshot_lmk.landmarks.files import holds_landmarks, is_landmark_file, read_landmarks
from napari_oneshot_lmk.landmarks.files.isbi_txt import DESCRIPTIONS
from napari_oneshot_lmk.landmarks.files.text_file import read_text
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, check_name, check_unique
from napari_oneshot_lmk.landmarks.template import Template, is_template


@dataclass(frozen=True)
class ListedLandmark:
    """A landmark that is yet to be placed: its name, and where to place it."""

    name: str
    description: str = ""

    def __post_init__(self) -> None:
        """Check the name."""
        check_name(self.name)


@dataclass(frozen=True)
class LandmarkList:
    """Landmarks in the order in which they are placed, under a title that a user picks.

    A LandmarkError says if the list is empty or a name stands twice.
    """

    title: str
    landmarks: tuple[ListedLandmark, ...]

    def __post_init__(self) -> None:
        """Check that there are names and that each is unique."""
        object.__setattr__(self, "landmarks", tuple(self.landmarks))
        if not self.landmarks:
            raise LandmarkError("the list names no landmark", remedy="write one name on each line")
        check_unique(self.names, " in the list")

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(landmark.name for landmark in self.landmarks)


ISBI19_CEPHALOGRAM = LandmarkList(
    "ISBI 2015 lateral cephalogram (19)",
    tuple(ListedLandmark(name, description) for name, description in DESCRIPTIONS.items()),
)
"""The landmarks of the ISBI 2015 challenge, in its order."""


def numbered(count: int) -> LandmarkList:
    """Return the list "01", "02", … with ``count`` names of the same width, at least one."""
    width = max(2, len(str(count)))
    landmarks = (ListedLandmark(f"{n:0{width}d}") for n in range(1, count + 1))
    return LandmarkList(f"numbered (1 to {count})", tuple(landmarks))


def shipped_lists() -> tuple[LandmarkList, ...]:
    """Return the lists that come with the package."""
    return ISBI19_CEPHALOGRAM, numbered(10)


def parse_landmark_list(text: str, title: str = "own list") -> LandmarkList:
    """Read a list that somebody typed or pasted.

    One name on each line, optionally with a description after a tab or ``": "``; or a
    single line of names separated by commas or semicolons. Empty lines and lines that
    start with ``#`` are ignored. A LandmarkError says if there is no name, or one
    stands twice.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) == 1 and "\t" not in lines[0] and ": " not in lines[0]:
        lines = [part.strip() for part in re.split(r"[,;]", lines[0]) if part.strip()]
    landmarks = []
    for line in lines:
        name, _, description = re.sub(r"\t|:\s+", "\0", line, count=1).partition("\0")
        landmarks.append(ListedLandmark(name.strip(), description.strip()))
    return LandmarkList(title, tuple(landmarks))


def read_landmark_list(path: str | Path) -> LandmarkList:
    """Read a list of names from a text file, a landmark file or a template's folder.

    A text is read as by `parse_landmark_list`, a ``.csv`` by its ``landmark`` column, or
    with names in the first column and descriptions in the second. A LandmarkError or
    TemplateError says if the file cannot be read or names nothing.
    """
    path = Path(path)
    if is_template(path):
        return _names_of(path, Template.load(path).landmarks)
    kind = path.suffix.lower()
    # A text file is a list of names, unless it holds landmarks of the challenge.
    if kind != ".csv" and (holds_landmarks if kind == ".txt" else is_landmark_file)(path):
        return _names_of(path, *read_landmarks(path, tell=lambda _: None))
    try:
        # As the readers of landmark files have names.
        text = unicodedata.normalize("NFC", read_text(path))
        if kind != ".csv":
            return parse_landmark_list(text, path.stem)
        return LandmarkList(path.stem, _names_in_table(text))
    except LandmarkError as error:
        raise error.about(path) from error


def _names_of(path: Path, *sets: Landmarks) -> LandmarkList:
    """Return every name once, in order of first appearance."""
    points = {point.name: point for points in sets for point in points}
    landmarks = (ListedLandmark(p.name, p.description) for p in points.values())
    return LandmarkList(path.stem.removesuffix(".mrk"), tuple(landmarks))


def _names_in_table(text: str) -> tuple[ListedLandmark, ...]:
    """Read names from a table with a ``landmark`` column, or from the first one."""
    first, _, rest = text.partition("\n")
    if re.fullmatch(r'\s*"?sep=."?\s*', first, re.IGNORECASE):
        text = rest
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if row]
    header = [field.strip().lower() for field in rows[0]] if rows else []
    name_column, description_column = 0, 1
    for title in ("landmark", "name"):
        if title in header:
            name_column = header.index(title)
            described = "description" in header
            description_column = header.index("description") if described else len(header)
            del rows[0]
            break
    names: dict[str, ListedLandmark] = {}
    for row in rows:
        row = [field.strip() for field in row] + [""] * len(header)
        name = row[name_column]
        description = (row[description_column:] or [""])[0]
        if name:
            names.setdefault(name, ListedLandmark(name, description))
    return tuple(names.values())
