"""How far subjects may differ from the template."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShapeVariation:
    """How far subjects differ from the template.

    All but the shift are in units of the template's size, the root mean square distance
    of its landmarks from their centre.
    """

    shift_sd: float = 0.1
    """Standard deviation of the common shift, as a fraction of the frame's diagonal."""
    affine_sd: float = 0.2
    """Of each entry of the affine map's deviation from identity."""
    bend_sd: float = 0.06
    """Of the smooth deformation."""
    bend_length: float = 0.5
    """Distance over which the smooth deformation stays alike."""
    own_sd: float = 0.05
    """Of each landmark's own displacement."""
    tail: float = 2.0
    """Squared standardised distance at which a point loses half its weight."""
    slack: float = 2.0
    """Factor on the predicted standard deviation before it is combined with a landmark's
    map: similarity is more precise about the place than shape."""
