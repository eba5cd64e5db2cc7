"""One image that leaves no convention untested: oblique, not square, off the origin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_files import dataset, saved
from pydicom.uid import generate_uid

from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, State
from napari_oneshot_lmk.landmarks.lists import ISBI19_CEPHALOGRAM

SHAPE_YX = (90, 70)
SPACING_MM_YX = (0.2, 0.35)
ORIGIN_LPS = (12.5, -34.0, 56.25)


def axes() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Row and column axis of the image: turned about two axes of the patient."""
    a, b = 0.4, -0.3
    column_axis = np.array([np.cos(a), np.sin(a), 0.0])
    across = np.array([-np.sin(a), np.cos(a), 0.0])
    row_axis = np.cos(b) * across + np.sin(b) * np.array([0.0, 0.0, 1.0])
    return tuple(row_axis), tuple(column_axis)


def geometry() -> Geometry:
    row_axis, column_axis = axes()
    return Geometry(SHAPE_YX, SPACING_MM_YX, ORIGIN_LPS, row_axis, column_axis)


def write_dicom(path: Path, **tags: object) -> Path:
    """Write the image as DICOM; what it says is what ``geometry`` says."""
    row_axis, column_axis = axes()
    pixels = (np.arange(SHAPE_YX[0] * SHAPE_YX[1]) % 4001).reshape(SHAPE_YX)
    # Of a DX image ITK, and with it Slicer, looks at ImagerPixelSpacing only.
    spacings = {key: list(SPACING_MM_YX) for key in ("PixelSpacing", "ImagerPixelSpacing")}
    place = {
        "ImagePositionPatient": [f"{v:.10g}" for v in ORIGIN_LPS],
        "ImageOrientationPatient": [f"{v:.12f}" for v in (*column_axis, *row_axis)],
    }
    study = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    patient = {"PatientID": "P1", "PatientName": "Phantom^One"}
    tags = {**spacings, **place, **study, **patient, **tags}
    return saved(path, dataset(pixels.astype(np.uint16), 12, **tags))


def on(image: Path | str = "film.dcm", grid: Geometry | None = None) -> Landmarks:
    """Landmarks in all states; their positions are at no whole or half pixel."""
    if grid is None:
        grid = read_image(image).geometry if isinstance(image, Path) else geometry()
    return Landmarks(
        (
            Landmark("Größe", (0.1 + 0.2, 1 / 3), score=0.8125, description="a, b"),
            Landmark("corner", (-0.5, -0.5)),
            Landmark("nasion", None, State.SKIPPED),
            Landmark("porion", None, State.ABSENT),
            Landmark("far", (88.7654321, 69.4999), score=0.1, unsure=True),
            Landmark("middle", (44.123456789, 35.987654321), shape_residual_mm=1.25),
        ),
        image.name if isinstance(image, Path) else image,
        grid,
        Provenance("instant", "vgg19", "125", "A. Reader", "2026-11-21T10:00:00"),
    )


def cephalogram(image: str = "film.dcm", grid: Geometry | None = None) -> Landmarks:
    """The 19 landmarks of the challenge, all placed, in another order."""
    generator = np.random.default_rng(19)
    positions_yx = generator.uniform(0, 69, (19, 2))
    names = reversed(ISBI19_CEPHALOGRAM.names)
    positions = {n: tuple(yx) for n, yx in zip(names, positions_yx, strict=True)}
    return Landmarks.from_positions(positions, image, grid or geometry())


def same_places(first: Landmarks, second: Landmarks, within_px: float = 1e-6) -> bool:
    """Say whether names, states and positions agree."""
    if first.names != second.names or [p.state for p in first] != [p.state for p in second]:
        return False
    places = first.positions_yx, second.positions_yx
    return np.allclose(*places, rtol=0, atol=within_px, equal_nan=True)
