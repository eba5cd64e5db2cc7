"""What the review keys do: accept, go on, reset, move a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from napari_oneshot_lmk.review.status import names_to_look_at
from napari_oneshot_lmk.widgets import review_texts, shortcuts
from napari_oneshot_lmk.widgets.layers.image_view import ImageView
from napari_oneshot_lmk.widgets.layers.napari_versions import look_closely_at
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.review.annotation import Annotation
    from napari_oneshot_lmk.widgets.detect.run import Pixels
    from napari_oneshot_lmk.widgets.session import Session
    from napari_oneshot_lmk.widgets.workbench import Workbench

NUDGES_YX = {"up": (-1.0, 0.0), "down": (1.0, 0.0), "left": (0.0, -1.0), "right": (0.0, 1.0)}
FINE = 0.1
"""Share of a pixel that a point is moved with Shift."""


class ReviewImages(Protocol):
    """The images that are reviewed, in the order of the list."""

    @property
    def keys(self) -> Sequence[Hashable]:
        """All images."""

    @property
    def current(self) -> Hashable | None:
        """The one on the canvas, if it is one of them."""

    def landmarks(self, key: Hashable) -> Landmarks:
        """Return the landmarks of one as they stand."""

    def name(self, key: Hashable) -> str:
        """Return the name that the user knows it by."""

    def path(self, key: Any) -> Path | None:
        """Return the file of one, None where it has none."""

    def pixels(self, key: Any) -> Pixels:
        """Return what another thread needs to read one."""

    def turn_to(self, key: Hashable) -> None:
        """Show one on the canvas."""

    def expect(self, keys: Sequence[Hashable]) -> None:
        """Prepare for what is likely to be shown next, the likeliest first."""


class OpenImages:
    """The two-dimensional images that are open, but the template's own."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @property
    def keys(self) -> Sequence[ImageView]:
        """All images."""
        views = (ImageView(layer) for layer in self._bench.choice.images if layer.ndim == 2)
        return [view for view in views if not self._bench.session.is_template(view)]

    @property
    def current(self) -> ImageView | None:
        """The one on the canvas, if it is one of them."""
        target = self._bench.session.target
        return target if target in self.keys else None

    def landmarks(self, key: Any) -> Landmarks:
        """Return the landmarks of one as they stand."""
        return self._bench.session.landmarks(target=key)

    def name(self, key: Any) -> str:
        """Return the name that the user knows it by."""
        return str(key.image_name)

    def path(self, key: Any) -> Path | None:
        """Return the file of one, None where it has none."""
        path: Path | None = key.path
        return path

    def pixels(self, key: Any) -> Pixels:
        """Return what another thread needs to read one."""
        pixels: Pixels = key.read_pixels(None)
        return pixels

    def turn_to(self, key: Any) -> None:
        """Show one on the canvas."""
        self._bench.choice.choose(key.layer)

    def expect(self, keys: Sequence[Hashable]) -> None:
        """Do nothing: they are open."""


def _is_open(landmarks: Landmarks) -> bool:
    """Whether there are points that nobody has decided on."""
    return any(not point.is_manual for point in landmarks.placed)


def _is_unfinished(landmarks: Landmarks) -> bool:
    return not landmarks.placed or _is_open(landmarks)


