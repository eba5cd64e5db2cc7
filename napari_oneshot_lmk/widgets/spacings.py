"""The pixel spacing of each open image: what its layer says, or what the user typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_oneshot_lmk.geometry import checked_spacing
from napari_oneshot_lmk.widgets.layers import Spacing, spacing_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_oneshot_lmk.geometry import Geometry


class Spacings:
    """Spacings by image layer; those of all slices of a stack are one."""

    def __init__(self) -> None:
        self._given: dict[Hashable, Spacing] = {}

    def of(self, layer: Any) -> Spacing:
        """Return what the user gave for a layer, else what the layer says."""
        return self._given.get(layer.unique_id) or spacing_of(layer)

    def give(self, layer: Any, mm_yx: tuple[float, float] | float | None) -> None:
        """Set a layer's spacing; None goes back to its own.

        Raises
        ------
        GeometryError
            If it is zero, negative or absurd.
        """
        if mm_yx is None:
            self._given.pop(layer.unique_id, None)
        else:
            self._given[layer.unique_id] = Spacing(checked_spacing(mm_yx))

    def give_that_of(self, layer: Any, geometry: Geometry | None) -> None:
        """Set the spacing that landmarks were made with, where it is known."""
        mm_yx = None if geometry is None else geometry.spacing_mm_yx
        if mm_yx is not None and mm_yx != self.of(layer).mm_yx:
            self.give(layer, mm_yx)

    def forget(self, layer: Any) -> None:
        """Drop what was given for a layer that was removed."""
        self._given.pop(layer.unique_id, None)
