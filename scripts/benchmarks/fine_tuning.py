"""What a reader gains by fine-tuning a fused model on a few corrected images, over some draws.

Each draw is a training. Its model is compared with the one that it began from, both alone and
with the corrected images as further templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.corrections import LIMIT_MM, Plan
from benchmarks.template_choices import TemplateChoices
from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.imaging.reader import read_image
from napari_oneshot_lmk.imaging.transforms import prepare_image
from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.storage.atomic import atomic_write
from napari_oneshot_lmk.training.config import TrainingConfig
from napari_oneshot_lmk.training.events import Event
from napari_oneshot_lmk.training.fine_tune import FineTuning, fine_tune

Floats = NDArray[np.float64]
WAYS = ("nothing", "further templates", "fine-tuning", "both")
TITLES = [
    "corrected",
    "by",
    "draws",
    "MRE mm",
    "< 2 mm %",
    "gain, points",
    "each draw's gain",
]


class Measurement:
    """Fine-tunes and scores draw by draw; what is in ``folder`` already is not done again.

    Parameters
    ----------
    detector : TrainedDetector
        With all images that may be corrected as its ``further`` templates.
    dataset : Dataset
    plan : Plan
    config : TrainingConfig
        From `fine_tuning_config`.
    folder : Path
        For runs and errors.
    encoder : Encoder
        For the copies that are trained on; the detector's own keeps what it has seen.
    tell : callable
        Called with a draw, how many images are corrected, and each event of their training.
    """

    def __init__(
        self,
        detector: TrainedDetector,
        dataset: Dataset,
        plan: Plan,
        config: TrainingConfig,
        folder: Path,
        encoder: Encoder,
        tell: Callable[[int, int, Event], None],
    ) -> None:
        self._detector, self._dataset, self._plan = detector, dataset, plan
        self._config, self._folder, self._tell = config, folder, tell
        self._encoder = encoder

    def errors_mm(self, draw: int, count: int, on_image: Callable[[int, int], None]) -> Floats:
        """Return the errors of each of `WAYS`, (4, points), with the images of a draw corrected."""
        places = [self._plan.corrected.index(n) for n in self._plan.draws[draw][:count]]
        detector = self._detector
        corrected = tuple(detector.further[place] for place in places)
        job = FineTuning(detector.model, detector.template, corrected, self._encoder, self._config)
        scored = self._plan.scored[draw % self._plan.parts :: self._plan.parts]
        path = self._folder / f"{job.key}-{draw % self._plan.parts}-of-{self._plan.parts}.npy"
        if not path.exists():
            for event in fine_tune(job, self._folder / job.key):
                self._tell(draw, count, event)
            tuned = TrainedDetector.from_model(
                TrainedModel.load(self._folder / job.key),
                detector.template,
                detector.encoder,
                further=corrected,
            )
            before = detector.with_further(corrected)
            each = []
            for done, name in enumerate(scored, start=1):
                each.append(self._image(name, before, tuned))
                on_image(done, len(scored))
            with atomic_write(path) as partial, partial.open("wb") as file:
                np.save(file, np.concatenate(each, 1))
        return np.asarray(np.load(path))

    def _image(self, name: str, before: TrainedDetector, tuned: TrainedDetector) -> Floats:
        """Return the errors on one image, (4, N)."""
        dataset = self._dataset
        image = read_image(dataset.file_of(name).path, spacing_mm_yx=dataset.spacing_mm_yx(name))
        every = tuple(range(len(before.further)))
        truth = np.array([dataset.truth[name][n].position_yx for n in before._names])
        found: dict[str, Floats] = {}
        with torch.inference_mode():
            pyramid = before.encoder(prepare_image(image, before.device))
            tried = TemplateChoices(before, pyramid, every)
            trained = tried.with_model(tuned, pyramid)
            for ways, chosen in ((("nothing", "fine-tuning"), ()), (WAYS[1::2], every)):
                start = tried.instant(chosen)
                for way, one in zip(ways, (tried, trained), strict=True):
                    found[way] = one.trained(chosen, start)
        geometry = image.geometry
        return np.array(
            [geometry.distances_mm(geometry.points_from_network(found[w]), truth) for w in WAYS]
        )


def rows(errors: Mapping[tuple[int, int], Floats]) -> list[list[str]]:
    """Return a row for each number of corrected images and way: means over the draws.

    ``errors`` are those of `Measurement.errors_mm`, by draw and number of images.
    """
    table = []
    for count in sorted({count for _, count in errors}):
        of_count = [each for (_, number), each in sorted(errors.items()) if number == count]
        for index, way in enumerate(WAYS):
            mean = np.mean([each[index].mean() for each in of_count])
            within = [100 * float((each[index] < LIMIT_MM).mean()) for each in of_count]
            alone = [100 * float((each[0] < LIMIT_MM).mean()) for each in of_count]
            gains = np.subtract(within, alone)
            table.append(
                [
                    str(count),
                    way,
                    str(len(of_count)),
                    f"{mean:.3f}",
                    f"{np.mean(within):.1f}",
                    f"{gains.mean():+.1f}" if index else "",
                    ", ".join(f"{gain:+.1f}" for gain in gains) if index else "",
                ]
            )
    return table
