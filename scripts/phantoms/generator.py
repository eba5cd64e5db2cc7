"""One phantom: subject, pose, beam, film. Deterministic in its three numbers."""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.landmarks.landmarks import Landmarks, Provenance
from phantoms.absorption import Absorption
from phantoms.exposure import Collimation, Exposure, expose
from phantoms.hand import HandScene
from phantoms.hand_subject import HandSubject
from phantoms.marks import scratch
from phantoms.shape_model import Pose, sampled_pose
from phantoms.skull import SkullScene
from phantoms.skull_subject import SkullSubject
from phantoms.spine import SpineScene
from phantoms.spine_subject import PITCH_MM, SpineSubject
from phantoms.texture import Texture

ANATOMIES = ("skull", "hand", "spine")
SHIPPED_ANATOMIES = ("skull", "hand")
"""Those of the sample data; the others are made where they are asked for."""
MEAN_SHAPE_YX = {"skull": (800, 645), "hand": (850, 650), "spine": (800, 520)}
MEAN_SPACING_MM = {"skull": 0.3, "hand": 0.3, "spine": 0.75}
BORDER_MM = 7.0
"""Every landmark keeps at least this distance from the image's border."""

Points = NDArray[np.float64]


class Scene(Protocol):
    """What the generator needs of an anatomy."""

    def landmarks_xy(self) -> dict[str, Points]:
        """Return named landmarks in the subject's mm."""
        ...

    def absorb(self, absorption: Absorption, pose: Pose, rng: np.random.Generator) -> None:
        """Put everything into the beam."""
        ...


def generate(
    anatomy: str, index: int, seed: int = 0, shape_yx: tuple[int, int] | None = None
) -> tuple[GrayImage, Landmarks]:
    """Make one phantom and its exact landmarks.

    Parameters
    ----------
    anatomy : str
        One of ``ANATOMIES``.
    index : int
        Which subject; 0 or above.
    seed : int
        Which population; 0 or above.
    shape_yx : tuple of int, optional
        Rows and columns. By default about 800 x 645 for a skull, 850 x 650 for
        a hand and 800 x 520 for a spine, varying a little. Another size scales
        the pixel spacing so that the same field of view is imaged.

    Returns
    -------
    radiograph : GrayImage
        Grey levels 0..255, not rounded, with the pixel spacing.
    landmarks : Landmarks
        Positions to the sub-pixel, pixel centres at integers.

    Raises
    ------
    UsageError
        If the anatomy is unknown, or a number is negative.
    """
    if anatomy not in ANATOMIES:
        raise UsageError(
            f"there is no phantom of {anatomy!r}", remedy=f"choose one of {', '.join(ANATOMIES)}"
        )
    if index < 0 or seed < 0:
        raise UsageError("index and seed of a phantom cannot be negative")
    # Separate streams: a change to the film must not move a landmark.
    shape_rng, pose_rng, body_rng, film_rng = (
        np.random.default_rng([seed, zlib.crc32(anatomy.encode()), index, purpose])
        for purpose in range(4)
    )
    grid_yx, spacing_mm_yx = _grid(anatomy, pose_rng, shape_yx)
    scene, pose = _posed(anatomy, shape_rng, pose_rng, grid_yx, spacing_mm_yx)
    landmarks_xy = scene.landmarks_xy()
    points_xy = np.array(list(landmarks_xy.values()))
    pose = pose.keeping_inside(points_xy, grid_yx, BORDER_MM)

    mm_per_px = float(np.mean(spacing_mm_yx)) / pose.scale
    texture = Texture.sampled(body_rng, grid_yx, mm_per_px)
    absorption = Absorption(grid_yx, mm_per_px, texture)
    scene.absorb(absorption, pose, body_rng)
    scratch(absorption, film_rng)
    exposure = Exposure.sampled(film_rng, hazy=0.22 if anatomy == "hand" else 0.0)
    points_yx = pose.to_image(points_xy)
    level = expose(absorption.total(), exposure, film_rng)
    level = Collimation.sampled(film_rng, _free(points_yx, grid_yx)).applied(level)

    name = f"{anatomy}_{index + 1:03d}"
    geometry = Geometry(grid_yx).with_spacing(spacing_mm_yx)
    radiograph = GrayImage(255.0 * level, geometry, name)
    positions = {
        key: (float(y), float(x)) for key, (y, x) in zip(landmarks_xy, points_yx, strict=True)
    }
    provenance = Provenance(method="phantom")
    return radiograph, Landmarks.from_positions(positions, name, geometry, provenance)


def _grid(
    anatomy: str, rng: np.random.Generator, shape_yx: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Draw rows, columns and spacing."""
    mean_yx, mean_mm = MEAN_SHAPE_YX[anatomy], MEAN_SPACING_MM[anatomy]
    rows = mean_yx[0] + int(rng.integers(-24, 25))
    columns = mean_yx[1] + int(rng.integers(-20, 21))
    spacing = mean_mm * (1 + rng.uniform(-0.03, 0.03))
    # Scanners of film feed a little faster or slower than they sample.
    unequal = rng.uniform(-0.001, 0.001)
    spacing_yx = (spacing * (1 + unequal), spacing * (1 - unequal))
    if shape_yx is None:
        return (rows, columns), (round(spacing_yx[0], 5), round(spacing_yx[1], 5))
    zoom = max(rows / shape_yx[0], columns / shape_yx[1])
    return shape_yx, (round(spacing_yx[0] * zoom, 5), round(spacing_yx[1] * zoom, 5))


def _posed(
    anatomy: str,
    shape_rng: np.random.Generator,
    pose_rng: np.random.Generator,
    grid_yx: tuple[int, int],
    spacing_mm_yx: tuple[float, float],
) -> tuple[Scene, Pose]:
    """Draw a subject and how it is placed on the film."""
    if anatomy == "skull":
        pose = sampled_pose(
            pose_rng,
            (-5.0, 15.0),
            (0.53, 0.44),
            grid_yx,
            spacing_mm_yx,
            rotation_sd_deg=6.0,
            scale=(0.92, 0.045),
            shift_sd_mm=5.0,
        )
        return SkullScene(SkullSubject.sampled(shape_rng)), pose
    if anatomy == "spine":
        # Up to one and a half vertebrae further up or down.
        along_mm = PITCH_MM * pose_rng.uniform(-1.5, 1.5)
        pose = sampled_pose(
            pose_rng,
            (0.0, along_mm),
            (0.5, 0.5),
            grid_yx,
            spacing_mm_yx,
            rotation_sd_deg=2.0,
            scale=(0.98, 0.015),
            shift_sd_mm=6.0,
            # A long film is taken from further away.
            tilt_sd_per_mm=4e-5,
        )
        return SpineScene(SpineSubject.sampled(shape_rng)), pose
    pose = sampled_pose(
        pose_rng,
        (2.0, -45.0),
        (0.5, 0.48),
        grid_yx,
        spacing_mm_yx,
        rotation_sd_deg=7.0,
        scale=(0.97, 0.05),
        shift_sd_mm=6.0,
    )
    return HandScene(HandSubject.sampled(shape_rng)), pose


def _free(points_yx: Points, grid_yx: tuple[int, int]) -> tuple[float, float, float, float]:
    """Pixels between the landmarks and each border, less a margin."""
    low, high = points_yx.min(axis=0), points_yx.max(axis=0)
    room = (low[0], grid_yx[0] - 1 - high[0], low[1], grid_yx[1] - 1 - high[1])
    top, bottom, left, right = (float(max(r - 14, 0)) for r in room)
    return top, bottom, left, right
