"""What ``oneshot-lmk detect`` prints at its end, for people and for machines."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.cli.console import print_line, print_text, print_warning
from napari_oneshot_lmk.cli.errors import list_failures
from napari_oneshot_lmk.errors import OneshotError

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.batch import Counts
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.journal import Journal
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks


@dataclass(frozen=True)
class DetectionReport:
    """What became of the images."""

    journal: Journal
    """What was found."""
    failed: Sequence[OneshotError]
    """What could not be used."""
    out: Path
    """The file that was written."""
    detector: Detector
    stopped: bool
    """Whether Ctrl-C ended it."""

    def print(self, seconds: float) -> None:
        """Print one line on what was found, and what the user should know about it."""
        if self.journal.counts.images:
            print_counts(self.out, self.journal.counts, self.detector, seconds, "--spacing")

    def print_json(self) -> None:
        """Print everything for machines, image by image: there may be very many."""
        for piece in self._json():
            print_text(piece)

    def print_failures(self) -> None:
        """Name the files that could not be used, and how to go on."""
        list_failures(self.failed)
        if self.stopped:
            found, total = len(self.journal), len(self.journal.images)
            kept = f"; what was found is in {self.out}, and the same command goes on from here"
            done = found + len(self.failed)
            print_warning(f"Stopped after {done} of {total} images{kept if found else ''}.")

    def _json(self) -> Iterator[str]:
        out = str(self.out) if self.journal else None
        yield f'{{\n "out": {json.dumps(out)},\n "images": ['
        for number, (landmarks, reading) in enumerate(self.journal.with_reading()):
            text = json.dumps(_content(landmarks, reading), indent=1, allow_nan=False)
            yield ("," if number else "") + "\n" + textwrap.indent(text, "  ")
        last = {
            "failed": [{"file": e.file, "error": str(e)} for e in self.failed],
            "method": self.detector.method,
            "encoder": self.detector.encoder_card.identity,
            "interrupted": self.stopped,
        }
        yield "\n ],\n" + json.dumps(last, indent=1).removeprefix("{\n") + "\n"


def print_counts(
    where: Path, counts: Counts, detector: Detector, seconds: float, spacing: str
) -> None:
    """Print one line on what was found, and what the user should know about it.

    ``spacing`` says where a missing pixel spacing is given.
    """
    images = f"{counts.images} image{'s' if counts.images != 1 else ''}"
    looked = f", {counts.unsure} of them unsure" if counts.unsure else ""
    turned = f"; {counts.turned} of the images mirrored or turned" if counts.turned else ""
    trained = "" if detector.method == "instant" else f"{detector.method} model, "
    points = f"{counts.points} landmark{'s' if counts.points != 1 else ''}"
    print_line(
        f"{where}: {points} on {images}{looked}{turned} "
        f"({trained}{detector.encoder_card.title}, {seconds:.1f} s)"
    )
    if counts.without_spacing:
        which = _and_more(counts.first_without_spacing, counts.without_spacing)
        print_warning(
            f"The pixel spacing of {which} is unknown, so there are no millimetres; "
            f"give it with {spacing}."
        )
    for note, noted in counts.notes.items():
        print_warning(f"{_and_more(noted.first, noted.images)}: {note}.")


def _and_more(first: str, count: int) -> str:
    return f"{first} and {count - 1} more" if count > 1 else first


def _content(landmarks: Landmarks, reading: dict[str, Any]) -> dict[str, Any]:
    geometry = landmarks.geometry
    return {
        "image": landmarks.image,
        "spacing_mm_yx": geometry.spacing_mm_yx if geometry else None,
        "orientation": landmarks.provenance.orientation,
        **reading,
        "landmarks": [
            {
                "name": point.name,
                "state": str(point.state),
                "x_px": point.position_yx and point.position_yx[1],
                "y_px": point.position_yx and point.position_yx[0],
                "score": point.score,
                "unsure": point.unsure,
                "source": point.source and str(point.source),
                "shape_residual_mm": point.shape_residual_mm,
                **point.lengths(geometry),
            }
            for point in landmarks
        ],
    }
