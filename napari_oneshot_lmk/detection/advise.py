"""Which image of many to annotate: the one that is most like the others.

Nothing is annotated yet, so images are compared as wholes: the encoder's coarse maps, averaged in
the cells of a grid, so that what lies in the same part of two images is compared. Several
templates are chosen so that every image is like one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from napari_oneshot_lmk.encoders.encoder import Encoder, FeaturePyramid
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.imaging.find import ImageFile
from napari_oneshot_lmk.imaging.image import GrayImage
from napari_oneshot_lmk.imaging.transforms import prepare_image

Floats = NDArray[np.float32]

GRID = 12
"""Cells along a side."""
COARSEST = 8
"""Finest stride of the maps that are averaged: finer ones say little about a whole image."""
SMALL = 32
"""Side of the grey picture by which turned and mirrored images are found."""
TURNED_BY = 0.15
"""How much better an image has to fit to the others when it is turned, as a correlation."""
CLIPPED = 0.05
"""How many more pixels than usual at an end of the grey scale are named, as a share."""
UNUSUAL = 2.5
"""Robust standard deviations from which on a side of an image is called unusual."""
SIDES = ("top", "bottom", "left", "right")
FEWEST = 3
"""With fewer images there is nothing to choose."""


@dataclass(frozen=True)
class ImageDescription:
    """An image as a whole."""

    file: ImageFile
    cells: Floats
    """(GRID * GRID, C), unit length in each cell."""
    small: Floats
    """(SMALL, SMALL), the image, mean 0 and length 1."""
    clipped: float
    """Share of its pixels at either end of the grey scale."""


@dataclass(frozen=True)
class Advice:
    """How well an image would serve as the template."""

    file: ImageFile
    likeness: float
    """Mean similarity with all others, a cosine."""
    chosen: int | None
    """1 for the first template, 2 for the second …; None for the others."""
    stands_for: int
    """Images that are more like this chosen one than like the other chosen ones."""
    reasons: tuple[str, ...]
    """In plain words, the most important first."""


def describe_image(file: ImageFile, image: GrayImage, encoder: Encoder) -> ImageDescription:
    """Describe an image by the encoder's maps; an `ImageError` says if it has no content."""
    pixels = prepare_image(image, encoder.device)
    with torch.inference_mode():
        cells = _cells(encoder(pixels))
        small = F.adaptive_avg_pool2d(pixels, SMALL)[0, 0].cpu().numpy()
    small = small - small.mean()
    ends = (pixels <= 0.002) | (pixels >= 0.998)
    return ImageDescription(
        file, cells, small / max(float(np.linalg.norm(small)), 1e-6), float(ends.float().mean())
    )


def describe_images(
    files: Sequence[ImageFile],
    read: Callable[[ImageFile], GrayImage],
    encoder: Encoder,
) -> Generator[ImageDescription | OneshotError, None, None]:
    """Describe images one after the other; one that cannot be read yields its error."""
    for file in files:
        try:
            yield describe_image(file, read(file), encoder)
        except OneshotError as error:
            yield error.about(file.name)


def likenesses(images: Sequence[ImageDescription]) -> NDArray[np.float64]:
    """Return the similarity of each image with each other one, (N, N), cosines."""
    every = np.stack([image.cells.ravel() for image in images]).astype(np.float64)
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    return np.asarray(every @ every.T)


def advise(images: Sequence[ImageDescription], count: int = 1) -> list[Advice]:
    """Rank images by how well each would serve as the template.

    Parameters
    ----------
    images : sequence of ImageDescription
        At least three.
    count : int
        How many templates are chosen. The first is the most central image; each further one is
        that which makes all images most like their nearest template (greedy facility location;
        Nemhauser, Wolsey & Fisher 1978).

    Returns
    -------
    list of Advice
        The chosen ones first, then by likeness; images that lie differently, are cut off or badly
        exposed come last, and are never chosen unless all are.

    Raises
    ------
    UsageError
        If there are fewer than three images.
    """
    if len(images) < FEWEST:
        raise UsageError(
            f"there are {len(images)} images, too few to compare",
            remedy=f"name at least {FEWEST} images, or a folder with them",
        )
    alike = likenesses(images)
    others = (alike.sum(1) - 1) / (len(images) - 1)
    faults = _faults(images, alike)
    able = [i for i, each in enumerate(faults) if not each] or list(range(len(images)))
    chosen = _cover(alike, able, others, min(count, len(able)))
    nearest = np.argmax(alike[:, chosen], axis=1)
    stands_for = np.bincount(nearest, minlength=len(chosen))
    place = {index: number for number, index in enumerate(chosen)}
    order = sorted(
        range(len(images)), key=lambda i: (place.get(i, count), bool(faults[i]), -others[i])
    )
    return [
        Advice(
            images[i].file,
            float(others[i]),
            place[i] + 1 if i in place else None,
            int(stands_for[place[i]]) if i in place else 0,
            _reasons(i, place, stands_for, others, faults[i]),
        )
        for i in order
    ]


