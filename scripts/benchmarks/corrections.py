"""What corrected images are worth as further templates, over many draws of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_oneshot_lmk.detection.detector import Detector
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.landmarks.template import Template

Floats = NDArray[np.float64]
LIMIT_MM = 2.0
TITLES = ["corrected", "MRE mm", "< 2 mm %", "over draws", "draws that cost"]


def drawn(dataset: Dataset, largest: int, draws: int, seed: int) -> list[list[str]]:
    """Return the training images that are corrected in each draw, in order."""
    names = [name for name in dataset.train if name != dataset.template_image]
    random = np.random.default_rng(seed)
    return [[names[i] for i in random.permutation(len(names))[:largest]] for _ in range(draws)]


def corrected_template(dataset: Dataset, name: str) -> Template:
    """Return a training image with its true landmarks, as a reader corrects them."""
    image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
    return Template.create(image, dataset.truth[name])


def measure(
    detector: Detector,
    dataset: Dataset,
    draws: Sequence[Sequence[str]],
    counts: Sequence[int],
    on_image: Callable[[int, int], None],
) -> dict[int, Floats]:
    """Return the errors in mm, (draws, points), for each number of corrected images.

    Test images that show the radiograph of a training image are left out: that one may be
    among the corrected ones.

    Parameters
    ----------
    detector : Detector
        With all images of the draws as its further templates.
    dataset : Dataset
        Its test images are scored.
    draws : sequence of sequences of str
        See `drawn`.
    counts : sequence of int
        So many images of each draw are used; 0 is the template alone.
    on_image : callable
        Called with (done, total).
    """
    by_name = {template.image.name: template for template in detector.further}
    test = [truth for truth in dataset.test_truth if truth.image not in dataset.duplicates]
    errors: dict[int, list[list[Floats]]] = {count: [] for count in counts}
    for done, truth in enumerate(test, start=1):
        spacing = dataset.spacing_mm_yx(truth.image)
        path = dataset.file_of(truth.image).path
        detector.set_image(read_image(path, spacing_mm_yx=spacing))
        for count in counts:
            each = []
            for draw in draws if count else draws[:1]:
                chosen = detector.with_further([by_name[name] for name in draw[:count]])
                each.append(errors_mm(chosen.detect(), truth))
            errors[count].append(each)
        on_image(done, len(test))
    return {count: np.concatenate(each, axis=1) for count, each in errors.items()}


def rows(errors: Mapping[int, Floats]) -> list[list[str]]:
    """Return a row per number of corrected images: means over draws, and draws that cost."""
    within = {count: 100 * (each < LIMIT_MM).mean(1) for count, each in errors.items()}
    return [
        [
            str(count),
            f"{each.mean():.3f}",
            f"{within[count].mean():.1f}",
            f"{within[count].min():.1f}–{within[count].max():.1f}",
            str(int((within[count] < within[0].mean()).sum())) if 0 in errors else "",
        ]
        for count, each in errors.items()
    ]


def errors_mm(found: Landmarks, truth: Landmarks) -> Floats:
    """Return the errors in mm of the truth's placed landmarks, (N,)."""
    names = [point.name for point in truth.placed]
    points = np.array([found[name].position_yx for name in names])
    wanted = np.array([truth[name].position_yx for name in names])
    assert found.geometry is not None
    return found.geometry.distances_mm(points, wanted)
