"""Peak memory of one detection, measured in a process of its own.

Run as ``python -m napari_oneshot_lmk.benchmark.memory``: what the process that
asks has loaded already must not count.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

from napari_oneshot_lmk.errors import OneshotError

LIMIT_S = 600


def peak_memory_mb(
    template: Path, image: Path, *, encoder_weights: Path | None, shipped: bool
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
    arguments = [str(template), str(image), str(encoder_weights or ""), str(int(shipped))]
    child = subprocess.run(
        [sys.executable, "-m", "napari_oneshot_lmk.benchmark.memory", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise OneshotError(f"the process that measures memory failed ({last})")
    return float(json.loads(child.stdout.splitlines()[-1])["peak_mb"])


def own_peak_mb() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    try:
        # Not getrusage here: on Linux its maximum survives exec and would be
        # that of the process that started us.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass  # not Linux
    try:
        import resource
    except ImportError as error:
        raise OneshotError("peak memory cannot be measured on this system") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others kilobytes.
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def _detect_once(arguments: list[str]) -> None:
    from napari_oneshot_lmk.detection.detector import Detector
    from napari_oneshot_lmk.encoders.orientation import shipped_encoder
    from napari_oneshot_lmk.encoders.select import instant_encoder
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.landmarks.template import Template

    template, image, weights, shipped = arguments
    encoder = (
        shipped_encoder("cpu")
        if shipped == "1"
        else instant_encoder(Path(weights) if weights else None, "cpu", allow_download=False)
    )
    detector = Detector.instant(Template.load(Path(template)), encoder=encoder)
    detector.set_image(read_image(Path(image)))
    detector.detect()
    print(json.dumps({"peak_mb": own_peak_mb()}))


if __name__ == "__main__":
    _detect_once(sys.argv[1:])
