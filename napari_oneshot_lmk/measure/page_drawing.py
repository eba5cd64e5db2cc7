"""The page of an image, A4, drawn without a display: PDF with vector points, or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_oneshot_lmk._version import __version__
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Source
from napari_oneshot_lmk.measure.measurement import Value
from napari_oneshot_lmk.measure.page import Page
from napari_oneshot_lmk.measure.page_layout import (
    MM_PER_POINT,
    elided,
    font_families,
    name_places,
    text_width_mm,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, MARGIN = 210.0, 297.0, 13.0
INNER = WIDTH - 2 * MARGIN
DPI = 200
HEADER, ROW, LINE, GAP = 12.0, 4.5, 3.5, 3.5
LEGEND = LINE + 1
LEAST_PICTURE = 105.0
"""Height of the picture, however much there is to say; the table then goes on overleaf."""
COLUMNS = (0.0, 64.0, 88.0, 118.0, INNER)
"""Where name, value, norm, deviation and its bar begin; all but the name end right of there."""
BAR = (146.0, 180.0)
BAR_SDS = 3.0
"""Standard deviations at the ends of a bar."""
SMALL, NORMAL, LARGE = 6.5, 8.0, 13.0
NEAR_MM = 2.2
"""Between a point and its name; a name farther off has a line to it."""
MOST_NAMES = 45
"""Of more landmarks only the numbers are drawn."""
INK, FAINT, RULE = "#1c1c1c", "#666666", "#c8c8c8"
LINES, MEASURED = "#56B4E9", "#9ad0ee"
NAMES = "#ffffff"


@dataclass(frozen=True)
class Mark:
    """How a point looks that was decided in some way."""

    words: str
    shape: str
    colour: str
    hollow: bool = False


# Told apart by their shape, too. Okabe and Ito's colours, as light as radiographs need.
PERSON = Mark("placed or corrected", "s", "#2FD6A0")
ACCEPTED = Mark("accepted", "o", "#F5B335")
DETECTED = Mark("detected", "o", "#F5B335", hollow=True)
UNKNOWN = Mark("source unknown", "D", "#56B4E9")
UNSURE = Mark("detected, unsure", "^", "#FF6A4D", hollow=True)


def draw_page(page: Page) -> list[Figure]:
    """Draw a page; a long table goes on on further ones.

    Returns
    -------
    list of Figure
        A4, to be saved with `DPI`; the first has the picture.
    """
    facts = [
        (label, line, number == 0)
        for label, text in page.facts
        for number, line in enumerate(wrapped(text, INNER - 36, SMALL, 2))
    ]
    norms = [
        line
        for number, norm in enumerate(page.norms, start=1)
        for line in wrapped(f"{number} {norm.source}: {norm.population}", INNER, SMALL, 2)
    ]
    foot = LINE * (len(facts) + len(norms)) + 2 * GAP
    room = HEIGHT - 2 * MARGIN - HEADER - foot - ROW - 2 * GAP
    rows = list(page.values)
    picture = min(_highest(page), max(LEAST_PICTURE, room - ROW * len(rows)))
    fitting = max(1, int((room - picture) / ROW))
    figure, axes = _sheet(page)
    y = MARGIN + HEADER
    _draw_picture(figure, page, y, picture)
    y = _draw_table(axes, page, rows[:fitting], y + picture + GAP)
    _draw_foot(axes, facts, norms, y + GAP + LINE / 2)
    later = rows[fitting:]
    figures = [figure]
    per_page = int((HEIGHT - 2 * MARGIN - HEADER - 3 * ROW) / ROW)
    for first in range(0, len(later), per_page):
        figure, axes = _sheet(page)
        _draw_table(axes, page, later[first : first + per_page], MARGIN + HEADER)
        figures.append(figure)
    return figures


def _sheet(page: Page) -> tuple[Figure, Axes]:
    """Return an empty sheet with its header, and axes in millimetres from the upper left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 25.4, HEIGHT / 25.4), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.set_axis_off()
    right = f"napari-oneshot-lmk {__version__}"
    title = elided(page.title, INNER / 3, NORMAL)
    room = INNER - max(text_width_mm(each, NORMAL) for each in (title, right)) - 6
    name = elided(page.name, room, LARGE, bold=True)
    _write(axes, MARGIN, MARGIN + 4, name, LARGE, weight="bold")
    _write(axes, WIDTH - MARGIN, MARGIN + 2, title, NORMAL, ha="right")
    _write(axes, WIDTH - MARGIN, MARGIN + 6, right, SMALL, ha="right", color=FAINT)
    _rule(axes, MARGIN + 9.5, INK)
    return figure, axes


