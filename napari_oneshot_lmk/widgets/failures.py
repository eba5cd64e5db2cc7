"""From an error that nobody expected to a sentence that helps."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import words

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.worker import Failure

PACKAGES = ("napari-oneshot-lmk", "napari", "torch", "monai", "numpy")
WINDOWS_DLL_INIT_FAILED = 1114


def explained(failure: Failure) -> tuple[str, str]:
    """Explain a failure.

    Returns
    -------
    str
        What is wrong and what to do.
    str
        A report to copy; empty where the sentence says all there is.
    """
    error = failure.error
    if isinstance(error, OneshotError):
        return f"{error}.", ""
    if getattr(error, "winerror", None) == WINDOWS_DLL_INIT_FAILED:
        return f"{words.TORCH_DLL}.", report(failure)
    # torch may not be imported for its class: the name is as good.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"{words.OUT_OF_MEMORY}.", report(failure)
    text = words.UNEXPECTED.format(kind=type(error).__name__, error=error)
    return text, report(failure)


def report(failure: Failure) -> str:
    """Write versions and the traceback, for a bug report."""
    lines = [f"Python {sys.version.split()[0]} on {platform.platform()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join([*lines, "", failure.report])
