"""Writes the result of the speed benchmark."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.benchmark.machine import describe
from napari_oneshot_lmk.benchmark.page import write_page
from napari_oneshot_lmk.benchmark.speed import Speed

if TYPE_CHECKING:
    from napari_oneshot_lmk.encoders.encoder import Encoder


def speed_content(speed: Speed, encoder: Encoder, *, command: str) -> dict[str, Any]:
    """Return the content of ``speed.json``."""
    return speed.as_dict() | {
        "encoder": encoder.card.identity,
        "encoder_device": str(encoder.device),
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
    }


def speed_rows(speed: Speed, encoder: str) -> list[list[str]]:
    """Return name and value of what was measured."""
    height, width = speed.file_shape_yx
    rows = [
        ["encoder", encoder],
        ["landmarks", str(speed.landmarks)],
        ["encoder's forward pass, ms", f"{1e3 * speed.encoder_s:.1f}"],
        ["detection, ms", f"{1e3 * speed.detection_s:.1f}"],
        ["detection / encoder", f"{speed.detection_ratio:.2f}"],
        [f"from a file of {width} x {height}, ms", f"{1e3 * speed.everything_s:.1f}"],
        ["from the file / encoder", f"{speed.everything_ratio:.2f}"],
    ]
    if speed.peak_mb is not None:
        rows.append(["peak memory for 1935 x 2400, MB", f"{speed.peak_mb:.0f}"])
    return rows


def write_speed(speed: Speed, content: dict[str, Any], folder: Path, *, overwrite: bool) -> None:
    """Write ``speed.json`` and ``speed.md`` into a folder."""
    rows = speed_rows(speed, content["encoder"])
    lines = [
        "# Speed",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        f"Medians of {speed.repeats} rounds, the three measured by turns in one run on "
        f"{content['encoder_device']}. *Detection* starts from an image on the "
        "network's grid; *from a file* includes reading and resizing. Peak memory is "
        "that of a fresh process, libraries included.",
    ]
    write_page("speed", lines, content, folder, overwrite=overwrite)