def _write(axes: Axes, x: float, y: float, text: str, size: float, **style: Any) -> None:
    """Write a line centred on y; nothing in it is taken for a formula."""
    style = {"color": INK, "ha": "left", "va": "center", **style}
    axes.text(
        x, y, text, fontsize=size, fontfamily=list(font_families()), parse_math=False, **style
    )


def _rule(axes: Axes, y: float, colour: str = RULE) -> None:
    axes.plot([MARGIN, WIDTH - MARGIN], [y, y], color=colour, linewidth=0.5)


# -- the picture -------------------------------------------------------------------------


def _size_px(page: Page) -> tuple[float, float]:
    """Return height and width of the image in units in which its pixels are square."""
    (rows, columns), (tall, wide) = page.image.pixels.shape, _spacing(page) or (1.0, 1.0)
    return rows * tall, columns * wide


def _highest(page: Page) -> float:
    """Return the height of the picture and its legend at the sheet's whole width."""
    tall, wide = _size_px(page)
    return tall / wide * INNER + LEGEND


def _draw_picture(figure: Figure, page: Page, top: float, height: float) -> None:
    """Draw the image as large as fits, centred, with tracing, points and their names."""
    pixels, spacing = page.image.pixels, _spacing(page)
    rows, columns = pixels.shape
    step_yx = np.array(spacing or (1.0, 1.0))
    tall, wide = _size_px(page)
    scale = min((height - LEGEND) / tall, INNER / wide)
    size = tall * scale, wide * scale
    left = (WIDTH - size[1]) / 2
    box = (left / WIDTH, 1 - (top + size[0]) / HEIGHT, size[1] / WIDTH, size[0] / HEIGHT)
    axes = figure.add_axes(box)
    low, high = np.percentile(pixels, (0.5, 99.5))
    if low == high:
        low, high = float(pixels.min()), float(pixels.max())
    axes.imshow(
        pixels, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="antialiased"
    )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_axis_off()
    for line in page.lines:
        y, x = np.array(line.points_yx).T
        style = (MEASURED, 0.5, (0, (4, 2))) if line.measured else (LINES, 0.9, "-")
        axes.plot(x, y, color=style[0], linewidth=style[1], linestyle=style[2], zorder=2)
    marks = [_mark(point) for point in page.landmarks.placed]
    places = page.landmarks.with_points(page.landmarks.placed).positions_yx
    for mark in dict.fromkeys(marks):
        y, x = places[[m == mark for m in marks]].T
        _draw_marks(axes, x, y, mark)
    # Pixel centres lie at whole numbers, half a pixel from the edge.
    points_mm = (places + 0.5) * step_yx * scale
    _draw_names(axes, page, points_mm, size)
    sheet = figure.axes[0]
    _draw_legend(sheet, list(dict.fromkeys(marks)), top + size[0] + LEGEND - 1)
    if spacing is not None:
        _draw_scale_bar(sheet, left + size[1], top + size[0] + LEGEND - 1, scale, size[1])


def _spacing(page: Page) -> tuple[float, float] | None:
    geometry = page.landmarks.geometry
    return None if geometry is None else geometry.spacing_mm_yx


