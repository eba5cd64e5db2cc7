"""Two-dimensional grey images for MONAI, with their size and their spacing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from monai.data import Dataset, ImageReader

SUFFIXES = (
    *(".dcm", ".dicom", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"),
    *(".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"),
)
LUMA = np.array([0.299, 0.587, 0.114])
WITHOUT_SPACING = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""Their dots per inch tell how large to print, not how large a patient is."""
DICOM_SPACINGS = ("0028|0030", "0018|1164", "0018|2010")
UNKNOWN = float("nan")
SPACING_LIMITS_MM = (1e-4, 100.0)
"""What lies outside is a typing error or a wrong unit."""


def find_images(folder: str) -> list[dict[str, str]]:
    """List the images below a folder, subfolders included.

    Parameters
    ----------
    folder : str
        Searched for names that end like an image, and for DICOM files without a
        suffix.

    Returns
    -------
    list of dict
        ``image`` is the path, ``name`` the path below the folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SystemExit(f"{folder}: there is no such folder; name it as --dataset_dir")
    found = [
        {"image": str(path), "name": path.relative_to(root).as_posix()}
        for path in sorted(root.rglob("*"))
        if path.is_file() and _is_image(path)
    ]
    if not found:
        raise SystemExit(f"{folder}: there is no image in it")
    return found


def _is_image(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.name.lower().endswith(SUFFIXES):
        return True
    if path.suffix or path.name == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


class PlaneReader(ImageReader):
    """Reads one plane as (rows, columns), brighter is brighter on screen.

    Parameters
    ----------
    slice_index : int, optional
        Slice or frame of volumes, from 0.
    spacing_mm : float or pair of float, optional
        Millimetres between pixel centres, (row, column), instead of what the files
        say.
    """

    def __init__(
        self, slice_index: int | None = None, spacing_mm: float | Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.slice_index = slice_index
        self.spacing_mm = spacing_mm

    def verify_suffix(self, filename: Any) -> bool:
        """Take any file: the content decides."""
        return True

    def read(self, data: Any, **kwargs: Any) -> Any:
        """Open one file with SimpleITK."""
        names = [data] if isinstance(data, str | os.PathLike) else list(data)
        image = SimpleITK.ReadImage(str(names[0]))
        if image.GetDimension() > 2 and max(image.GetSize()[2:]) > 1:
            image = self._plane(image)
        image.SetMetaData("path", str(names[0]))
        return image

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels and what is known of their place."""
        columns, rows = img.GetSize()[:2]
        values = SimpleITK.GetArrayViewFromImage(img)
        values = values.reshape(rows, columns, img.GetNumberOfComponentsPerPixel())
        return _grey(values), {
            "affine": np.eye(4),
            "spatial_shape": np.array([rows, columns]),
            "original_channel_dim": "no_channel",
            "shape_yx": torch.tensor([rows, columns]),
            "spacing_mm_yx": torch.tensor(_checked(self._spacing(img)), dtype=torch.float64),
        }

    def _plane(self, image: SimpleITK.Image) -> SimpleITK.Image:
        count = image.GetSize()[2]
        if self.slice_index is None or not 0 <= self.slice_index < count:
            raise ValueError(
                f"it holds {count} slices or frames; choose one with --slice_index 0 to {count - 1}"
            )
        return image[:, :, self.slice_index]

    def _spacing(self, image: SimpleITK.Image) -> list[float]:
        if self.spacing_mm is not None:
            given = np.broadcast_to(np.asarray(self.spacing_mm, dtype=float), (2,))
            return [float(value) for value in given]
        if image.GetMetaData("path").lower().endswith(WITHOUT_SPACING):
            return [UNKNOWN, UNKNOWN]
        keys = set(image.GetMetaDataKeys())
        if "0008|0016" in keys:
            for tag in DICOM_SPACINGS:
                parts = image.GetMetaData(tag).split("\\") if tag in keys else []
                if len(parts) == 2:
                    stated = [float(part) for part in parts]
                    return [UNKNOWN, UNKNOWN] if stated == [1.0, 1.0] else stated
            return [UNKNOWN, UNKNOWN]
        column, row = image.GetSpacing()[:2]
        # What programs write that do not know the spacing.
        return [UNKNOWN, UNKNOWN] if (row, column) == (1.0, 1.0) else [row, column]


def _checked(spacing_mm_yx: list[float]) -> list[float]:
    low, high = SPACING_LIMITS_MM
    if not all(low <= value <= high or np.isnan(value) for value in spacing_mm_yx):
        shown = " x ".join(f"{value:g}" for value in spacing_mm_yx)
        raise ValueError(
            f"the pixel spacing {shown} mm is not between {low:g} and {high:g} mm; "
            "give it with --spacing_mm"
        )
    return spacing_mm_yx


def _grey(values: np.ndarray) -> np.ndarray:
    """Turn (rows, columns, components) into grey; alpha is left out."""
    if values.shape[-1] < 3:
        return values[..., 0].astype(np.float32)
    colours = values[..., :3]
    if (colours == colours[..., :1]).all():
        return colours[..., 0].astype(np.float32)
    return np.asarray(colours.astype(np.float32) @ LUMA.astype(np.float32))


class ReadableDataset(Dataset):
    """A data set that goes on where a file cannot be used.

    Such an item carries its sentence under ``failed``, and an empty image.

    Parameters
    ----------
    data : sequence of dict
        From `find_images`.
    transform : callable
        What makes a network's input of an item.
    shape_yx : sequence of int
        Of that input.
    """

    def __init__(
        self, data: Sequence[Any], transform: Callable[[Any], Any], shape_yx: Sequence[int]
    ) -> None:
        super().__init__(data, transform)
        self.shape_yx = tuple(shape_yx)

    def _transform(self, index: int) -> dict[str, Any]:
        item = self.data[index]
        known = {"name": item["name"], "path": item["image"]}
        try:
            made = self.transform({"image": item["image"]})
            image = made["image"]
            if not float(image.max()) > float(image.min()):
                raise ValueError("all but a few pixels have the same value")
            meta = image.meta
            place = {key: meta[key] for key in ("shape_yx", "spacing_mm_yx")}
            crop = {"crop": made["crop"]} if "crop" in made else {}
            return {"image": image.as_tensor(), **crop, "failed": "", **known, **place}
        except Exception as error:
            return {
                "image": torch.zeros(1, *self.shape_yx),
                "crop": torch.zeros(1, *self.shape_yx),
                "failed": _reason(error),
                "shape_yx": torch.ones(2, dtype=torch.long),
                "spacing_mm_yx": torch.full((2,), UNKNOWN, dtype=torch.float64),
                **known,
            }


def _reason(error: BaseException) -> str:
    """Return the first cause in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
