"""SimpleITK as a reader for MONAI's ``LoadImage``.

MONAI itself has no reader for MetaImage and none that says whether a spacing
was written in the file or made up.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from monai.data import ImageReader
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.completeness import check_complete
from napari_oneshot_lmk.imaging.file_kind import FileKind, file_kind, has_image_suffix
from napari_oneshot_lmk.imaging.nifti_header import HEADER_BYTES, NiftiHeader, opened
from napari_oneshot_lmk.imaging.stated_geometry import (
    Plane,
    StatedGeometry,
    stated_geometry,
)

# ITU-R BT.601: the eye's brightness of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class PlaneImage:
    """One plane as SimpleITK read it, with what its file states about it."""

    image: SimpleITK.Image
    plane: Plane
    stated: StatedGeometry
    kind: FileKind


class SimpleITKReader(ImageReader):
    """Read one grey plane from DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG, BMP.

    The array is (x, y), float32, as MONAI's readers have it, larger is brighter.
    Metadata beside MONAI's own: ``spacing_mm_yx`` (None where the file does not
    state it), ``origin_lps_mm``, ``row_axis_lps``, ``column_axis_lps``, ``kind``.

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
        return all(has_image_suffix(path) or not path.suffix for path in paths)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> PlaneImage:
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
        try:
            kind = file_kind(path)
            check_complete(path, kind)
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
        try:
            with _silent():
                return self._read_plane(path, kind)
        except UnicodeEncodeError as error:
            raise ImageError(
                "the file name holds bytes that are no text",
                file=os.fsencode(path).decode("utf-8", "replace"),
                remedy="rename the file",
            ) from error
        except RuntimeError as error:
            raise _unreadable(path, kind) from error

    def get_data(self, img: PlaneImage) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the (x, y) array and the metadata of what :meth:`read` gave."""
        size = img.image.GetSize()
        shape_yx = size[img.plane.row_axis], size[img.plane.column_axis]
        values = SimpleITK.GetArrayViewFromImage(img.image)
        # All other axes have length 1, so the order of pixels stays.
        values = values.reshape(*shape_yx, img.image.GetNumberOfComponentsPerPixel())
        grey_xy = _grey(values).T
        meta = {
            "affine": _affine_ras(img.stated),
            "spatial_shape": np.array(grey_xy.shape),
            "original_channel_dim": "no_channel",
            "kind": str(img.kind),
            **asdict(img.stated),
        }
        return grey_xy, meta

    def _read_plane(self, path: Path, kind: FileKind) -> PlaneImage:
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        if components > 4 or (components == 4 and kind is FileKind.JPEG):
            raise ImageError(
                f"the image has {components} colour channels",
                file=path,
                remedy="save it as grey or RGB",
            )
        plane = self._plane(path, reader.GetSize())
        stated = stated_geometry(path, kind, reader, plane)
        size = [1] * len(plane.index)
        for axis in (plane.column_axis, plane.row_axis):
            size[axis] = reader.GetSize()[axis]
        if tuple(size) != tuple(reader.GetSize()):
            reader.SetExtractIndex(plane.index)
            reader.SetExtractSize(size)
        if kind is FileKind.NIFTI and reader.GetDimension() == 2:
            image = _read_flat_nifti(path, reader)
        else:
            image = reader.Execute()
        return PlaneImage(image, plane, stated, kind)

    def _plane(self, path: Path, size: Sequence[int]) -> Plane:
        """Choose the plane of a grid whose sizes are given x first."""
        long = [axis for axis, length in enumerate(size) if length > 1]
        index = [0] * len(size)
        count = 1
        column_axis, row_axis = (long[0], long[1]) if len(long) >= 2 else (0, 1)
        if len(long) > 3:
            shape = " x ".join(str(length) for length in size)
            raise ImageError(
                f"the image has {len(long)} dimensions ({shape})",
                file=path,
                remedy="save one plane or one volume of it",
            )
        if len(long) == 3:
            count = size[long[2]]
            if self.slice_index is None:
                raise ImageError(
                    f"the file holds {count} slices or frames",
                    file=path,
                    remedy=f"choose one with --slice 0 to {count - 1}",
                )
        chosen = self.slice_index or 0
        if not 0 <= chosen < count:
            held = "one slice" if count == 1 else f"{count} slices or frames"
            raise ImageError(
                f"there is no slice {chosen}, the file holds {held}",
                file=path,
                remedy="leave out --slice"
                if count == 1
                else f"choose one with --slice 0 to {count - 1}",
            )
        if len(long) == 3:
            index[long[2]] = chosen
        return Plane(column_axis, row_axis, tuple(index))


def _grey(values: NDArray[Any]) -> NDArray[np.float32]:
    """Turn (H, W, components) into (H, W); alpha is left out."""
    if np.iscomplexobj(values):
        raise ImageError("the image holds complex numbers", remedy="save its magnitude")
    first = values[..., 0]
    if values.shape[-1] < 3:
        return first.astype(np.float32)
    red_green_blue = values[..., :3]
    if np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2]):
        return first.astype(np.float32)
    return np.asarray(red_green_blue.astype(np.float32) @ _LUMA)


def _affine_ras(stated: StatedGeometry) -> NDArray[np.float64]:
    """Return MONAI's (4, 4) matrix from (x, y, 0) to RAS mm, or to pixels."""
    dy, dx = stated.spacing_mm_yx or (1.0, 1.0)
    columns, rows = np.array(stated.column_axis_lps), np.array(stated.row_axis_lps)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = columns * dx, rows * dy
    lps[:3, 2] = np.cross(columns, rows)
    lps[:3, 3] = stated.origin_lps_mm
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def _read_flat_nifti(path: Path, reader: SimpleITK.ImageFileReader) -> SimpleITK.Image:
    """Read a 2-D NIfTI image even where ITK cannot hold its orientation.

    ITK keeps a 2 x 2 part of the axes and refuses a singular one; the pixels
    are then read from a copy that states no orientation.
    """
    direction = np.reshape(reader.GetDirection(), (2, 2))
    header = NiftiHeader.read(path)
    if header is None or abs(np.linalg.det(direction)) > 0.1:
        return reader.Execute()
    with opened(path) as file:
        data = file.read()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "flat.nii")
        copy.write_bytes(header.without_orientation() + data[HEADER_BYTES:])
        return SimpleITK.ReadImage(str(copy))


def _unreadable(path: Path, kind: FileKind) -> ImageError:
    if kind is FileKind.UNKNOWN:
        return ImageError(
            "is not an image that can be read",
            file=path,
            remedy="use DICOM, NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG or BMP",
        )
    return ImageError(
        f"the {kind} file is damaged, cut short, or of an unusual kind",
        file=path,
        remedy="export it again",
    )


_warnings_lock = threading.Lock()
_silent_readers = 0
_warnings_were_on = True


@contextmanager
def _silent() -> Iterator[None]:
    """Keep ITK's warnings off the terminal while any thread reads.

    The switch is one for the whole process, so it is counted.
    """
    global _silent_readers, _warnings_were_on
    with _warnings_lock:
        if _silent_readers == 0:
            _warnings_were_on = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
            SimpleITK.ProcessObject.GlobalWarningDisplayOff()
        _silent_readers += 1
    try:
        yield
    finally:
        with _warnings_lock:
            _silent_readers -= 1
            if _silent_readers == 0 and _warnings_were_on:
                SimpleITK.ProcessObject.GlobalWarningDisplayOn()
