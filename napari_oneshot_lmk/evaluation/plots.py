"""Pictures of an evaluation, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.evaluation.accuracy import THRESHOLDS_MM, Floats
from napari_oneshot_lmk.evaluation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#333333"
FAINT = "#BBBBBB"
FEWEST_FOR_A_BOX = 5


def new_figure(width: float, height: float) -> Figure:
    """Return a figure (inches) that needs no window and no pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_cumulative_error(reports: Mapping[str, Report], path: Path, *, title: str = "") -> None:
    """Draw the share of landmarks below each error, and write it as PNG.

    Parameters
    ----------
    reports : mapping of str to Report
        Name of the method to its report. With one report both scorings are
        drawn, with several only the native one.
    path : Path
        The picture.
    title : str
        Above the picture.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    alone = len(reports) == 1
    highest = 0.0
    for (name, report), colour in zip(reports.items(), _colours(len(reports)), strict=True):
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
    """Draw a box of native errors for each landmark, and write it as PNG.

    Boxes hold the middle half, whiskers 5 to 95 %, dots what lies beyond; fewer
    than five errors are drawn one by one. Errors off the right-hand side are
    counted in the margin, not dropped in silence.

    Parameters
    ----------
    report : Report
        What to draw; landmarks keep their order.
    path : Path
        The picture.
    title : str
        Above the picture.
    """
    names = list(report.table.landmarks)
    columns = [_known(column) for column in report.table.native_mm().T]
    everything = np.concatenate(columns) if columns else np.empty(0)
    figure = new_figure(7.2, 1.4 + 0.26 * max(len(names), 3))
    axes = figure.add_subplot()
    limit = float(np.clip(np.percentile(everything, 99), 5, 20)) if everything.size else 5.0
    for place, column in enumerate(columns, start=1):
        if column.size < FEWEST_FOR_A_BOX:
            axes.plot(column, [place] * column.size, "o", color=COLOURS[0], markersize=4)
    drawn = axes.boxplot(
        [c if c.size >= FEWEST_FOR_A_BOX else [] for c in columns],
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
        axes.annotate(
            note,
            (limit, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=INK,
            annotation_clip=False,
        )
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
        axes.annotate(
            f"{share:.1f} %",
            (threshold, share),
            xytext=(5, -9),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )


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


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _known(errors_mm: Floats) -> Floats:
    return errors_mm[np.isfinite(errors_mm)]
