"""From points on the network's grid to landmarks on the image's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_oneshot_lmk.detection.encoded_image import EncodedImage
from napari_oneshot_lmk.detection.orientation import Orientation
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.landmarks.landmarks import Landmark, Landmarks, Provenance, Source, State
from napari_oneshot_lmk.landmarks.template import Template
from napari_oneshot_lmk.matching.shape import Decided, ShapeModel
from napari_oneshot_lmk.matching.uncertainty import (
    CLARITY_OF_RADIUS,
    UNSURE_BELOW,
    chance_of_near,
    log_error,
    mean_error,
    radius_of_90,
)

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.detector import Detector

Offsets = Mapping[str, tuple[float, float]]
"""Landmark -> (row, column) in pixels of the network's grid, in the template's orientation."""


def landmarks_on_image(
    known: Landmarks,
    geometry: Geometry,
    orientation: Orientation,
    found: Tensor,
    manual: Mapping[str, Landmark],
) -> tuple[Landmark, ...]:
    """Return a landmark for each of the template's.

    Parameters
    ----------
    known : Landmarks
        Of the template; one that is skipped or absent there is so here.
    geometry : Geometry
        Of the image.
    orientation : Orientation
        How the image lies, compared with the template.
    found : Tensor, (N, 7), float64
        For each placed landmark of the template what `Detector.points` returns, in pixels of the
        network's grid, in the template's orientation.
    manual : mapping of str to Landmark
        What a person has decided on the image: it stays as it is.
    """
    grid = geometry.network_shape_yx
    points, expected = (
        geometry.points_from_network(orientation.points_applied(each, grid).numpy())
        for each in (found[:, :2], found[:, 3:5])
    )
    residuals: list[float | None] = [None] * len(points)
    if geometry.spacing_mm_yx is not None and len(points) > 1:
        residuals = geometry.distances_mm(points, expected).tolist()
    # A peak on the border may be refined half a cell past the last pixel.
    points = np.clip(points, 0.0, np.array(geometry.image_shape_yx) - 1.0)
    lengths_px = found[:, 5:].numpy() / np.sqrt(geometry.network_pixels_per_image_pixel_yx.prod())
    rows = zip(points.tolist(), found[:, 2].tolist(), residuals, lengths_px.tolist(), strict=True)
    landmarks = []
    for point in known:
        if point.state is State.PLACED:
            (y, x), score, residual, (error_px, radius_px) = next(rows)
            landmark = Landmark(
                point.name,
                (y, x),
                score=score,
                unsure=score < UNSURE_BELOW,
                shape_residual_mm=residual,
                # A network of another program may not tell.
                predicted_error_px=None if np.isnan(error_px) else error_px,
                radius_90_px=None if np.isnan(radius_px) else radius_px,
                description=point.description,
                source=Source.DETECTED,
            )
        else:
            landmark = Landmark(point.name, None, point.state, description=point.description)
        landmarks.append(manual.get(point.name, landmark))
    return tuple(landmarks)


def decided_on_image(
    manual: Mapping[str, Landmark], names: Sequence[str], encoded: EncodedImage, offsets: Offsets
) -> Decided:
    """Return what a person decided, in the orientation of the encoded image.

    Found landmarks are moved by the ``offsets``, so that a person's point lies where its match
    is moved to.
    """
    points = [manual.get(name) for name in names]
    places = [(0.0, 0.0) if p is None else p.position_yx or (0.0, 0.0) for p in points]
    geometry, orientation = encoded.prepared.geometry, encoded.lies
    on_grid = torch.from_numpy(geometry.points_to_network(np.array(places, dtype=np.float64)))
    points_yx = orientation.points_undone(on_grid, geometry.network_shape_yx)
    moves = [offsets.get(name, (0.0, 0.0)) for name in names]
    points_yx = points_yx - torch.tensor(moves, dtype=torch.float64)
    held = [p is not None and p.state is State.PLACED for p in points]
    left_out = [p is not None and p.state is not State.PLACED for p in points]
    return Decided(points_yx, torch.tensor(held), torch.tensor(left_out))


def points_on_network(
    landmarks: Landmarks, names: Sequence[str], like: Landmarks | None = None
) -> NDArray[np.float64]:
    """Return landmarks of an image on the network's grid, in the template's orientation.

    Parameters
    ----------
    landmarks : Landmarks
        Positions in pixels of the image.
    names : sequence of str
        Which ones.
    like : Landmarks, optional
        That a detector has found on the same image: its geometry and orientation are taken, by
        default those of ``landmarks``.

    Returns
    -------
    (N, 2), NaN where a landmark is not placed.
    """
    lies = landmarks if like is None else like
    assert lies.geometry is not None
    grid = lies.geometry.network_shape_yx
    placed = {point.name: point.position_yx for point in landmarks.placed}
    points = np.array([placed.get(name) or (np.nan, np.nan) for name in names], dtype=float)
    on_grid = torch.from_numpy(lies.geometry.points_to_network(points.reshape(-1, 2)))
    orientation = Orientation.named(lies.provenance.orientation)
    return np.asarray(orientation.points_undone(on_grid, grid).numpy())


def moved_landmarks(found: Landmarks, offsets: Offsets) -> Landmarks:
    """Return detected landmarks moved by offsets, as far as the image goes.

    What a person has decided stays. What the others expect of a landmark is thought to move with
    it: the shape residual stays, too.
    """
    names = [p.name for p in found.placed if p.name in offsets and not p.is_manual]
    if not names or found.geometry is None:
        return found
    geometry, grid = found.geometry, found.geometry.network_shape_yx
    orientation = Orientation.named(found.provenance.orientation)
    moves = np.array([offsets[name] for name in names])
    on_grid = torch.from_numpy(points_on_network(found, names) + moves)
    points = geometry.points_from_network(orientation.points_applied(on_grid, grid).numpy())
    points = np.clip(points, 0.0, np.array(geometry.image_shape_yx) - 1.0)
    places = {name: (y, x) for name, (y, x) in zip(names, points.tolist(), strict=True)}
    return found.with_points(
        replace(point, position_yx=places[point.name]) if point.name in places else point
        for point in found
    )


def provenance_of(detector: Detector, orientation: Orientation) -> Provenance:
    """Return where the landmarks come from that a detector finds on an image that lies so."""
    further, tuned_on = len(detector.further), detector.tuned_on
    more = f" and {further} more" if further else ""
    more += ", points moved as corrected" if detector.offsets else ""
    more += f", fine-tuned on {tuned_on} corrected" if tuned_on else ""
    return Provenance(
        method=detector.method,
        encoder=detector.encoder_card.identity,
        template=f"{detector.template.name}{more}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        orientation=str(orientation),
    )


def points_of_template(template: Template, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return landmarks in a template, (N, 2) network pixels, and which of them it places.

    What it does not place is at the origin.
    """
    placed = {point.name: point for point in template.landmarks.placed}
    known = torch.tensor([name in placed for name in names])
    points = [placed[name].position_yx if name in placed else (0.0, 0.0) for name in names]
    positions_yx = np.array(points, dtype=np.float64)
    points_yx = template.image.geometry.points_to_network(positions_yx)
    return torch.from_numpy(points_yx), known


def points_with_errors(match: Tensor, shape: ShapeModel) -> Tensor:
    """Return (N, 7) of `Detector.points` from (N, 10) of `Detector.match`.

    Where the whole body could lie elsewhere, the score is the chance that it does not, too, and
    the error and the radius reach there.
    """
    points, clarity, elsewhere = match[:, :2], match[:, 8], match[:, 9]
    log_errors = log_error(match[:, 5:8])
    score = chance_of_near(log_errors) * clarity
    error, radius = mean_error(log_errors), radius_of_90(log_errors)
    error = clarity * error + (1 - clarity) * elsewhere
    radius = torch.where(clarity < CLARITY_OF_RADIUS, radius + elsewhere, radius)
    # Along both axes alike: a network pixel need not be a square of the template's plane.
    pixels = shape.size / shape.pixel_size_yx.prod().sqrt()
    columns = (score, match[:, 3], match[:, 4], error * pixels, radius * pixels)
    return torch.cat((points, torch.stack(columns, 1)), 1)
