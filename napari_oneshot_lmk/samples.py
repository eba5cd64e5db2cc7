"""The sample images: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from napari_oneshot_lmk.errors import UsageError


def sample_folder(anatomy: str) -> Path:
    """Return the shipped data folder of an anatomy, "skull" or "hand".

    Raises
    ------
    UsageError
        If there is none.
    """
    package = Path(__file__).resolve().parent
    homes = (package / "sample_data", package.parent / "sample_data")
    for home in homes:
        if (home / anatomy / "dataset.json").is_file():
            return home / anatomy
    known = sorted({file.parent.name for home in homes for file in home.glob("*/dataset.json")})
    raise UsageError(
        f"there are no samples of {anatomy!r}",
        remedy=f"choose one of {', '.join(known)}"
        if known
        else "install the package again, or run make samples in a checkout",
    )
