"""The turn that a camera or a scanner notes for viewers (EXIF, TIFF)."""

from __future__ import annotations

_MEANING = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored, upside down",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 270 degrees",
    8: "turned by 270 degrees",
}


def orientation_notes(value: object) -> tuple[str, ...]:
    """Return a sentence where a file wants to be shown turned.

    Pixels stay in the order in which they are stored, which is how napari shows
    them too: landmarks belong to that grid.

    Parameters
    ----------
    value : object
        Of the tag *Orientation*: 1 is upright, 2 to 8 are not, all else is nothing.
    """
    meaning = _MEANING.get(value) if isinstance(value, int) else None
    if meaning is None:
        return ()
    return (
        f"the file asks viewers to show it {meaning} (orientation {value}), which is "
        "not applied: rows and columns are those that are stored, as in napari",
    )
