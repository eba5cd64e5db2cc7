"""The spacing that ImageJ or OME wrote into a TIFF file, with a unit of length."""

from __future__ import annotations

from typing import Any

import tifffile

from napari_oneshot_lmk.imaging.length_units import mm_per_unit
from napari_oneshot_lmk.imaging.spacing_source import SpacingSource
from napari_oneshot_lmk.imaging.stored_plane import StatedGeometry


def stated_spacing(file: Any) -> StatedGeometry:
    """Return what an open TIFF file states.

    The bare resolution is not used: scanners and graphics programs write 72, 96 or
    300 dots per inch there whatever was scanned, for printing.

    Parameters
    ----------
    file : tifffile.TiffFile
        Open.
    """
    if file.is_ome:
        return _of_ome(file.ome_metadata)
    if file.is_imagej:
        return _of_imagej(file)
    return StatedGeometry()


def _of_imagej(file: Any) -> StatedGeometry:
    mm = mm_per_unit(str((file.imagej_metadata or {}).get("unit", "")))
    tags = file.pages[0].tags
    steps = []
    for name in ("YResolution", "XResolution"):
        tag = tags.get(name)
        try:
            count, length = tag.value
        except (AttributeError, TypeError, ValueError):
            return StatedGeometry()
        if mm is None or not count or not length:
            return StatedGeometry()
        steps.append(mm * length / count)
    return StatedGeometry((steps[0], steps[1]), spacing_source=SpacingSource.IMAGEJ)


def _of_ome(metadata: str | None) -> StatedGeometry:
    try:
        images = tifffile.xml2dict(metadata or "")["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        steps = []
        for axis in "YX":
            # OME's default unit is the micrometre.
            mm = mm_per_unit(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
            steps.append(float(pixels[f"PhysicalSize{axis}"]) * (mm or float("nan")))
    except Exception:
        # Text of any shape: without these fields it states no spacing.
        return StatedGeometry()
    if not all(step == step for step in steps):
        return StatedGeometry()
    return StatedGeometry((steps[0], steps[1]), spacing_source=SpacingSource.OME)
