"""One picture with found and true points on the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_oneshot_lmk.evaluation.plots import new_figure
from napari_oneshot_lmk.geometry import Points
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUND = "#15181C"
WORDS = "#E8E8E8"
TRUE = "#FFFFFF"
# Okabe and Ito's blue-green, orange and vermilion, light enough for dark bone.
NEAR, MIDDLE, FAR = "#2FD6A0", "#F5B335", "#FF6A4D"
NEAR_MM, FAR_MM = 2.0, 4.0
PANEL_INCHES = 2.15
PANEL, HEADER, HEADING, FOOTING = 0.97, 0.11, 0.16, 0.18
"""Width of an image, its title, the picture's title and key, in panel widths."""


@dataclass(frozen=True)
class Panel:
    """One image of the picture.

    Parameters
    ----------
    image : GrayImage
        With known pixel spacing, so that errors have a colour.
    truth : Landmarks
        Drawn as rings.
    found : Landmarks, optional
        Drawn as dots, coloured by error; None for the template.
    title : str
        Above the image.
    """

    image: GrayImage
    truth: Landmarks
    found: Landmarks | None
    title: str


def draw_overview(
    panels: Sequence[Panel], path: Path, *, columns: int = 6, title: str = ""
) -> None:
    """Draw panels row by row and write them as PNG.

    Parameters
    ----------
    panels : sequence of Panel
        At least one.
    path : Path
        The picture.
    columns : int
        Panels in a row.
    title : str
        Above the picture.
    """
    rows = -(-len(panels) // columns)
    heights = [
        max(_aspect(p) for p in panels[r * columns : (r + 1) * columns]) + HEADER
        for r in range(rows)
    ]
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
    figure.text(
        0.02 / columns, 1 - 0.5 * HEADING / total, title, color=WORDS, fontsize=13, va="center"
    )
    figure.legend(
        handles=_key(),
        loc="center",
        bbox_to_anchor=(0.5, 0.5 * FOOTING / total),
        ncols=4,
        frameon=False,
        labelcolor=WORDS,
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
    true = _placed(panel.truth)
    axes.scatter(
        [x for _, x in true.values()],
        [y for y, _ in true.values()],
        s=26,
        facecolors="none",
        edgecolors=TRUE,
        linewidths=0.9,
        zorder=2,
    )
    if panel.found is not None:
        _draw_found(axes, panel, true, _placed(panel.found))
    axes.set_title(panel.title, color=WORDS, fontsize=8, pad=3)
    axes.set_xlim(-0.5, pixels.shape[1] - 0.5)
    axes.set_ylim(pixels.shape[0] - 0.5, -0.5)
    axes.set_axis_off()


def _draw_found(
    axes: Axes,
    panel: Panel,
    true: dict[str, tuple[float, float]],
    found: dict[str, tuple[float, float]],
) -> None:
    both = [name for name in found if name in true]
    if both:
        found_yx = np.array([found[name] for name in both])
        true_yx = np.array([true[name] for name in both])
        errors_mm = panel.image.geometry.distances_mm(found_yx, true_yx)
        colours = _error_colours(errors_mm)
        ends = np.stack([true_yx, found_yx])
        for index, colour in enumerate(colours):
            y, x = ends[:, index].T
            axes.plot(x, y, color=colour, linewidth=1.0, zorder=3)
        y, x = found_yx.T
        axes.scatter(x, y, s=9, c=colours, linewidths=0, zorder=4)
    only = np.array([found[name] for name in found if name not in true])
    if only.size:
        y, x = only.T
        axes.scatter(x, y, s=14, c=FAR, marker="x", linewidths=1, zorder=4)


def _placed(landmarks: Landmarks) -> dict[str, tuple[float, float]]:
    return {
        point.name: point.position_yx
        for point in landmarks
        if point.state is State.PLACED and point.position_yx is not None
    }


def _error_colours(errors_mm: Points) -> list[str]:
    return [NEAR if error < NEAR_MM else MIDDLE if error < FAR_MM else FAR for error in errors_mm]


def _pixel_aspect(image: GrayImage) -> float:
    spacing = image.geometry.spacing_mm_yx
    return 1.0 if spacing is None else spacing[0] / spacing[1]


def _aspect(panel: Panel) -> float:
    height, width = panel.image.pixels.shape
    return float(height / width * _pixel_aspect(panel.image))


def _key() -> list[object]:
    from matplotlib.lines import Line2D

    def dot(colour: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", markersize=5, lw=0, label=label)

    ring = Line2D(
        [],
        [],
        marker="o",
        markersize=6,
        lw=0,
        markerfacecolor="none",
        markeredgecolor=TRUE,
        label="true position",
    )
    return [
        ring,
        dot(NEAR, f"found, less than {NEAR_MM:g} mm off"),
        dot(MIDDLE, f"less than {FAR_MM:g} mm off"),
        dot(FAR, "farther off"),
    ]
