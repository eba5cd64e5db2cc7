"""Phantoms as data folders: images, ``landmarks.csv``, ``dataset.json``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.storage.atomic import atomic_write, check_writable
from phantoms.dicom_file import DicomStyle, dicom_bytes
from phantoms.generator import ANATOMIES, MEAN_SHAPE_YX, SHIPPED_ANATOMIES, generate
from phantoms.png_file import png_bytes

# Every twelfth image, counted from these, is DICOM: an ordinary one, one that
# stores dark as large, one that only says the spacing on the detector.
DICOM_STYLES: dict[int, DicomStyle] = {
    3: DicomStyle(bits=12),
    7: DicomStyle(bits=16, inverted=True),
    10: DicomStyle(bits=12, patient_spacing=False),
}
TITLES = {
    "skull": "Synthetic lateral skulls (phantoms)",
    "hand": "Synthetic hands (phantoms)",
    "spine": "Synthetic frontal spines (phantoms)",
}
TRAINING_SHARE = 0.4


def write_samples(
    folder: Path,
    count: int,
    seed: int,
    anatomies: Sequence[str] = SHIPPED_ANATOMIES,
    *,
    overwrite: bool = False,
    workers: int = 1,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write ``folder/ANATOMY`` for each anatomy, whole or not at all.

    Parameters
    ----------
    folder : Path
        Where the data folders go.
    count : int
        Images of each anatomy.
    seed : int
        Population; index 0 of it is the template.
    anatomies : sequence of str
        Among ``ANATOMIES``.
    overwrite : bool
        Replace files that are there.
    workers : int
        Processes; the files do not depend on it.
    on_image : callable
        Told how many images are done, and of how many.

    Raises
    ------
    UsageError
        If the count, the seed or an anatomy make no sense.
    OutputError
        If the folder exists or cannot be written to.
    """
    if count < 1 or workers < 1 or seed < 0:
        raise UsageError(
            f"cannot make {count} phantoms of seed {seed} with {workers} workers",
            remedy="count and workers are 1 or more, a seed is 0 or more",
        )
    for anatomy in anatomies:
        if anatomy not in ANATOMIES:
            raise UsageError(
                f"there is no phantom of {anatomy!r}",
                remedy=f"choose one of {', '.join(ANATOMIES)}",
            )
        check_writable(Path(folder) / anatomy, overwrite=overwrite)
    total, done = count * len(anatomies), 0
    for anatomy in anatomies:
        target = Path(folder) / anatomy
        with atomic_write(target, overwrite=overwrite, folder=True) as place:
            (place / "images").mkdir()
            make = partial(_write_image, place / "images", anatomy, count, seed)
            all_landmarks = []
            for landmarks in _mapped(make, count, workers):
                all_landmarks.append(landmarks)
                done += 1
                on_image(done, total)
            _write_table(place / "landmarks.csv", all_landmarks)
            _write_description(place / "dataset.json", anatomy, seed, all_landmarks)


def _mapped(make: Callable[[int], Landmarks], count: int, workers: int) -> Iterator[Landmarks]:
    if workers == 1:
        yield from map(make, range(count))
        return
    # Fresh interpreters: a forked one may inherit locks of loaded libraries.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(make, range(count), chunksize=4)


def _write_image(folder: Path, anatomy: str, count: int, seed: int, index: int) -> Landmarks:
    """Write one image; return its landmarks under its file name."""
    style = DICOM_STYLES.get(index % 12)
    # A plate reader's pixels are larger than those of a scanned film.
    rows, columns = MEAN_SHAPE_YX[anatomy]
    shape_yx = None if style is None else (rows * 3 // 4, columns * 3 // 4)
    radiograph, landmarks = generate(anatomy, index, seed, shape_yx)
    stem = f"{anatomy}_{index + 1:0{max(2, len(str(count)))}d}"
    spacing = radiograph.geometry.spacing_mm_yx
    assert spacing is not None, "a phantom knows its spacing"
    if style is None:
        file = folder / f"{stem}.png"
        file.write_bytes(png_bytes(np.rint(radiograph.pixels).astype(np.uint8)))
    else:
        file = folder / f"{stem}.dcm"
        content = dicom_bytes(radiograph.pixels / 255, spacing, stem, anatomy, style)
        file.write_bytes(content)
    return Landmarks(landmarks.points, file.name, radiograph.geometry)


def _write_table(path: Path, images: Sequence[Landmarks]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "landmark", "x_px", "y_px"])
        for landmarks in images:
            for point in landmarks.placed:
                assert point.position_yx is not None, "placed points have a position"
                y, x = point.position_yx
                table.writerow([landmarks.image, point.name, f"{x:.4f}", f"{y:.4f}"])


def _write_description(path: Path, anatomy: str, seed: int, images: Sequence[Landmarks]) -> None:
    files = [landmarks.image for landmarks in images]
    training = max(1, round(TRAINING_SHARE * len(files)))
    description = {
        "name": TITLES[anatomy],
        "about": "These images are synthetic: drawn and computed by "
        "scripts/phantoms of napari-oneshot-lmk, they show no person.",
        "license": "Apache-2.0",
        "generator": f"python scripts/phantoms --anatomy {anatomy} "
        f"--count {len(files)} --seed {seed} --out FOLDER",
        "landmarks": list(images[0].names),
        "spacing_mm": {
            landmarks.image: list(landmarks.geometry.spacing_mm_yx)
            for landmarks in images
            if landmarks.geometry and landmarks.geometry.spacing_mm_yx
        },
        "spacing_order": "row, column",
        "template": files[0],
        "splits": {"train": files[:training], "test": files[training:]},
    }
    path.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
