"""Reading ahead in other threads, handed over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from napari_oneshot_lmk.errors import OneshotError

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    items: Iterable[Item], read: Callable[[Item], Result], *, threads: int, waiting: int
) -> Generator[tuple[Item, Result | OneshotError], None, None]:
    """Read items in threads while the caller is busy with earlier ones.

    Parameters
    ----------
    items : iterable
        Taken one by one as there is room.
    read : callable
        Called with an item, in another thread.
    threads : int
        How many read at the same time.
    waiting : int
        Most items that are being read or wait to be fetched; it bounds the memory.

    Yields
    ------
    item, result
        In order; the result is the error where reading raised a `OneshotError`. Whatever
        else it raised is raised when its turn comes.
    """
    upcoming = iter(items)
    queue: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        while True:
            for item in islice(upcoming, waiting - len(queue)):
                queue.append((item, pool.submit(read, item)))
            if not queue:
                return
            item, future = queue.popleft()
            try:
                result: Result | OneshotError = future.result()
            except OneshotError as error:
                result = error
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
