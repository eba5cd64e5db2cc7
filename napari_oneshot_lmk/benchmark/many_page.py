"""Writes the result of the benchmark over many images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.benchmark.machine import describe
from napari_oneshot_lmk.benchmark.many import ManyRun
from napari_oneshot_lmk.benchmark.many_cost import Costs
from napari_oneshot_lmk.benchmark.page import write_page


def many_content(
    few: ManyRun, many: ManyRun, costs: Costs, encoder: str, *, seed: int, command: str
) -> dict[str, Any]:
    """Return the content of ``many.json``."""
    return {
        "few": asdict(few),
        "many": asdict(many),
        "costs": costs.as_dict(),
        "encoder": encoder,
        "seed": seed,
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
    }


def many_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return name and value of what was measured."""
    few, many, costs = content["few"], content["many"], content["costs"]
    ratio = many["peak_mb"] / few["peak_mb"]
    rows = [
        [f"peak memory, {few['images']} images, MB", f"{few['peak_mb']:.0f}"],
        [f"peak memory, {many['images']} images, MB", f"{many['peak_mb']:.0f}"],
        ["ratio", f"{ratio:.2f}"],
        ["processes killed on the way", str(many["processes"] - 1)],
        [
            "images that stand in the table exactly once",
            f"{many['images_once']} of {many['images']}",
        ],
        ["images/s", f"{many['images_per_s']:.2f}"],
    ]
    for key, name in (
        ("by_batch", "batch of {}, ms an image"),
        ("by_landmarks", "{} landmarks, ms an image"),
        ("by_workers", "{} workers, ms an image"),
    ):
        for number, seconds in costs[key].items():
            what = name.format(number) if int(number) or key != "by_workers" else ""
            rows.append([what or "one process, ms an image", f"{1e3 * seconds:.0f}"])
    rows.append(["largest shift by batches, px", f"{costs['moved_px']:.1g}"])
    return rows


def write_many(content: Mapping[str, Any], folder: Path, *, overwrite: bool) -> None:
    """Write ``many.json`` and ``many.md`` into a folder."""
    lines = [
        "# Many images",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in many_rows(content)),
        "",
        f"Encoder {content['encoder']}, seed {content['seed']}. Costs are medians of "
        f"{content['costs']['rounds']} rounds of {content['costs']['images']} images, "
        "by turns in one run.",
    ]
    write_page("many", lines, content, folder, overwrite=overwrite)
