"""Names that image files give to units of length."""

from __future__ import annotations

_MM_PER_UNIT = {
    "m": 1e3,
    "meter": 1e3,
    "cm": 10.0,
    "centimeter": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "um": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    # ImageJ escapes what is not ASCII.
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "inch": 25.4,
    "in": 25.4,
}


def mm_per_unit(name: str) -> float | None:
    """Return the millimetres in a unit of length; None for an unknown name."""
    name = name.strip().lower()
    return _MM_PER_UNIT.get(name, _MM_PER_UNIT.get(name.removesuffix("s")))
