"""Plots of an evaluation, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk.evaluation.error_table import Floats
from napari_oneshot_lmk.evaluation.metrics import THRESHOLDS_MM
from napari_oneshot_lmk.evaluation.report import Report
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colours: told apart with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#333333"
FAINT = "#BBBBBB"
BESIDE: dict[str, Any] = {"textcoords": "offset points", "color": INK}
MIN_ERRORS_PER_BOX = 5

GROUND = "#15181C"
TEXT = "#E8E8E8"
TRUE = "#FFFFFF"
# Okabe and Ito's blue-green, orange and vermilion, light enough for dark bone.
NEAR, MIDDLE, FAR = "#2FD6A0", "#F5B335", "#FF6A4D"
NEAR_MM, FAR_MM = 2.0, 4.0
PANEL_INCHES = 2.15
PANEL, HEADER, HEADING, FOOTING = 0.97, 0.11, 0.16, 0.18
"""Width of an image, height of its title, of the figure's title and legend, in panel widths."""


def new_figure(width: float, height: float) -> Figure:
    """Return a figure (inches) that needs no window and no pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_cumulative_error(reports: Mapping[str, Report], path: Path, *, title: str = "") -> None:
    """Plot the share of landmarks below each error as a PNG file.

    ``reports`` are by the name of the method. Of a single report both the native errors
    and those on the 384 grid are drawn, of several only the native ones.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    alone = len(reports) == 1
    highest = 0.0
    for (name, report), colour in zip(reports.items(), cycle(COLOURS), strict=False):
        errors_mm = _known(report.table.native_mm())
        if errors_mm.size == 0:
            continue
        highest = max(highest, float(np.percentile(errors_mm, 99)))
        label = name or "native resolution"
        _step(axes, errors_mm, colour, f"{label}  (n = {errors_mm.size})", 2.0)
        on_grid = report.table.grid384_mm() if alone else None
        if on_grid is not None:
            _step(axes, _known(on_grid), COLOURS[1], "384 grid (published tables)", 1.2)
        if alone:
            _mark_thresholds(axes, report)
    axes.set_xlim(0, float(np.clip(highest, 5.0, 20.0)))
    axes.set_ylim(0, 101)
    axes.set_xlabel("radial error (mm)")
    axes.set_ylabel("landmarks with a smaller error (%)")
    axes.set_title(title or "Cumulative error", loc="left", color=INK)
    _tidy(axes)
    if axes.lines:
        axes.legend(loc="lower right", frameon=False)
    figure.savefig(path)


def draw_per_landmark(report: Report, path: Path, *, title: str = "") -> None:
    """Plot a box of native errors for each landmark as a PNG file.

    Boxes hold the middle half, whiskers 5 to 95 %; what is beyond, and fewer than five
    errors, are single dots. Errors beyond the right-hand edge are counted in the margin.
    """
    names = list(report.table.landmarks)
    columns = [_known(column) for column in report.table.native_mm().T]
    everything = np.concatenate(columns)
    figure = new_figure(7.2, 1.4 + 0.26 * max(len(names), 3))
    axes = figure.add_subplot()
    limit = float(np.clip(np.percentile(everything, 99), 5, 20)) if everything.size else 5.0
    for place, column in enumerate(columns, start=1):
        if column.size < MIN_ERRORS_PER_BOX:
            axes.plot(column, [place] * column.size, "o", color=COLOURS[0], markersize=4)
    drawn = axes.boxplot(
        [c if c.size >= MIN_ERRORS_PER_BOX else [] for c in columns],
        orientation="horizontal",
        whis=(5, 95),
        widths=0.62,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "#888888"},
        medianprops={"color": "white", "linewidth": 1.6},
        whiskerprops={"color": COLOURS[0]},
        capprops={"color": COLOURS[0]},
    )
    for box in drawn["boxes"]:
        box.set(facecolor=COLOURS[0], edgecolor=COLOURS[0])
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.invert_yaxis()
    axes.set_xlim(0, limit)
    for place, column in enumerate(columns, start=1):
        beyond = int((column > limit).sum())
        note = f"+{beyond} beyond" if beyond else ("no points" if not column.size else "")
        style = {**BESIDE, "va": "center", "fontsize": 7, "annotation_clip": False}
        axes.annotate(note, (limit, place), xytext=(4, 0), **style)
    for threshold in THRESHOLDS_MM:
        axes.axvline(threshold, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_xlabel("radial error (mm), native resolution")
    axes.set_title(title or "Error of each landmark", loc="left", color=INK)
    _tidy(axes)
    axes.tick_params(axis="y", labelsize=8, length=0)
    figure.savefig(path)


def _mark_thresholds(axes: Axes, report: Report) -> None:
    shares = report.native.overall.sdr_percent
    for threshold, share in zip(THRESHOLDS_MM, shares, strict=True):
        axes.plot([threshold] * 2, [0, share], color=FAINT, linewidth=0.8, zorder=0)
        place = (threshold, share)
        axes.annotate(f"{share:.1f} %", place, xytext=(5, -9), fontsize=8, **BESIDE)


def _step(axes: Axes, errors_mm: Floats, colour: str, label: str, width: float) -> None:
    places = np.concatenate([[0.0], np.sort(errors_mm)])
    shares = 100 * np.arange(len(places)) / errors_mm.size
    axes.step(places, shares, where="post", color=colour, label=label, linewidth=width)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)


