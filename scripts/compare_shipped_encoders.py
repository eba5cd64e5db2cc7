"""Measure the candidates for the encoder that needs no download.

::

    python scripts/compare_shipped_encoders.py --data DIR [--encoder-weights FILE]

``DIR`` is a data folder as for ``oneshot-lmk benchmark``. One row a candidate:
instant detection with the detector as it stands, errors at native resolution.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.encoder import Encoder, EncoderCard, FeaturePyramid, Level
from napari_oneshot_lmk.encoders.orientation import (
    CELL_BLUR,
    GRADIENTS_PER_CELL,
    STRIDES,
    OrientationEncoder,
    direction_bins,
    gaussian_kernel,
    stack_neighbours,
)
from napari_oneshot_lmk.encoders.select import build_encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Smooth each channel of (B, C, H, W) with a Gaussian of ``sigma`` pixels."""
    kernel = gaussian_kernel(sigma, images)
    reach = kernel.shape[0] // 2
    kernel = kernel.expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(rows, kernel.transpose(-1, -2), groups=images.shape[1])


CPU = torch.device("cpu")
Describe = Callable[[Tensor, int], Tensor]


class DescriptorEncoder:
    """A function of image and stride as an encoder."""

    device = CPU

    def __init__(self, name: str, describe: Describe) -> None:
        self._describe = describe
        blank = torch.rand(1, 1, 64, 64)
        levels = (Level(f"{name}{s}", s, describe(blank, s).shape[1]) for s in STRIDES)
        self.card = EncoderCard(name, name, "", tuple(levels))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (1, 1, H, W) grey images in 0..1."""
        maps = tuple(self._describe(images.float(), stride) for stride in STRIDES)
        return FeaturePyramid(maps, self.card.levels)


class JoinedEncoder:
    """The levels of several encoders together."""

    device = CPU

    def __init__(self, *encoders: Encoder) -> None:
        self._encoders = encoders
        name = "+".join(encoder.card.name for encoder in encoders)
        levels = tuple(level for encoder in encoders for level in encoder.card.levels)
        self.card = EncoderCard(name, name, "", levels)

    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (1, 1, H, W) grey images in 0..1."""
        maps = tuple(m for encoder in self._encoders for m in encoder(images).maps)
        return FeaturePyramid(maps, self.card.levels)


class LearnedLevels:
    """The compact CNN's maps alone."""

    device = CPU

    def __init__(self) -> None:
        self._encoder = shipped_encoder(CPU)
        card = self._encoder.card
        self.card = replace(card, name="compact CNN", levels=card.levels[: len(STRIDES)])

    def __call__(self, images: Tensor) -> FeaturePyramid:
        """Encode (1, 1, H, W) grey images in 0..1."""
        return FeaturePyramid(self._encoder(images).maps[: len(STRIDES)], self.card.levels)


def orientations(*strides: int) -> Encoder:
    """Return the hand-made descriptors of some strides."""
    encoder = OrientationEncoder(CPU, strides=strides)
    encoder.card = replace(encoder.card, name=f"orientation {strides}")
    return encoder


def grey_patches(images: Tensor, stride: int) -> Tensor:
    """7 x 7 grey cells, normalised: what raw correlation sees."""
    return stack_neighbours(F.avg_pool2d(images, stride))