def _cells(pyramid: FeaturePyramid) -> Floats:
    """Average the coarse maps in a grid, each level of unit length in each cell."""
    levels = [
        F.normalize(F.adaptive_avg_pool2d(one.float(), GRID)[0].flatten(1).T, dim=1)
        for one, level in zip(pyramid.maps, pyramid.levels, strict=True)
        if level.stride >= COARSEST
    ]
    cells = F.normalize(torch.cat(levels, 1), dim=1)
    return np.asarray(cells.cpu().numpy(), dtype=np.float32)


def _cover(
    alike: NDArray[np.float64], able: Sequence[int], others: NDArray[np.float64], count: int
) -> list[int]:
    chosen = [max(able, key=lambda i: others[i])]
    while len(chosen) < count:
        covered = alike[:, chosen].max(1)
        left = [i for i in able if i not in chosen]
        chosen.append(max(left, key=lambda i: float(np.maximum(covered, alike[:, i]).sum())))
    return chosen


def _faults(
    images: Sequence[ImageDescription], alike: NDArray[np.float64]
) -> list[tuple[str, ...]]:
    """Say what speaks against each image, compared with the others."""
    found: list[list[str]] = [[] for _ in images]
    small = np.stack([image.small for image in images])
    # The median is not moved by the few that lie differently.
    usual = np.median(small, axis=0)
    usual = usual / max(float(np.linalg.norm(usual)), 1e-6)
    clipped = np.array([image.clipped for image in images])
    for number, image in enumerate(images):
        fits = {name: float((usual * turned).sum()) for name, turned in _turned(image.small)}
        best = max(fits, key=lambda name: fits[name])
        if best and fits[best] > fits[""] + TURNED_BY:
            found[number].append(f"{best}, compared with most images")
        if image.clipped > np.median(clipped) + CLIPPED:
            share = 100 * image.clipped
            found[number].append(f"{share:.0f} % of it is black or white: badly exposed")
    sides = _side_likenesses(images)
    usual_sides = np.median(sides, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(sides - usual_sides), axis=0), 1e-3)
    for number, unlike in enumerate(sides < usual_sides - UNUSUAL * spread):
        named = [side for side, each in zip(SIDES, unlike, strict=True) if each]
        if named:
            where = f"{' and '.join(named)} edge{'s' if len(named) > 1 else ''}"
            found[number].append(f"unlike the others at its {where}: cut off or framed, perhaps")
    return [tuple(each) for each in found]


def _turned(small: Floats) -> list[tuple[str, Floats]]:
    """Return the eight orientations with their names, "" for the image as it is."""
    found = []
    for mirrored in (False, True):
        for turns in range(4):
            words = ["mirrored"] if mirrored else []
            if turns:
                words.append("upside down" if turns == 2 else "lying on its side")
            one = np.rot90(small[:, ::-1] if mirrored else small, turns)
            found.append((" and ".join(words), one))
    return found


def _side_likenesses(images: Sequence[ImageDescription]) -> NDArray[np.float64]:
    """Return how like the others each image is at its four edges, less how like it is as a whole.

    (N, 4), in the order of `SIDES`; means of cosines.
    """
    every = np.stack([image.cells for image in images])
    mean = every.mean(0)
    mean /= np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-6)
    cosine = (every * mean).sum(-1).reshape(-1, GRID, GRID).astype(np.float64)
    whole = cosine.mean((1, 2))
    edges = (cosine[:, 0], cosine[:, -1], cosine[:, :, 0], cosine[:, :, -1])
    return np.stack([edge.mean(1) - whole for edge in edges], 1)


def _reasons(
    index: int,
    place: dict[int, int],
    stands_for: NDArray[np.int64],
    others: NDArray[np.float64],
    faults: tuple[str, ...],
) -> tuple[str, ...]:
    rank = int((others > others[index]).sum()) + 1
    words = []
    if index in place:
        number = place[index]
        if number == 0:
            words.append("most like all others")
        if len(place) > 1:
            words.append(f"nearest to {stands_for[number]} of {len(others)} images")
    words += faults
    if place.get(index) != 0:
        words.append(f"number {rank} of {len(others)} in likeness to the others")
    return tuple(words)
