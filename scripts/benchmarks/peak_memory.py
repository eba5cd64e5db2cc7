"""Peak memory of one detection, measured in a process of its own.

This file is run: what the process that asks has loaded already must not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from napari_oneshot_lmk.benchmark.machine import own_peak_mb
from napari_oneshot_lmk.errors import OneshotError

LIMIT_S = 600
INSTANT, ENCODER = "instant", "encoder"


def peak_memory_mb(
    template: Path,
    image: Path,
    *,
    encoder_weights: Path | None,
    shipped: bool,
    what: str = INSTANT,
) -> float:
    """Return the peak resident memory of reading an image and detecting on it.

    Parameters
    ----------
    template : Path
        A saved template.
    image : Path
        The image to detect on.
    encoder_weights : Path, optional
        Weights of the encoder, where they are a file of the user's.
    shipped : bool
        Use the encoder that needs no download.
    what : str
        `INSTANT`, `ENCODER` for its forward pass alone, or the folder of a model.

    Returns
    -------
    float
        MB (10^6 bytes) of the whole Python process, libraries included. On the
        processor: a GPU's own memory is not part of it.

    Raises
    ------
    OneshotError
        If the process fails.
    """
    arguments = [str(template), str(image), str(encoder_weights or ""), str(int(shipped)), what]
    child = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise OneshotError(f"the process that measures memory failed ({last})")
    return float(json.loads(child.stdout.splitlines()[-1])["peak_mb"])


def _detect_once(arguments: list[str]) -> None:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.detection.model import TrainedModel
    from napari_oneshot_lmk.detection.trained_detector import TrainedDetector
    from napari_oneshot_lmk.encoders.select import instant_encoder
    from napari_oneshot_lmk.encoders.shipped import shipped_encoder
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.imaging.transforms import prepare_image
    from napari_oneshot_lmk.landmarks.template import Template

    template, image, weights, shipped, what = arguments
    encoder = (
        shipped_encoder("cpu")
        if shipped == "1"
        else instant_encoder(Path(weights) if weights else None, "cpu", allow_download=False)
    )
    if what == ENCODER:
        encoder(prepare_image(read_image(Path(image)), encoder.device))
    else:
        loaded = Template.load(Path(template))
        if what == INSTANT:
            detector = Detector.instant(loaded, encoder=encoder)
        else:
            detector = TrainedDetector(TrainedModel.load(Path(what)), loaded, encoder)
        detector.set_image(read_image(Path(image)))
        detector.detect()
    print(json.dumps({"peak_mb": own_peak_mb()}))


if __name__ == "__main__":
    _detect_once(sys.argv[1:])
