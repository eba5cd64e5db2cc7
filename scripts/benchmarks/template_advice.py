"""Whether the image that the adviser names is a better template than another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.corrections import LIMIT_MM, corrected_template, errors_mm
from napari_oneshot_lmk.detection.advise import Advice, advise, describe_image
from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset

TITLES = ["templates", "MRE mm", "< 2 mm %", "each, < 2 mm %"]


def ranked(
    dataset: Dataset, encoder: Encoder, on_image: Callable[[int, int], None]
) -> list[Advice]:
    """Rank the training images as the adviser does, best first."""
    described = []
    for done, name in enumerate(dataset.train, start=1):
        file = dataset.file_of(name)
        described.append(describe_image(file, read_image(file.path), encoder))
        on_image(done, len(dataset.train))
    return advise(described)


def groups(
    order: Sequence[str], others: Sequence[str], size: int, seed: int
) -> dict[str, list[str]]:
    """Return which images are tried as templates: the first, last, and some at random."""
    random = np.random.default_rng(seed)
    able = [name for name in order if name not in others]
    drawn = [able[i] for i in random.permutation(len(able))[: 3 * size]]
    return {"first": able[:size], "last": able[-size:], "random": drawn}


def scored_images(dataset: Dataset, count: int, seed: int) -> list[str]:
    """Return the training images that are detected on, never among the templates."""
    random = np.random.default_rng(seed)
    return [dataset.train[i] for i in random.permutation(len(dataset.train))[:count]]


def score(
    dataset: Dataset, template: str, images: Sequence[str], encoder: Encoder
) -> NDArray[np.float64]:
    """Return the errors in mm, (points,), with a training image as the template."""
    detector = Detector(corrected_template(dataset, template), encoder, upright=True)
    errors = []
    for name in images:
        path, spacing = dataset.file_of(name).path, dataset.spacing_mm_yx(name)
        detector.set_image(read_image(path, spacing_mm_yx=spacing))
        errors.append(errors_mm(detector.detect(), dataset.truth[name]))
    return np.concatenate(errors)


def rows(
    dataset: Dataset,
    chosen: dict[str, list[str]],
    images: Sequence[str],
    encoder: Encoder,
    on_template: Callable[[int, int], None],
) -> list[list[str]]:
    """Return a row per group of templates."""
    table, done = [], 0
    total = sum(map(len, chosen.values()))
    for title, names in chosen.items():
        each = []
        for name in names:
            each.append(score(dataset, name, images, encoder))
            done += 1
            on_template(done, total)
        within = [100 * float((errors < LIMIT_MM).mean()) for errors in each]
        table.append(
            [
                f"{title} {len(names)}",
                f"{np.mean(each):.3f}",
                f"{np.mean(within):.1f}",
                ", ".join(f"{share:.0f}" for share in within),
            ]
        )
    return table
