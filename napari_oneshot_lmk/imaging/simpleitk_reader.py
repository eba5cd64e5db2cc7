"""SimpleITK as a reader for MONAI's ``LoadImage``.

MONAI itself has no reader for MetaImage and none that says whether a spacing
was written in the file or made up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from monai.data import ImageReader
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.completeness import check_complete
from napari_oneshot_lmk.imaging.file_kind import FileKind, file_kind, has_image_suffix
from napari_oneshot_lmk.imaging.grey_alpha_png import is_grey_alpha, read_grey_alpha
from napari_oneshot_lmk.imaging.itk_silence import itk_silenced
from napari_oneshot_lmk.imaging.simpleitk_gaps import (
    dicom_as_monochrome2,
    dicom_inverted,
    nifti_holds_nan,
    nifti_without_orientation,
    with_tiff_tags,
)
from napari_oneshot_lmk.imaging.stated_geometry import (
    Plane,
    StatedGeometry,
    stated_geometry,
)

_SOP_CLASS = "0008|0016"
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

    The array is (rows, columns), float32, larger is brighter; its ``affine`` has
    the axes in that order too. MONAI's other readers give (x, y), which costs two
    transpositions of every image on the way to a (row, column) world.
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
        shown = os.fsencode(path).decode("utf-8", "replace")
        if shown != str(path):
            # SimpleITK ends the whole process on such a name.
            raise ImageError(
                "the file name holds bytes that are no text",
                file=shown,
                remedy="rename the file",
            )
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
            with itk_silenced():
                return self._read(path, kind)
        except RuntimeError as error:
            raise _unreadable(path, kind) from error

    def get_data(self, img: PlaneImage) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the (rows, columns) array and the metadata of a read image."""
        size = img.image.GetSize()
        shape_yx = size[img.plane.row_axis], size[img.plane.column_axis]
        values = SimpleITK.GetArrayViewFromImage(img.image)
        # All other axes have length 1, so the order of pixels stays.
        values = values.reshape(*shape_yx, img.image.GetNumberOfComponentsPerPixel())
        grey = _grey(values)
        meta = {
            "affine": _affine_ras(img.stated),
            "spatial_shape": np.array(grey.shape),
            "original_channel_dim": "no_channel",
            "kind": str(img.kind),
            **asdict(img.stated),
        }
        return grey, meta

    def _read(self, path: Path, kind: FileKind) -> PlaneImage:
        try:
            return self._read_plane(path, kind, path)
        except RuntimeError:
            if kind is FileKind.NIFTI:
                with nifti_without_orientation(path) as copy:
                    return self._read_plane(path, kind, copy)
            if kind is FileKind.DICOM and b"MONOCHROME1" in path.read_bytes():
                with dicom_as_monochrome2(path) as copy:
                    read = self._read_plane(path, kind, copy)
                return replace(read, image=dicom_inverted(read.image))
            raise

    def _read_plane(self, path: Path, kind: FileKind, pixels: Path) -> PlaneImage:
        """Read a plane; ``pixels`` is the file itself or a copy that ITK can read."""
        if kind is FileKind.PNG and is_grey_alpha(path):
            image = read_grey_alpha(path)
            plane = self._plane(path, image.GetSize())
            return PlaneImage(image, plane, StatedGeometry(), kind)
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(pixels))
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        if components > 4:
            raise ImageError(
                f"the image has {components} colour channels",
                file=path,
                remedy="save it as grey or RGB",
            )
        if reader.HasMetaDataKey(_SOP_CLASS):
            # Old DICOM files may lack the mark at their start.
            kind = FileKind.DICOM
        plane = self._plane(path, reader.GetSize())
        stated = stated_geometry(path, kind, reader, plane)
        size = [1] * len(plane.index)
        for axis in (plane.column_axis, plane.row_axis):
            size[axis] = reader.GetSize()[axis]
        if tuple(size) != tuple(reader.GetSize()):
            reader.SetExtractIndex(plane.index)
            reader.SetExtractSize(size)
        image = reader.Execute()
        if kind is FileKind.TIFF:
            image = with_tiff_tags(path, image)
        if kind is FileKind.NIFTI and nifti_holds_nan(path, plane):
            raise ImageError(
                "the image holds values that are not numbers (NaN or infinite)",
                file=path,
                remedy="export it again from the program that wrote it",
            )
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
    """Return MONAI's (4, 4) matrix from (row, column, 0) to RAS mm, or to pixels."""
    dy, dx = stated.spacing_mm_yx or (1.0, 1.0)
    rows, columns = np.array(stated.row_axis_lps), np.array(stated.column_axis_lps)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = rows * dy, columns * dx
    lps[:3, 2] = np.cross(rows, columns)
    lps[:3, 3] = stated.origin_lps_mm
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


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
