"""Fit what the signs of a point say about its error, on generated phantoms.

::

    python scripts/fit_uncertainty.py [--encoder-weights VGG19.safetensors] [--count 80]

Phantoms of skulls and hands are generated, one of each population is the template, its landmarks
are detected on all others without training, with the encoder that needs no download and, where its
weights are given, with VGG19. Their truth is exact, so people's scatter is added to it: two
annotations of one landmark differ. The constants for `matching/uncertainty.py` are printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.detection.encoded_image import encode_images
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.matching.uncertainty import NEAR
from phantoms import write_samples

ANATOMIES = ("skull", "hand")
SCATTER = 0.0125
"""Standard deviation of an annotation along each axis, in template sizes: 0.5 mm on a lateral
cephalogram, 1.0 mm on a hand."""
LEAST_ERROR = 0.01
"""Added before the logarithm is taken: smaller errors are equally small."""
HUBER = 0.5
STEPS = 1500
Array = NDArray[np.float64]


def main() -> None:
    """Print the constants."""
    parser = argparse.ArgumentParser(description="Fit the constants of matching/uncertainty.py.")
    parser.add_argument("--encoder-weights", type=Path, help="VGG19, beside the shipped encoder")
    parser.add_argument("--count", type=int, default=80, help="phantoms per anatomy")
    parser.add_argument("--seed", type=int, default=7001, help="population")
    chosen = parser.parse_args()
    signs, errors = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder), chosen.count, chosen.seed, ANATOMIES)
        for anatomy in ANATOMIES:
            data = Dataset.load(Path(folder, anatomy))
            for weights in (None, chosen.encoder_weights)[: 2 if chosen.encoder_weights else 1]:
                for image_signs, image_errors in _detect(data, weights):
                    signs.append(image_signs)
                    errors.append(image_errors)
    fit(np.concatenate(signs), np.concatenate(errors), chosen.seed)


def _detect(data: Dataset, weights: Path | None) -> Iterator[tuple[Array, Array]]:
    """Yield signs, (N, 3), and errors in template sizes, (N, 2), of each image."""
    template, device = data.template(), torch.device("cpu")
    encoder = shipped_encoder(device) if weights is None else None
    detector = Detector.instant(template, encoder=encoder, encoder_weights=weights)
    shape, names = detector.shape, [point.name for point in template.landmarks.placed]
    for name in data.others:
        prepared = detector.prepare(read_image(data.file_of(name).path))
        [encoded] = encode_images(detector.encoder, [prepared])
        match = detector.match(encoded.pyramid)
        truth = np.array([data.truth[name][each].position_yx for each in names], dtype=np.float64)
        on_grid = torch.from_numpy(prepared.geometry.points_to_network(truth))
        apart = (match[:, :2] - on_grid) * shape.pixel_size_yx / shape.size
        yield match[:, 5:8].numpy(), apart.numpy()


def fit(signs: Array, errors_yx: Array, seed: int) -> None:
    """Fit and print. The scatter of annotations widens radii, but orders no points."""
    exact = np.log(np.hypot(*errors_yx.T) + LEAST_ERROR)
    centre, scale = signs.mean(0), signs.std(0)
    place = torch.from_numpy((signs - centre) / scale)
    target = torch.from_numpy(exact)

    def huber(predicted: Tensor) -> Tensor:
        return torch.nn.functional.huber_loss(predicted, target, delta=HUBER)

    constant, factors = _minimise(place, huber, float(np.median(exact)))
    factors = factors / scale
    constant -= float(factors @ centre)
    log_errors = torch.from_numpy(constant + signs @ factors)
    scattered = np.random.default_rng(seed).normal(0, SCATTER, errors_yx.shape) + errors_yx
    reached = torch.from_numpy(np.hypot(*scattered.T))
    lines = {"LOG_ERROR": (constant, *factors)}

    def exponential(predicted: Tensor) -> Tensor:
        return (predicted + reached.clamp_max(1.0) * (-predicted).exp()).mean()

    def pinball(predicted: Tensor) -> Tensor:
        over = reached.log() - predicted
        return torch.maximum(0.9 * over, -0.1 * over).mean()

    def logistic(predicted: Tensor) -> Tensor:
        near = (reached <= NEAR).double()
        return torch.nn.functional.binary_cross_entropy_with_logits(predicted, near)

    middle, spread = log_errors.mean(), log_errors.std()
    column = ((log_errors - middle) / spread)[:, None]
    for title, loss in (("MEAN", exponential), ("RADIUS", pinball), ("CHANCE", logistic)):
        start, slopes = _minimise(column, loss, 0.0 if title == "CHANCE" else -3.0)
        slope = float(slopes[0] / spread)
        lines[title] = (start - slope * float(middle), slope)
    print(
        f"{len(signs)} points, {len(signs) and 100 * (reached <= NEAR).double().mean():.1f} % near"
    )
    for title, values in lines.items():
        print(f"{title} = ({', '.join(f'{value:.3f}' for value in values)})")


def _minimise(place: Tensor, loss_of: object, start: float) -> tuple[float, Array]:
    """Return constant and factors of the linear function of the columns with the least loss."""
    assert callable(loss_of)
    constant = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    factors = torch.zeros(place.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([constant, factors], lr=0.02)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss: Tensor = loss_of(constant + place @ factors)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return constant.item(), factors.detach().numpy()


if __name__ == "__main__":
    main()
