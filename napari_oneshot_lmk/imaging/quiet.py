"""Warnings and logs of the libraries that read images, kept off the terminal."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LOGGERS = ("pydicom", "tifffile", "nibabel.global", "PIL", "nrrd")

_lock = threading.Lock()
_readers = 0
_open = ExitStack()
_itk_readers = 0
_itk_was_on = True


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the libraries say off the terminal while any thread reads.

    What matters of it becomes a sentence of ours. The switches are those of the
    whole process, so the readers are counted: the first turns them, the last turns
    them back.
    """
    global _readers
    with _lock:
        if _readers == 0:
            _open.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for name in LOGGERS:
                _open.enter_context(_silenced(logging.getLogger(name)))
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _open.close()


@contextmanager
def itk_quiet() -> Iterator[None]:
    """Do the same with ITK's own switch, only where ITK is used."""
    import SimpleITK

    global _itk_readers, _itk_was_on
    switch = SimpleITK.ProcessObject
    with _lock:
        if _itk_readers == 0:
            _itk_was_on = switch.GetGlobalWarningDisplay()
            switch.GlobalWarningDisplayOff()
        _itk_readers += 1
    try:
        yield
    finally:
        with _lock:
            _itk_readers -= 1
            if _itk_readers == 0 and _itk_was_on:
                switch.GlobalWarningDisplayOn()


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