class ReviewActions:
    """The actions of the review keys, on the session's image and on the list of images."""

    def __init__(self, viewer: Any, bench: Workbench) -> None:
        self._viewer = viewer
        self._bench = bench
        self.images: ReviewImages = OpenImages(bench)
        self.order: Callable[[Sequence[Hashable]], Sequence[Hashable]] = list
        """Sorts and filters images as the list shows them."""

    def by_name(self) -> dict[str, Callable[[], None]]:
        """Return the actions by the names that `shortcuts.SHORTCUTS` has for them."""
        nudges = {
            f"{name}{'_fine' * fine}": partial(self.nudge, *(FINE * s if fine else s for s in step))
            for name, step in NUDGES_YX.items()
            for fine in (False, True)
        }
        return nudges | {
            "next_unsure": self.look_at_next_unsure,
            "accept_point": self.accept_point,
            "accept_image": self.accept_image,
            "next_image": partial(self.step, 1),
            "previous_image": partial(self.step, -1),
            "next_corrected": self.turn_to_next_corrected,
            "reset_point": self.reset_point,
        }

    @property
    def _session(self) -> Session:
        return self._bench.session

    def _tell(self, text: str, **values: object) -> None:
        self._bench.told.emit(text.format(**values))

    # -- points --------------------------------------------------------------------

    def look_at(self, name: str) -> None:
        """Select the point of a landmark, centre it and zoom in."""
        target = self._session.target
        position_yx = self._session.annotation.landmarks[name].position_yx
        self._bench.look_for(name)
        if target is not None and position_yx is not None:
            look_closely_at(self._viewer, target, position_yx)

    @property
    def _to_look_at(self) -> tuple[str, ...]:
        """Landmarks of the session's image that have a reason to be looked at."""
        session = self._session
        if session.target is None:
            return ()
        return names_to_look_at(session.landmarks(), session.template)

    def look_at_next_unsure(self) -> None:
        """Go to the next point that a person should look at, or say that there is none."""
        annotation = self._session.annotation
        name = annotation.next_of(self._to_look_at, annotation.current)
        if name:
            self.look_at(name)
        elif annotation.is_result:
            self._tell(review_texts.NO_UNSURE, key=shortcuts.hint("accept_image"))
        else:
            self._tell(review_texts.NOTHING_TO_REVIEW)

    def accept_point(self) -> None:
        """Say that the current point is right, and go to the next to be looked at."""
        annotation = self._session.annotation
        name = annotation.current
        if name and annotation.landmarks[name].position_yx is not None:
            accepted = annotation.accept([name], preferences().author)
            if accepted != annotation:
                self._accept(accepted)
                self._tell(review_texts.POINT_ACCEPTED, name=name)
        if self._to_look_at:
            self.look_at_next_unsure()

    def _accept(self, accepted: Annotation) -> None:
        with self._session.doing("accept"):
            self._session.edit(accepted)

    def reset_point(self) -> None:
        """Put the current point back to where it was detected."""
        if self._session.annotation.current:
            self._bench.reset([self._session.annotation.current])
        else:
            self._tell(review_texts.NO_POINT)

    def nudge(self, rows: float, columns: float) -> None:
        """Move the current point by some pixels, as far as the image goes."""
        target, annotation = self._session.target, self._session.annotation
        name = annotation.current
        position_yx = annotation.landmarks[name].position_yx if name else None
        if target is None or position_yx is None:
            self._tell(review_texts.NO_POINT)
            return
        moved = (position_yx[0] + rows, position_yx[1] + columns)
        if not self._session.blocking_reason and target.contains(moved):
            self._session.edit(annotation.place(name, moved, preferences().author))

    # -- images --------------------------------------------------------------------

    def accept_image(self) -> None:
        """Say that all points of the image are right, and go to the next to be reviewed."""
        target, annotation = self._session.target, self._session.annotation
        if target is None or not annotation.is_result:
            self._tell(review_texts.NOTHING_TO_REVIEW)
            return
        if self._session.blocking_reason:
            # Nobody accepts what is not to be seen.
            self._bench.told.emit(self._session.blocking_reason)
            return
        accepted = annotation.accept(annotation.landmarks.names, preferences().author)
        if accepted != annotation:
            self._accept(accepted)
        image = target.image_name
        if self._turn_to_next(_is_open):
            self._tell(review_texts.IMAGE_ACCEPTED, image=image)
        elif any(_is_unfinished(self.images.landmarks(key)) for key in self.images.keys):
            self._tell(review_texts.LAST_OF_LIST, image=image)
        else:
            self._tell(review_texts.ALL_ACCEPTED, image=image)

    def step(self, by: int) -> None:
        """Turn to the next or previous image of the list."""
        keys = self.order(self.images.keys)
        current = self.images.current
        if not keys or list(keys) == [current]:
            self._tell(review_texts.NO_NEXT)
            return
        at = keys.index(current) if current in keys else (-1 if by > 0 else 0)
        self.turn_to(keys[(at + by) % len(keys)])

    def turn_to_next_corrected(self) -> None:
        """Turn to the next image that a person has corrected."""
        if not self._turn_to_next(lambda la: any(p.is_position_of_person for p in la)):
            self._tell(review_texts.NO_CORRECTED)

    def turn_to(self, key: Hashable) -> None:
        """Show an image of the list."""
        self.images.turn_to(key)
        keys = list(self.order(self.images.keys))
        if key in keys:
            following = keys[keys.index(key) + 1 :] + keys[: keys.index(key)]
            open_ = [k for k in following if _is_open(self.images.landmarks(k))]
            likely = open_[:1] + following[:1] + following[-1:] + open_[1:2]
            self.images.expect(list(dict.fromkeys(likely)))

    def _turn_to_next(self, wanted: Callable[[Landmarks], bool]) -> bool:
        """Turn to the next other image that is wanted; say whether there is one."""
        keys = list(self.order(self.images.keys))
        current = self.images.current
        start = keys.index(current) + 1 if current in keys else 0
        for key in keys[start:] + keys[:start]:
            if key != current and wanted(self.images.landmarks(key)):
                self.turn_to(key)
                return True
        return False
