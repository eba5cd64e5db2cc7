"""File names in the Unicode form in which the disk has them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def on_disk(path: Path) -> Path:
    """Return a path as the disk spells it, where only the Unicode form differs.

    "ä" is one character or two: macOS and archives made there have two, keyboards
    and tables one. Linux and Windows take them for different names.

    Parameters
    ----------
    path : Path
        As typed, or as it stands in a table.

    Returns
    -------
    Path
        The same one where it exists, or where nothing fits or several things do.
    """
    if os.path.lexists(path):
        return path
    real = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        step = real / part
        if not os.path.lexists(step):
            wanted = unicodedata.normalize("NFC", part)
            try:
                names = [entry.name for entry in real.iterdir()]
            except OSError:
                return path
            same = [n for n in names if unicodedata.normalize("NFC", n) == wanted]
            if len(same) != 1:
                return path
            step = real / same[0]
        real = step
    return real
