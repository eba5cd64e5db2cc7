"""How a training tells why it ended without a model."""

from __future__ import annotations

import platform
import traceback

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.training.events import Failed
from napari_oneshot_lmk.training.run_start import versions


def failed(error: Exception) -> Failed:
    """Return the event that tells of an error; a user's own needs no report."""
    if isinstance(error, OneshotError):
        return Failed(f"{error}.")
    lines = [f"{name} {number}" for name, number in versions().items()]
    lines += [platform.platform(), "", *traceback.format_exception(error)]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        sentence = (
            "There is not enough memory; close other programs, or use a preset with "
            "a smaller width or batch."
        )
    else:
        what = " ".join(str(error).split()) or "no reason given"
        sentence = (
            f"This should not have happened ({type(error).__name__}: {what}); give "
            "the same command again to go on, and report it if it happens again."
        )
    return Failed(sentence, "\n".join(lines))
