"""Work ahead of its turn: in order, bounded, and gone when nobody wants more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from napari_oneshot_lmk.errors import ImageError
from napari_oneshot_lmk.imaging.prefetch import prefetch


def test_everything_once_and_in_order() -> None:
    late = threading.Event()

    def read(item: int) -> int:
        # The first one comes last.
        if item == 0:
            assert late.wait(10)
        elif item == 3:
            late.set()
        return item * item

    found = list(prefetch(range(20), read, threads=4, waiting=6))
    assert found == [(item, item * item) for item in range(20)]


def test_no_more_than_may_wait() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    reading = prefetch(items(), lambda item: item, threads=2, waiting=5)
    for done in range(1, 40):
        next(reading)
        assert taken <= done + 5
    reading.close()
    assert taken < 50


def test_bad_file_is_handed_over_and_a_defect_is_raised() -> None:
    def read(item: int) -> int:
        if item == 1:
            raise ImageError("is empty")
        return 1 // (3 - item)

    reading = prefetch(range(5), read, threads=2, waiting=3)
    assert next(reading)[1] == 0
    assert isinstance(next(reading)[1], ImageError)
    assert next(reading) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        next(reading)


def test_threads_end_with_the_reader() -> None:
    reading = prefetch(range(100), lambda item: item, threads=3, waiting=4)
    next(reading)
    reading.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
