"""MONAI transforms from an image file, or an image in memory, to the network's input.

`preprocessing_config` states the steps once, for detection, training and exported bundles.
Points follow by `Geometry.points_to_network`, exact in double precision. None of MONAI's
readers says whether a spacing stands in the file or was made up: `GrayPlaneReader` does.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.config import PathLike
from monai.data import ImageReader
from monai.transforms import Compose, LoadImage, MapTransform
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.formats import is_image_name, read_plane
from napari_oneshot_lmk.imaging.formats.base import ImagePlane, StatedGeometry
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage

DARKEST_PERCENT = 0.1
BRIGHTEST_PERCENT = 99.9

# ITU-R BT.601: the eye's brightness of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


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
        gray = _to_gray(img.values)
        monai = {"affine": _affine_ras(img.stated), "spatial_shape": np.array(gray.shape)}
        own = {**asdict(img.stated), "notes": img.notes}
        return gray, {**monai, "original_channel_dim": "no_channel", **own}


def _to_gray(values: NDArray[Any]) -> NDArray[np.float32]:
    """Turn (H, W) or (H, W, C) into (H, W); alpha is left out."""
    if np.iscomplexobj(values):
        raise ImageError("the image holds complex numbers", remedy="save its magnitude")
    if values.ndim == 2:
        return values.astype(np.float32)
    channels = values.shape[-1]
    if channels > 4:
        raise ImageError(
            f"the image has {channels} colour channels", remedy="save it as grey or RGB"
        )
    first = values[..., 0]
    is_gray = channels < 3 or (
        np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2])
    )
    return first.astype(np.float32) if is_gray else values[..., :3].astype(np.float32) @ _LUMA


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


@lru_cache(maxsize=1)
def image_loader() -> LoadImage:
    """Return MONAI's loader, without its reports of optional packages that are not there."""
    gpu_plugin = logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")
    level = gpu_plugin.level
    gpu_plugin.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LoadImage(image_only=True, dtype=np.float32)
    finally:
        gpu_plugin.setLevel(level)


def preprocessing_config(scaling: str = "ScaleIntensityRangePercentilesd") -> list[dict[str, Any]]:
    """Return the steps from a (1, rows, columns) image to the network's input.

    They are written as in a MONAI bundle: the key is ``image``, the configuration around
    them imports torch and holds ``network_shape_yx``. The image is resampled bilinearly and
    antialiased. Grey values are scaled to 0..1 from the 0.1th to the 99.9th percentile, so that
    8-bit scans, 12-bit detectors and Hounsfield units look alike whatever a burnt-in marker or
    a dead pixel holds. The percentiles of the small image are those of the large one up to
    noise, at a fraction of the time.
    """
    return [
        {
            "_target_": "Lambdad",
            "keys": "image",
            "func": "$lambda image: torch.nn.functional.interpolate("
            "image[None], tuple(@network_shape_yx), mode='bilinear', "
            "align_corners=False, antialias=True)[0]",
        },
        {
            "_target_": scaling,
            "keys": "image",
            **{"lower": DARKEST_PERCENT, "upper": BRIGHTEST_PERCENT},
            **{"b_min": 0.0, "b_max": 1.0, "clip": True},
        },
    ]


class ScalePercentilesd(MapTransform):
    """MONAI's ScaleIntensityRangePercentilesd up to rounding, for one image in main memory.

    NumPy's percentiles take a tenth of the time of torch's, and an image without contrast
    is refused, where MONAI's transform leaves it unscaled.
    """

    def __init__(self, keys: str, lower: float, upper: float, **to_unit_range: Any) -> None:
        super().__init__(keys)
        self.percents = [lower, upper]

    def __call__(self, data: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Scale each image; raise an ImageError where its two percentiles are equal."""
        scaled = dict(data)
        for key in self.key_iterator(scaled):
            pixels = torch.as_tensor(scaled[key].numpy())
            low, high = np.percentile(pixels.numpy(), self.percents)
            if not high > low:
                raise ImageError(
                    "all but a few pixels have the same value, there is nothing to match",
                    remedy="check the exposure or the export",
                )
            scaled[key] = ((pixels - float(low)) / float(high - low)).clamp(0, 1)
        return scaled


@lru_cache(maxsize=4)
def _preprocessing(network_shape_yx: tuple[int, int]) -> Compose:
    steps = preprocessing_config(f"{__name__}.{ScalePercentilesd.__name__}")
    parser = ConfigParser(
        {
            "imports": ["$import torch"],
            "network_shape_yx": list(network_shape_yx),
            "preprocessing": {"_target_": "Compose", "transforms": steps},
        }
    )
    return parser.get_parsed_content("preprocessing")


def prepare_image(image: GrayImage, device: str | torch.device = "cpu") -> torch.Tensor:
    """Bring an image to its geometry's network grid, and its grey values to 0..1.

    Returns
    -------
    Tensor, (1, 1, H, W), float32

    Raises
    ------
    ImageError
        If all but a few of its pixels have the same value.
    """
    preprocessing = _preprocessing(image.geometry.network_shape_yx)
    pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None]
    try:
        prepared: torch.Tensor = preprocessing({"image": pixels})["image"]
    except RuntimeError as error:
        # MONAI wraps what a transform raises.
        cause = error.__cause__
        if isinstance(cause, ImageError):
            raise ImageError(cause.what, file=image.name or None, remedy=cause.remedy) from cause
        raise
    return prepared[None].to(device)


def prepare_for_network(image: GrayImage, network_shape_yx: tuple[int, int]) -> PreparedImage:
    """Prepare an image for the grid of a network, with what detection needs of it."""
    geometry = image.geometry.with_network_shape(network_shape_yx)
    pixels = prepare_image(replace(image, geometry=geometry))
    return PreparedImage(pixels, geometry, image.name, image.spacing_source, image.notes)
