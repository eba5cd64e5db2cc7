"""ITK's warnings, kept off the terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK

_warnings_lock = threading.Lock()
_silent_readers = 0
_warnings_were_on = True


@contextmanager
def itk_silenced() -> Iterator[None]:
    """Keep ITK's warnings off the terminal while any thread reads.

    The switch is one for the whole process, so it is counted.
    """
    global _silent_readers, _warnings_were_on
    with _warnings_lock:
        if _silent_readers == 0:
            _warnings_were_on = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
            SimpleITK.ProcessObject.GlobalWarningDisplayOff()
        _silent_readers += 1
    try:
        yield
    finally:
        with _warnings_lock:
            _silent_readers -= 1
            if _silent_readers == 0 and _warnings_were_on:
                SimpleITK.ProcessObject.GlobalWarningDisplayOn()
