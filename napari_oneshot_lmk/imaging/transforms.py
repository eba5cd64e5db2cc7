"""Our image formats as a reader for MONAI's ``LoadImage``.

MONAI itself has no reader for MetaImage and none that says whether a spacing
was written in the file or made up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.data import ImageReader
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError, OneshotError
from napari_oneshot_lmk.imaging.file_kind import (
    FileKind,
    file_kind,
    header_beside,
    is_image_name,
)
from napari_oneshot_lmk.imaging.formats import read_plane
from napari_oneshot_lmk.imaging.formats.base import StatedGeometry, StoredPlane
from napari_oneshot_lmk.imaging.image import GrayImage, PreparedImage
from napari_oneshot_lmk.imaging.quiet import quiet

if TYPE_CHECKING:
    import torch

# ITU-R BT.601: the eye's brightness of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_COPY_AGAIN = "copy or export it again"

PathLike = str | os.PathLike[str]


class GrayPlaneReader(ImageReader):
    """Read one grey plane from DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG, BMP.

    The array is (rows, columns), float32, larger is brighter; its ``affine`` has
    the axes in that order too. MONAI's other readers give (x, y), which costs two
    transpositions of every image on the way to a (row, column) world.
    Metadata beside MONAI's own: ``spacing_mm_yx`` (None where the file does not
    state it), ``spacing_source``, ``origin_lps_mm``, ``row_axis_lps``,
    ``column_axis_lps``, ``kind``, ``notes`` (sentences for the user).

    Parameters
    ----------
    slice_index : int, optional
        Which slice or frame of a volume to read, from 0.
    """

    def __init__(self, slice_index: int | None = None) -> None:
        super().__init__()
        self.slice_index = slice_index

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Say whether the names end like images, or have no ending at all."""
        names = [filename] if isinstance(filename, str | os.PathLike) else filename
        paths = [Path(name) for name in names]
        return all(is_image_name(path) or not path.suffix for path in paths)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> StoredPlane:
        """Read one file.

        Raises
        ------
        ImageError
            If the file is missing, empty, cut short, damaged, not an image, or a
            volume while no slice is chosen.
        """
        if not isinstance(data, str | os.PathLike):
            (data,) = data
        path = Path(data)
        shown = os.fsencode(path).decode("utf-8", "replace")
        if shown != str(path):
            # No message, table or report could name it.
            raise ImageError(
                "the file name holds bytes that are no text", file=shown, remedy="rename the file"
            )
        kind = _kind(path)
        header = header_beside(path) if kind is FileKind.UNKNOWN else None
        if header is not None:
            kind = FileKind.NIFTI
        try:
            with quiet():
                return read_plane(header or path, kind, self.slice_index)
        except OneshotError as error:
            raise error.about(path) from error
        except MemoryError as error:
            raise ImageError(
                "the picture does not fit into the memory",
                file=path,
                remedy="save it in a smaller size",
            ) from error
        except ImportError as error:
            raise ImageError(
                f"reading {kind} files needs the package {error.name}",
                file=path,
                remedy=f"install {error.name}",
            ) from error
        except Exception as error:
            # Of a damaged file each library raises what happens to come first.
            raise _unreadable(path, kind, error) from error

    def get_data(self, img: StoredPlane) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the (rows, columns) array and the metadata of a read image."""
        grey = _grey(img.values)
        meta = {
            "affine": _affine_ras(img.stated),
            "spatial_shape": np.array(grey.shape),
            "original_channel_dim": "no_channel",
            "kind": str(img.kind),
            "notes": img.notes,
            **asdict(img.stated),
        }
        return grey, meta


def _kind(path: Path) -> FileKind:
    try:
        kind = file_kind(path)
        empty = path.stat().st_size == 0
    except IsADirectoryError as error:
        raise ImageError(
            "is a folder, not an image", file=path, remedy="name a file in it"
        ) from error
    except OSError as error:
        raise ImageError(
            f"cannot be opened ({error.strerror or error})",
            file=path,
            remedy="check the path and the permissions",
        ) from error
    if empty:
        raise ImageError("the file is empty", file=path, remedy=_COPY_AGAIN)
    return kind


def _grey(values: NDArray[Any]) -> NDArray[np.float32]:
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
    if channels < 3:
        return first.astype(np.float32)
    red_green_blue = values[..., :3]
    if np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2]):
        return first.astype(np.float32)
    return np.asarray(red_green_blue.astype(np.float32) @ _LUMA)


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


def _unreadable(path: Path, kind: FileKind, error: Exception) -> ImageError:
    if kind is FileKind.UNKNOWN:
        return ImageError(
            "is not an image that can be read",
            file=path,
            remedy="use DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG or BMP",
        )
    if isinstance(error, NotImplementedError):
        words = " ".join(str(error).split())
        return ImageError(
            f"{kind} files of this kind cannot be read ({words})",
            file=path,
            remedy="save it uncompressed, or as PNG",
        )
    return ImageError(f"the {kind} file is cut short or damaged", file=path, remedy=_COPY_AGAIN)


DARKEST_PERCENT = 0.1
BRIGHTEST_PERCENT = 99.9


def prepare_image(image: GrayImage, device: str | torch.device = "cpu") -> torch.Tensor:
    """Resample an image to the network's grid and scale its grey values to 0..1.

    The range runs from the 0.1th to the 99.9th percentile, so that 8-bit films,
    12-bit detectors and Hounsfield units arrive alike, and a burnt-in marker or a
    dead pixel does not decide.

    Parameters
    ----------
    image : GrayImage
        Any size and grey range.
    device : str or torch.device
        Where the result lies.

    Returns
    -------
    Tensor, (1, 1, H, W), float32
        On the network's grid of the image's geometry.

    Raises
    ------
    ImageError
        If all but a few of its pixels have the same value.
    """
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(image.pixels))[None, None]
    small = image.geometry.pixels_to_network(pixels)
    # The percentiles of the small image are those of the large one up to noise,
    # at a fraction of the time.
    low, high = np.percentile(small.numpy(), [DARKEST_PERCENT, BRIGHTEST_PERCENT])
    if not high > low:
        raise ImageError(
            "all but a few pixels have the same value, there is nothing to match",
            file=image.name or None,
            remedy="check the exposure or the export",
        )
    return ((small - float(low)) / float(high - low)).clamp(0, 1).to(device)


def prepare_for_network(image: GrayImage, network_shape_yx: tuple[int, int]) -> PreparedImage:
    """Prepare an image for a network's grid, as `prepare_image` does.

    Raises
    ------
    ImageError
        If all but a few of its pixels have the same value.
    """
    geometry = image.geometry.with_network_shape(network_shape_yx)
    pixels = prepare_image(replace(image, geometry=geometry))
    return PreparedImage(pixels, geometry, image.name, image.spacing_source, image.notes)