def _known(errors_mm: Floats) -> Floats:
    return errors_mm[np.isfinite(errors_mm)]


@dataclass(frozen=True)
class Panel:
    """One image of an overview: true points are rings, found ones dots coloured by error.

    ``image`` has known pixel spacing; ``found`` is None for the template.
    """

    image: GrayImage
    truth: Landmarks
    found: Landmarks | None
    title: str


def draw_overview(
    panels: Sequence[Panel], path: Path, *, columns: int = 6, title: str = ""
) -> None:
    """Draw one or more panels, so many columns to a row, as a PNG file."""
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    heights = [max(map(_aspect, row)) + HEADER for row in rows]
    # Placed by hand, in panel widths: an automatic layout leaves gaps between
    # panels of different shape.
    total = HEADING + sum(heights) + FOOTING
    figure = new_figure(columns * PANEL_INCHES, total * PANEL_INCHES)
    figure.set_layout_engine("none")
    figure.set_facecolor(GROUND)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        top = total - HEADING - sum(heights[:row]) - HEADER
        height = _aspect(panel) * PANEL
        left = column + (1 - PANEL) / 2
        box = (left / columns, (top - height) / total, PANEL / columns, height / total)
        _draw_panel(figure.add_axes(box), panel)
    place = (0.02 / columns, 1 - 0.5 * HEADING / total)
    figure.text(*place, title, color=TEXT, fontsize=13, va="center")
    figure.legend(
        handles=_legend_handles(),
        loc="center",
        bbox_to_anchor=(0.5, 0.5 * FOOTING / total),
        ncols=4,
        frameon=False,
        labelcolor=TEXT,
        fontsize=9,
    )
    figure.savefig(path, facecolor=GROUND)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    pixels = panel.image.pixels
    low, high = np.percentile(pixels, (0.5, 99.5))
    axes.imshow(
        pixels,
        cmap="gray",
        vmin=low,
        # Headroom keeps points visible on the brightest bone.
        vmax=high + 0.15 * (high - low),
        aspect=_pixel_aspect(panel.image),
        interpolation="antialiased",
    )
    y, x = panel.truth.with_points(panel.truth.placed).positions_yx.T
    axes.scatter(x, y, s=26, facecolors="none", edgecolors=TRUE, linewidths=0.9, zorder=2)
    if panel.found is not None:
        _draw_found(axes, panel, panel.found)
    axes.set_title(panel.title, color=TEXT, fontsize=8, pad=3)
    axes.set_xlim(-0.5, pixels.shape[1] - 0.5)
    axes.set_ylim(pixels.shape[0] - 0.5, -0.5)
    axes.set_axis_off()


def _draw_found(axes: Axes, panel: Panel, landmarks: Landmarks) -> None:
    true, found = ({p.name: p.position_yx for p in la.placed} for la in (panel.truth, landmarks))
    both = [name for name in found if name in true]
    if both:
        found_yx = np.array([found[name] for name in both])
        true_yx = np.array([true[name] for name in both])
        errors_mm = panel.image.geometry.distances_mm(found_yx, true_yx)
        colours = np.select([errors_mm < NEAR_MM, errors_mm < FAR_MM], [NEAR, MIDDLE], FAR).tolist()
        for (y0, x0), (y1, x1), colour in zip(true_yx, found_yx, colours, strict=True):
            axes.plot([x0, x1], [y0, y1], color=colour, linewidth=1.0, zorder=3)
        y, x = found_yx.T
        axes.scatter(x, y, s=9, c=colours, linewidths=0, zorder=4)
    only = np.array([found[name] for name in found if name not in true])
    if only.size:
        y, x = only.T
        axes.scatter(x, y, s=14, c=FAR, marker="x", linewidths=1, zorder=4)


def _pixel_aspect(image: GrayImage) -> float:
    spacing = image.geometry.spacing_mm_yx
    return 1.0 if spacing is None else spacing[0] / spacing[1]


def _aspect(panel: Panel) -> float:
    height, width = panel.image.pixels.shape
    return float(height / width * _pixel_aspect(panel.image))


def _legend_handles() -> list[Line2D]:
    from matplotlib.lines import Line2D

    def marker(label: str, colour: str, **style: Any) -> Line2D:
        style = {"marker": "o", "markersize": 5, "linewidth": 0, **style}
        return Line2D([], [], color=colour, label=label, **style)

    return [
        marker("true position", TRUE, markersize=6, markerfacecolor="none"),
        marker(f"found, less than {NEAR_MM:g} mm off", NEAR),
        marker(f"less than {FAR_MM:g} mm off", MIDDLE),
        marker("farther off", FAR),
    ]