def _mark(point: Landmark) -> Mark:
    if point.source is None:
        return UNKNOWN
    if point.is_position_of_person:
        return PERSON
    if point.source is Source.ACCEPTED:
        return ACCEPTED
    return UNSURE if point.unsure else DETECTED


def _draw_marks(axes: Axes, x: Any, y: Any, mark: Mark) -> None:
    from matplotlib.patheffects import Normal, withStroke

    face = "none" if mark.hollow else mark.colour
    drawn = axes.scatter(
        x, y, s=11, marker=mark.shape, facecolors=face, edgecolors=mark.colour, linewidths=0.8
    )
    drawn.set_zorder(4)
    # Bone is as bright as a mark, air as dark as its rim.
    drawn.set_path_effects([withStroke(linewidth=1.8, foreground="black"), Normal()])


def _draw_names(axes: Axes, page: Page, points_mm: Any, size: tuple[float, float]) -> None:
    from matplotlib.patheffects import withStroke

    placed, every = page.landmarks.placed, page.landmarks.names
    texts = [p.name if len(placed) <= MOST_NAMES else str(every.index(p.name) + 1) for p in placed]
    points = 5.5 if len(placed) <= 25 else 4.5
    texts = [elided(text.replace("_", " "), 34, points) for text in texts]
    sizes = [(points * MM_PER_POINT * 1.1, text_width_mm(text, points)) for text in texts]
    corners = name_places(points_mm, sizes, size, 1.3)
    for text, dot, corner, name in zip(texts, points_mm, corners, sizes, strict=True):
        # Axes fractions, so that names keep their places on the sheet whatever the pixels are.
        near = np.clip(dot, corner, corner + name)
        ends = np.array([dot, near])
        if np.hypot(*(near - dot)) > NEAR_MM:
            x, y = ends[:, 1] / size[1], 1 - ends[:, 0] / size[0]
            axes.plot(x, y, color=NAMES, linewidth=0.4, transform=axes.transAxes, zorder=3)
        axes.text(
            corner[1] / size[1],
            1 - (corner[0] + name[0] / 2) / size[0],
            text,
            fontsize=points,
            color=NAMES,
            va="center",
            transform=axes.transAxes,
            parse_math=False,
            fontfamily=list(font_families()),
            path_effects=[withStroke(linewidth=1.2, foreground="black")],
            zorder=5,
        )


def _draw_legend(axes: Axes, marks: Sequence[Mark], y: float) -> None:
    x = MARGIN
    for mark in (each for each in (PERSON, ACCEPTED, DETECTED, UNSURE, UNKNOWN) if each in marks):
        _draw_marks(axes, [x + 1], [y], mark)
        _write(axes, x + 3, y, mark.words, SMALL, color=FAINT)
        x += 7 + text_width_mm(mark.words, SMALL)


def _draw_scale_bar(axes: Axes, right: float, y: float, scale: float, width: float) -> None:
    """Draw the longest round length that is no more than a fifth of the picture."""
    round_mm = [a * 10.0**b for b in range(-4, 6) for a in (1, 2, 5)]
    fitting = [mm for mm in round_mm if mm * scale <= width / 5]
    if fitting and right - MARGIN > 80:
        mm = fitting[-1]
        axes.plot([right - mm * scale, right], [y, y], color=INK, linewidth=1.2)
        _write(axes, right - mm * scale - 1.5, y, f"{mm:g} mm", SMALL, ha="right", color=FAINT)


# -- the table ---------------------------------------------------------------------------


