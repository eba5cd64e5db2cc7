"""Reading and preparing images inside a MONAI pipeline.

MONAI takes seconds to import, so detection calls `read_image` and `prepare_image` instead, which
give the same; tests hold both to each other. None of MONAI's own readers says whether a spacing
stands in the file or was made up: `GrayPlaneReader` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from monai.config import PathLike
from monai.data import ImageReader
from monai.transforms import Compose
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from napari_oneshot_lmk.imaging.formats import is_image_name, read_plane
from napari_oneshot_lmk.imaging.formats.base import ImagePlane, StatedGeometry
from napari_oneshot_lmk.imaging.reader import to_gray
from napari_oneshot_lmk.imaging.transforms import preprocessing_config


class GrayPlaneReader(ImageReader):
    """Read one grey plane from DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG, BMP.

    The array is (rows, columns), float32, larger is brighter; the axes of its ``affine`` have
    that order, too, where those of MONAI's other readers are (x, y). Metadata beside MONAI's
    own: the fields of `StatedGeometry` (``spacing_mm_yx`` is None where the file does not
    state it) and ``notes`` for the user. ``slice_index`` is the slice or frame, from 0.
    """

    def __init__(self, slice_index: int | None = None) -> None:
        super().__init__()
        self.slice_index = slice_index

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Say whether the names end like images, or have no ending at all."""
        paths = [Path(name) for name in ensure_tuple(filename)]
        return all(is_image_name(path) or not path.suffix for path in paths)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> ImagePlane:
        """Read one file; raise an ImageError as `read_plane`."""
        (name,) = ensure_tuple(data)
        return read_plane(Path(name), self.slice_index)

    def get_data(self, img: ImagePlane) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the (rows, columns) array and the metadata of a read image."""
        gray = to_gray(img.values)
        monai = {"affine": _affine_ras(img.stated), "spatial_shape": np.array(gray.shape)}
        own = {**asdict(img.stated), "notes": img.notes}
        return gray, {**monai, "original_channel_dim": "no_channel", **own}


def _affine_ras(stated: StatedGeometry) -> NDArray[np.float64]:
    """Return MONAI's (4, 4) matrix from (row, column, 0) to RAS mm, or to pixels."""
    dy, dx = stated.spacing_mm_yx or (1.0, 1.0)
    if not np.isfinite([dy, dx]).all():
        # Refused later, with a sentence, unless the user gives another.
        dy = dx = 1.0
    rows, columns = np.array(stated.row_axis_lps), np.array(stated.column_axis_lps)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = rows * dy, columns * dx
    lps[:3, 2] = np.cross(rows, columns)
    lps[:3, 3] = stated.origin_lps_mm
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def preprocessing(network_shape_yx: tuple[int, int]) -> Compose:
    """Return the steps of `preprocessing_config` as MONAI runs them in a bundle."""
    parser = ConfigParser(
        {
            "imports": ["$import torch"],
            "network_shape_yx": list(network_shape_yx),
            "preprocessing": {"_target_": "Compose", "transforms": preprocessing_config()},
        }
    )
    return parser.get_parsed_content("preprocessing")
