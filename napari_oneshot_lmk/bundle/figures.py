"""Figures of an evaluation, for a bundle's documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.errors import UsageError

SUMMARY = "summary.json"


def figures_in(folder: Path) -> dict[str, Any]:
    """Return the main figures of a report.

    Parameters
    ----------
    folder : Path
        What ``oneshot-lmk evaluate --out`` wrote.

    Returns
    -------
    dict
        Name and unit → number, of the scoring in native pixels.

    Raises
    ------
    UsageError
        If there is no readable report in it.
    """
    try:
        content = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        overall = content["native"]
        figures = {
            "images": content["images"],
            "errors": overall["n"],
            "MRE mm": overall["mre_mm"],
            "median mm": overall["median_mm"],
        }
        for limit, share in overall["sdr_percent"].items():
            figures[f"SDR {limit} mm %"] = share
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"holds no report, there is no readable {SUMMARY} in it",
            file=folder,
            remedy="name the folder that oneshot-lmk evaluate --out wrote",
        ) from error
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in figures.items()
    }
