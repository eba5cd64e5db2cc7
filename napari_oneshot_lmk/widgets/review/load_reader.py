"""The reader of images, imported before the first image of a project is to be shown."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from threading import Thread

READER = "napari_oneshot_lmk.imaging.transforms"


@cache
def load_reader() -> None:
    """Import what reads images, in another thread; once.

    It brings torch, which takes seconds: better while the user looks for a folder than in the
    window's thread afterwards.
    """
    Thread(target=import_module, args=(READER,), daemon=True).start()
