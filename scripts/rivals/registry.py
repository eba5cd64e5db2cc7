"""The rivals by name."""

from __future__ import annotations

from napari_oneshot_lmk.errors import UsageError
from rivals.cc2d import CC2D, CC2DPlus16, CC2DPlus304
from rivals.fmosd import FMOSDCoarse, FMOSDCoarseVGG19
from rivals.fmosd_fine import FMOSDFine, FMOSDFineVGG19
from rivals.rival import Rival
from rivals.sam import SAM
from rivals.student import Student
from rivals.uod import UOD

RIVALS: dict[str, type[Rival]] = {
    each.name: each
    for each in (
        *(SAM, UOD, CC2D, CC2DPlus16, CC2DPlus304, Student),
        *(FMOSDCoarse, FMOSDCoarseVGG19, FMOSDFine, FMOSDFineVGG19),
    )
}
"""In the order of the paper's table 1."""


def find_rival(name: str) -> type[Rival]:
    """Return a rival; a UsageError says if there is none of this name."""
    if name not in RIVALS:
        raise UsageError(f"there is no rival {name!r}", remedy=f"choose from {', '.join(RIVALS)}")
    return RIVALS[name]