def _draw_table(axes: Axes, page: Page, values: Sequence[Value], y: float) -> float:
    """Draw rows from y on; return where they end."""
    titles = ("measurement", "value", "norm", "from the norm")
    aligned = ("left", "right", "right", "right")
    xs = [MARGIN + x for x in (COLUMNS[0], COLUMNS[2] - 3, COLUMNS[3] - 3, BAR[0] - 4)]
    shown = 4 if page.norms else 2
    for x, title, ha in list(zip(xs, titles, aligned, strict=True))[:shown]:
        _write(axes, x, y + ROW / 2, title, SMALL, ha=ha, color=FAINT)
    for sds in (-2, 0, 2) if any(v.deviation_sd is not None for v in page.values) else ():
        x = _bar_x(sds)
        _write(
            axes,
            x,
            y + ROW / 2,
            f"{sds:+d} SD" if sds else "0",
            SMALL - 1,
            ha="center",
            color=FAINT,
        )
    y += ROW
    _rule(axes, y)
    for value in values:
        _draw_row(axes, page, value, y, xs)
        y += ROW
    _rule(axes, y)
    return y


def _draw_row(axes: Axes, page: Page, value: Value, y: float, xs: Sequence[float]) -> None:
    middle = y + ROW / 2
    name = elided(value.measurement.name, COLUMNS[1] - 2, NORMAL)
    if value.value is None:
        _write(axes, xs[0], middle, name, NORMAL, color=FAINT)
        reason = elided(value.missing, INNER - COLUMNS[1] - 4, SMALL)
        _write(axes, MARGIN + COLUMNS[1] + 2, middle, reason, SMALL, color=FAINT)
        return
    _write(axes, xs[0], middle, name, NORMAL)
    _write(axes, xs[1], middle, f"{value.value:.1f} {value.unit}", NORMAL, ha="right")
    norm, number = value.measurement.norm, page.norm_number(value)
    if norm is None:
        return
    spread = "" if norm.sd is None else f" ± {norm.sd:g}"
    _write(axes, xs[2], middle, f"{norm.mean:g}{spread} ", NORMAL, ha="right")
    _write(axes, xs[2] + 0.3, middle - 0.8, str(number), SMALL - 1, color=FAINT)
    if value.deviation is None:
        return
    _write(axes, xs[3], middle, deviation_text(value), NORMAL, ha="right")
    if value.deviation_sd is not None:
        _draw_bar(axes, value.deviation_sd, middle)


def deviation_text(value: Value) -> str:
    """Say how far a value lies from its norm: in standard deviations, else in its unit."""
    if value.deviation_sd is not None:
        return f"{value.deviation_sd:+.1f} SD"
    return "" if value.deviation is None else f"{value.deviation:+.1f} {value.unit}"


def _bar_x(sds: float) -> float:
    low, high = MARGIN + BAR[0], MARGIN + BAR[1]
    return float(np.interp(sds, [-BAR_SDS, BAR_SDS], [low, high]))


def _draw_bar(axes: Axes, sds: float, y: float) -> None:
    """Draw where a value lies between -3 and 3 standard deviations; beyond them an arrow."""
    axes.plot([_bar_x(-BAR_SDS), _bar_x(BAR_SDS)], [y, y], color=RULE, linewidth=0.6)
    for tick in range(-2, 3):
        x, tall = _bar_x(tick), 0.9 if tick == 0 else 0.5
        axes.plot([x, x], [y - tall, y + tall], color=FAINT, linewidth=0.6)
    beyond = "<" if sds < -BAR_SDS else ">" if sds > BAR_SDS else "o"
    near = abs(sds) <= 2
    axes.plot(
        [_bar_x(sds)], [y], beyond, color=INK, markersize=3.4, fillstyle="none" if near else "full"
    )


def _draw_foot(
    axes: Axes, facts: Sequence[tuple[str, str, bool]], norms: Sequence[str], y: float
) -> None:
    for label, text, first in facts:
        if first:
            _write(axes, MARGIN, y, elided(label, 34, SMALL), SMALL, color=FAINT)
        _write(axes, MARGIN + 36, y, text, SMALL)
        y += LINE
    y += GAP / 2
    for text in norms:
        _write(axes, MARGIN, y, text, SMALL, color=FAINT)
        y += LINE
