"""Say of what kind a method's errors are: offset, spread, or gross misses.

::

    python scripts/bias_and_spread.py ERRORS.csv --spacing MM [--gross MM]

``ERRORS.csv`` is ``OUT/METHOD/errors.csv`` of ``oneshot-lmk benchmark``. One row a
landmark: the median offset of the found from the true points, and what would be left
without it. That takes the true points of the test images: it explains a result and
is none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

WITHIN_MM = 2.0


def kinds(errors: pd.DataFrame, spacing_mm: float, gross_mm: float) -> pd.DataFrame:
    """Return one row per landmark, in the table's order, and one for all.

    Parameters
    ----------
    errors : DataFrame
        Columns landmark, found_x_px, found_y_px, true_x_px, true_y_px.
    spacing_mm : float
        Of a pixel, along rows and columns.
    gross_mm : float
        Above it, an error is a gross miss.
    """
    away = pd.DataFrame({"landmark": errors["landmark"]})
    for axis in "xy":
        away[axis] = spacing_mm * (errors[f"found_{axis}_px"] - errors[f"true_{axis}_px"])
    offset = away.groupby("landmark")[["x", "y"]].transform("median")
    error = np.hypot(away["x"], away["y"])
    left = np.hypot(away["x"] - offset["x"], away["y"] - offset["y"])
    each = pd.DataFrame(
        {
            "landmark": away["landmark"],
            "MRE mm": error,
            "SDR 2 mm %": 100.0 * (error < WITHIN_MM),
            "offset right mm": offset["x"],
            "offset down mm": offset["y"],
            "without it: MRE mm": left,
            "without it: SDR 2 mm %": 100.0 * (left < WITHIN_MM),
            f"> {gross_mm:g} mm %": 100.0 * (error > gross_mm),
        }
    )
    rows = each.groupby("landmark", sort=False).mean()
    rows.loc["all"] = each.drop(columns="landmark").mean()
    rows.loc["all", ["offset right mm", "offset down mm"]] = np.nan
    return rows


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("errors", type=Path)
    parser.add_argument("--spacing", type=float, required=True)
    parser.add_argument("--gross", type=float, default=6.0)
    chosen = parser.parse_args()
    errors = pd.read_csv(chosen.errors)
    table = kinds(errors[errors["outcome"] == "scored"], chosen.spacing, chosen.gross)
    print(f"| landmark | {' | '.join(table.columns)} |")
    print(f"|{'---|' * (len(table.columns) + 1)}")
    for name, row in table.iterrows():
        digits = [1 if "%" in column else 2 for column in table.columns]
        cells = [
            "" if np.isnan(value) else f"{value:.{places}f}"
            for value, places in zip(row, digits, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
