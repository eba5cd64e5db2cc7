"""How far bodies may differ from the template."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShapeVariation:
    """How far bodies differ from the template.

    All but the shift are fractions of the template's size, which is the
    root mean square distance of its landmarks from their centre.

    Parameters
    ----------
    shift_sd : float
        Standard deviation of the common shift, as a fraction of the frame's
        diagonal: how differently bodies are placed in the picture.
    affine_sd : float
        Of each entry of the affine map's deviation from identity.
    bend_sd : float
        Of the smooth deformation.
    bend_length : float
        Distance over which the smooth deformation stays alike.
    own_sd : float
        Of each landmark's own displacement.
    tail : float
        Squared standardised distance at which a point loses half its weight.
    slack : float
        Factor on the predicted standard deviation before a landmark's map is
        weighed with it: the similarity knows more about the place than the shape.
    """

    shift_sd: float = 0.1
    affine_sd: float = 0.2
    bend_sd: float = 0.06
    bend_length: float = 0.5
    own_sd: float = 0.05
    tail: float = 2.0
    slack: float = 2.0
