"""Two rows of teeth: crown, root, pulp, now and then a filling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.outline import Drawing, Outline, make_outline

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Tooth:
    """One tooth: its edge's middle, its axis and its sizes in mm.

    Parameters
    ----------
    name : str
        Landmark at the incisal edge, or empty.
    tip_xy : tuple of float
        Middle of the biting edge.
    axis_deg : float
        Direction from the edge to the apex: 0 up, growing towards the front.
    width, crown, root : float
        Sizes of the crown and the root.
    roots : int
        One or two.
    """

    name: str
    tip_xy: tuple[float, float]
    axis_deg: float
    width: float
    crown: float
    root: float
    roots: int = 1

    @property
    def apex_xy(self) -> Points:
        """Middle of the root's end."""
        apex = np.array([[0.0, self.crown + self.root]])
        return np.asarray(self.frame(apex)[0])

    def frame(self, local: Points) -> Points:
        """Map (across, along from the edge) to the drawing's millimetres."""
        angle = np.deg2rad(self.axis_deg)
        along = np.array([np.sin(angle), -np.cos(angle)])
        across = np.array([np.cos(angle), np.sin(angle)])
        return np.asarray(np.array(self.tip_xy) + local[:, :1] * across + local[:, 1:] * along)

    def crown_outline(self) -> Outline:
        """Return the enamel cap; an incisor is a wedge."""
        w, c = self.width / 2, self.crown
        if self.name:
            edge: Drawing = [
                (0, 0, self.name),
                (0.3 * w, 0.07 * c),
                (0.68 * w, 0.5 * c),
                (0.8 * w, c),
                (0, 1.12 * c),
                (-0.8 * w, c),
                (-0.7 * w, 0.5 * c),
                (-0.3 * w, 0.07 * c),
            ]
            return self._placed(edge)
        cusps: Drawing = [
            (0, 0.14 * c),
            (0.55 * w, 0),
            (w, 0.35 * c),
            (0.82 * w, c),
            (0, 1.1 * c),
            (-0.82 * w, c),
            (-w, 0.35 * c),
            (-0.55 * w, 0),
        ]
        return self._placed(cusps)

    def root_outlines(self) -> list[Outline]:
        """Return the dentine below the cap, one outline a root."""
        w, c, end = 0.8 * self.width / 2, self.crown, self.crown + self.root
        if self.roots == 1:
            cone: Drawing = [
                (w, 0.7 * c),
                (0.85 * w, c + 0.4 * self.root),
                (0.25 * w, end),
                (-0.25 * w, end),
                (-0.85 * w, c + 0.4 * self.root),
                (-w, 0.7 * c),
            ]
            return [self._placed(cone)]
        outlines = []
        for side in (-w, w):
            prong: Drawing = [
                (side, 0.7 * c),
                (1.05 * side, c + 0.45 * self.root),
                (0.8 * side, end),
                (0.55 * side, end),
                (0.25 * side, c + 0.4 * self.root),
                (-0.1 * side, 0.8 * c),
            ]
            outlines.append(self._placed(prong))
        return outlines

    def pulp(self) -> Outline:
        """Return the line of the pulp, from the crown to near the apex."""
        ends = [(0.0, 0.65 * self.crown), (0.0, self.crown + 0.85 * self.root)]
        return self._placed(ends, closed=False)

    def _placed(self, shape: Drawing, closed: bool = True) -> Outline:
        outline = make_outline(shape, closed)
        points = self.frame(outline.points_xy)
        return Outline(points, outline.names, outline.corners, closed)


UPPER: tuple[Tooth, ...] = (
    Tooth("upper_incisal_incision", (76.2, 73.2), -22, 7.4, 10.5, 13),
    Tooth("", (69.5, 72.4), -14, 7.4, 9.5, 16),
    Tooth("", (62.3, 70.6), -8, 6.8, 7.6, 13.5),
    Tooth("", (55.2, 69.6), -4, 6.7, 7.2, 13),
    Tooth("", (46.2, 68.3), 0, 10.2, 6.6, 12, 2),
    Tooth("", (36.2, 66.6), 4, 9.6, 6.4, 11.5, 2),
)
LOWER: tuple[Tooth, ...] = (
    Tooth("lower_incisal_incision", (73.0, 69.7), 204, 6.4, 9.0, 13),
    Tooth("", (66.3, 71.3), 197, 7.0, 9.5, 15),
    Tooth("", (59.0, 70.5), 192, 7.0, 7.8, 13.5),
    Tooth("", (51.8, 69.4), 187, 7.1, 7.4, 13),
    Tooth("", (42.4, 68.0), 182, 11.0, 6.8, 12.5, 2),
    Tooth("", (31.6, 66.3), 174, 10.4, 6.6, 11.5, 2),
)
