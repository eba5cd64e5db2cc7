"""What the papers print: figures to stand beside measured ones, never mixed with them.

Of 250 images (151–400 of the ISBI 2015 challenge), on integer cells of the 384 x 384 grid but
for FM-OSD, whose own evaluation is at full resolution.
"""

from __future__ import annotations

PAPER = "arXiv 2503.16058"

FIGURES: dict[str, tuple[float, float, float, float, float, str]] = {
    "sam": (2.56, 54.11, 63.66, 70.25, 80.84, f"{PAPER}, table 1"),
    "uod": (2.43, 51.14, 62.37, 74.40, 86.49, f"{PAPER}, table 1; both stages"),
    "cc2d": (2.04, 62.46, 71.62, 80.00, 89.45, f"{PAPER}, table 1"),
    "cc2d+16": (2.06, 62.00, 70.38, 79.16, 88.76, f"{PAPER}, table 3"),
    "cc2d+304": (2.02, 63.68, 72.32, 80.38, 89.68, f"{PAPER}, table 3"),
    "fm-osd-coarse": (1.93, 63.60, 75.43, 83.03, 91.94, f"{PAPER}, table 1"),
    "fm-osd-fine": (1.82, 67.35, 77.92, 84.59, 91.92, f"{PAPER}, table 1"),
    "fused": (1.96, 67.83, 75.33, 81.89, 90.82, f"{PAPER}, table 1, C-Adapter"),
    "fine": (1.83, 70.48, 77.35, 83.96, 91.43, f"{PAPER}, table 1, C-F2"),
}
"""MRE in mm, then SDR in % at 2, 2.5, 3 and 4 mm, and where it stands, by a row's name."""
REMARKS = {"cc2d-student": "81.01 % at 4 mm (arXiv 2103.04527)"}
"""The same where a paper prints less."""

TABLE_2_COLUMNS = ("CC2D", "FM-OSD", "C-ATD", "C-F2")
TABLE_2: dict[str, tuple[tuple[float, float], ...]] = {
    "sella": ((1.35, 85.2), (1.55, 84.0), (0.98, 97.6), (1.26, 92.0)),
    "nasion": ((1.60, 74.0), (1.49, 73.2), (1.51, 78.0), (1.54, 73.6)),
    "orbitale": ((1.58, 72.4), (1.66, 68.4), (1.37, 84.4), (1.46, 78.4)),
    "porion": ((1.93, 66.4), (2.28, 55.6), (1.80, 70.8), (2.00, 67.2)),
    "subspinale_A": ((1.86, 62.8), (1.72, 65.6), (1.54, 76.0), (1.61, 75.2)),
    "supramentale_B": ((2.50, 50.0), (2.41, 48.4), (2.47, 49.2), (2.43, 48.4)),
    "pogonion": ((1.42, 81.6), (1.05, 88.0), (0.96, 94.0), (0.94, 93.6)),
    "menton": ((1.46, 78.4), (0.99, 91.6), (1.10, 93.2), (1.93, 89.6)),
    "gnathion": ((1.08, 88.8), (0.83, 94.8), (0.84, 96.8), (0.84, 95.2)),
    "gonion": ((4.19, 20.4), (3.23, 33.6), (3.59, 24.8), (3.17, 37.6)),
    "lower_incisal_incision": ((2.58, 42.8), (2.44, 52.0), (2.85, 48.8), (2.66, 48.8)),
    "upper_incisal_incision": ((2.60, 48.8), (1.91, 68.0), (1.43, 86.4), (1.50, 80.8)),
    "upper_lip": ((1.63, 70.0), (1.60, 68.4), (1.56, 78.4), (1.52, 79.2)),
    "lower_lip": ((1.69, 71.2), (1.43, 80.0), (1.54, 79.6), (1.47, 80.0)),
    "subnasale": ((1.73, 65.6), (1.69, 68.8), (2.50, 50.0), (1.89, 59.6)),
    "soft_tissue_pogonion": ((3.54, 26.4), (2.61, 47.2), (2.52, 51.2), (2.56, 48.8)),
    "posterior_nasal_spine": ((1.73, 67.6), (1.55, 74.8), (1.24, 84.0), (1.51, 77.6)),
    "anterior_nasal_spine": ((1.77, 65.6), (1.67, 67.6), (2.00, 63.2), (1.82, 66.4)),
    "articulare": ((2.44, 48.8), (2.49, 49.6), (2.25, 62.0), (2.75, 47.2)),
}
"""MRE in mm and SDR at 2 mm in % of each landmark, by its name in the data."""