def plain_histograms(images: Tensor, stride: int) -> Tensor:
    """Direction histograms as in HOG and SIFT: no root, no centring."""
    side = min(GRADIENTS_PER_CELL, stride)
    directions = direction_bins(F.avg_pool2d(images, stride // side))
    cells = F.avg_pool2d(gaussian_blur(directions, CELL_BLUR * side), side)
    height, width = cells.shape[-2:]
    padded = F.pad(cells, (3, 3, 3, 3), mode="replicate")
    parts = [padded[..., y : y + height, x : x + width] for y in range(7) for x in range(7)]
    return F.normalize(torch.cat(parts, 1), dim=1)


def daisy(images: Tensor, stride: int) -> Tensor:
    """DAISY (Tola, Lepetit and Fua, PAMI 2010): three rings of eight histograms."""
    from skimage.feature import daisy as skimage_daisy

    radius = 6
    half = F.avg_pool2d(images, stride // 2)[0, 0].double().numpy()
    found = skimage_daisy(
        np.pad(half, (radius, radius - 1), mode="edge"),
        step=2,
        radius=radius,
        rings=3,
        histograms=8,
        orientations=8,
    )
    height, width = half.shape[0] // 2, half.shape[1] // 2
    return torch.from_numpy(found).float().permute(2, 0, 1)[None, :, :height, :width]


def mind(images: Tensor, stride: int) -> Tensor:
    """MIND (Heinrich et al., MedIA 2012), eight neighbours, not stack_neighbours."""
    similarity = self_similarity(images, stride)
    return similarity - similarity.mean(1, keepdim=True)


def stacked_mind(images: Tensor, stride: int) -> Tensor:
    """MIND over a neighbourhood of 7 x 7 cells."""
    return stack_neighbours(self_similarity(images, stride))


def self_similarity(images: Tensor, stride: int) -> Tensor:
    """Similarity of a patch to its eight neighbours, (1, 8, H / s, W / s)."""
    half = F.avg_pool2d(images, stride // 2)
    height, width = half.shape[-2:]
    padded = F.pad(half, (1, 1, 1, 1), mode="replicate")
    steps = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    differences = [
        gaussian_blur((half - padded[..., y : y + height, x : x + width]) ** 2, 1.0)
        for y, x in steps
    ]
    distance = torch.cat(differences, 1)
    variance = distance.mean(1, keepdim=True)
    typical = variance.mean()
    variance = variance.clamp(typical * 1e-3, typical * 1e3)
    similarity = torch.exp(-distance / variance)
    return F.avg_pool2d(similarity / similarity.amax(1, keepdim=True), 2)


def candidates(weights: Path | None) -> Iterator[Encoder]:
    """All encoders that are compared, the shipped one first; with VGG19 where it is named."""
    learned, every = LearnedLevels(), orientations(*STRIDES)
    if weights is not None:
        vgg19 = build_encoder(weights, "cpu")
        yield vgg19
        for beside in ((every,), (learned,), (shipped_encoder(CPU),), (learned, every)):
            yield JoinedEncoder(vgg19, *beside)
        return
    yield shipped_encoder(CPU)
    yield learned
    for strides in ((2, 4, 8), (4, 8), (8,), STRIDES):
        yield JoinedEncoder(learned, orientations(*strides))
    yield every
    yield DescriptorEncoder("plain histograms (HOG)", plain_histograms)
    yield DescriptorEncoder("MIND, 7 x 7 cells", stacked_mind)
    yield DescriptorEncoder("MIND", mind)
    yield DescriptorEncoder("DAISY", daisy)
    yield DescriptorEncoder("grey patches", grey_patches)


def errors_mm(encoder: Encoder, dataset: Dataset, names: list[str]) -> np.ndarray:
    """Errors of instant detection, (images, landmarks)."""
    detector = Detector.instant(dataset.template(), encoder=encoder)
    rows = []
    for name in names:
        image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
        detector.set_image(image)
        found = detector.detect().positions_yx
        truth = dataset.truth[name].positions_yx
        rows.append(image.geometry.distances_mm(found, truth))
    return np.array(rows)


def main() -> None:
    """Print one row a candidate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder-weights", type=Path, help="of VGG19: compare beside it")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--every", type=int, default=1, help="every n-th image")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset.load(asked.data)
    # Choosing on training images that are also test images would choose on the test.
    twins = {name for pair in dataset.description.same_radiograph for name in pair}
    left_out = {dataset.template_image} | (twins if asked.split == "train" else set())
    names = [n for n in getattr(dataset, asked.split) if n not in left_out]
    names = names[:: asked.every]
    print(f"{dataset.name}, {len(names)} images, {asked.split}")
    print("| encoder | MRE mm | median | SDR 2 / 2.5 / 3 / 4 mm, % | > 6 mm | s |")
    print("|---|---|---|---|---|---|")
    for encoder in candidates(asked.encoder_weights):
        start = time.process_time()
        errors = errors_mm(encoder, dataset, names)
        seconds = (time.process_time() - start) / len(names)
        rates = " / ".join(f"{(errors < t).mean():.1%}"[:-1] for t in (2, 2.5, 3, 4))
        print(
            f"| {encoder.card.name} | {errors.mean():.2f} | {np.median(errors):.2f} "
            f"| {rates} | {(errors > 6).mean():.1%} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
