"""Workers that were lost on the way, and what was done again for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

_TOPIC = "all"


class Losses:
    """Listens to a scheduler.

    Parameters
    ----------
    client : distributed.Client
        Connected to it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events: deque[Mapping[str, Any]] = deque()
        client.subscribe_topic(_TOPIC, self._take)

    def close(self) -> None:
        """Listen no longer."""
        self._client.unsubscribe_topic(_TOPIC)

    def told(self, at_work: Mapping[str, int], what: str) -> Iterator[str]:
        """Say in words which workers were lost since the last time.

        Parameters
        ----------
        at_work : mapping of str to int
            How many things each task that is not done is about.
        what : str
            The things, one of them: ``"image"``.
        """
        while self._events:
            event = self._events.popleft()
            tasks = {*event["processing-tasks"], *event["lost-computed-tasks"]}
            again = sum(at_work.get(task, 0) for task in tasks)
            if again:
                things = f"1 {what} is" if again == 1 else f"{again} {what}s are"
                yield f"{things} done again because worker {event['worker']} was lost."

    def _take(self, event: tuple[float, Any]) -> None:
        # Called in dask's thread.
        _, content = event
        if isinstance(content, dict) and content.get("action") == "remove-worker":
            self._events.append(content)
