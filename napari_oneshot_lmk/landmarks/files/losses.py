"""What of landmarks a file format has no place for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmark import Landmarks, Provenance


def _spacing(landmarks: Landmarks) -> bool:
    geometry = landmarks.geometry
    return geometry is not None and geometry.spacing_mm_yx is not None


def _frame(landmarks: Landmarks) -> bool:
    geometry = landmarks.geometry
    if geometry is None:
        return False
    usual = Geometry(geometry.image_shape_yx, geometry.spacing_mm_yx)
    return geometry.with_network_shape(usual.network_shape_yx) != usual


_HOLDS: dict[str, Callable[[Landmarks], bool]] = {
    "scores": lambda la: any(p.score is not None for p in la),
    "marks of unsure points": lambda la: any(p.unsure for p in la),
    "shape residuals": lambda la: any(p.shape_residual_mm is not None for p in la),
    "sources": lambda la: any(p.source is not None for p in la),
    "descriptions": lambda la: any(p.description for p in la),
    "who made the points": lambda la: la.provenance != Provenance(),
    "pixel spacing": _spacing,
    "where the image lies in the patient": _frame,
    "size of the image": lambda la: la.geometry is not None,
}

THOUGHTS = ("scores", "marks of unsure points", "shape residuals")
SOURCES = "sources"
TEXTS = ("descriptions", "who made the points")
SPACING, FRAME, SIZE = list(_HOLDS)[-3:]


def present(images: Collection[Landmarks], things: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``things`` that at least one of the sets holds."""
    return tuple(
        thing
        for thing in _HOLDS
        if thing in set(things) and any(_HOLDS[thing](la) for la in images)
    )
