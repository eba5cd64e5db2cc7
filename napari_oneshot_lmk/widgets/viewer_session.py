"""Which session belongs to which viewer."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from napari_oneshot_lmk.widgets.session import Session

_SESSIONS: WeakValueDictionary[int, Session] = WeakValueDictionary()


def session_of(viewer: Any) -> Session:
    """Return the one session of a viewer, made on first use.

    napari hands every dock its own proxy of the viewer; all of them hash alike.
    """
    key = hash(viewer)
    session = _SESSIONS.get(key)
    if session is None:
        session = _SESSIONS[key] = Session()

        # The viewer holds this function, and this function the session: the
        # template survives closed docks, and goes with the viewer.
        def forget(event: Any, session: Session = session) -> None:
            if hasattr(event.value, "unique_id"):
                session.forget(event.value)

        viewer.layers.events.removed.connect(forget)
    return session
