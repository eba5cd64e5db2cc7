"""How images are shown: contrast, inverted or not, and the loupe. Pixels and points stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_oneshot_lmk.review.contrast import Contrast, contrast_limits
from napari_oneshot_lmk.widgets import review_texts
from napari_oneshot_lmk.widgets.display.loupe import ZOOMS, LoupeView

if TYPE_CHECKING:
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView
    from napari_oneshot_lmk.widgets.session import Session

GREY, INVERTED = "gray", "gray_r"


class Display:
    """What is chosen stays for every image that the session turns to.

    Until something is chosen, images are as napari shows them. ``changed`` says that something
    was chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Any, session: Session, tell: Callable[[str], None]) -> None:
        self._viewer, self._session, self._tell = viewer, session, tell
        self.contrast: Contrast | None = None
        self.inverted: bool | None = None
        self.loupe: LoupeView | None = None
        self._zoom = ZOOMS[0]
        session.events.target.connect(self._on_target)

    def by_name(self) -> dict[str, Callable[[], None]]:
        """Return the actions by the names that `shortcuts.SHORTCUTS` has for them."""
        return {
            "contrast": self.next_contrast,
            "invert": self.invert,
            "loupe": self.toggle_loupe,
        }

    # -- contrast ------------------------------------------------------------------

    def show_contrast(self, contrast: Contrast) -> None:
        """Show a part of the grey levels, on this image and on the next ones."""
        self.contrast = contrast
        self._apply(self._session.target)
        self._tell(review_texts.CONTRAST_SHOWN.format(part=review_texts.CONTRAST[contrast]))
        self.changed.emit()

    def next_contrast(self) -> None:
        """Show the next part of the grey levels."""
        parts = list(Contrast)
        at = parts.index(self.contrast or Contrast.FULL)
        self.show_contrast(parts[(at + 1) % len(parts)])

    def invert(self) -> None:
        """Show bright as dark and dark as bright, or no more."""
        self.inverted = not self.inverted
        self._apply(self._session.target)
        self._tell(review_texts.INVERTED if self.inverted else review_texts.NOT_INVERTED)
        self.changed.emit()

    def _on_target(self, target: ImageView | None) -> None:
        self._apply(target)

    def _apply(self, target: ImageView | None) -> None:
        if target is None or target.layer.rgb:
            # The colours of a photograph are what they are.
            return
        layer = target.layer
        if self.contrast is not None:
            pixels = np.asarray(target.read_pixels(None).pixels)
            layer.contrast_limits = contrast_limits(pixels, self.contrast)
        if self.inverted is not None:
            layer.colormap = INVERTED if self.inverted else GREY

    # -- loupe ---------------------------------------------------------------------

    @property
    def loupe_zoom(self) -> int:
        """Pixels of the screen per pixel of the image; 0 where there is no loupe."""
        return 0 if self.loupe is None else self._zoom

    def toggle_loupe(self) -> None:
        """Open the loupe, or close it."""
        self.show_loupe(0 if self.loupe is not None else self._zoom)

    def show_loupe(self, zoom: int) -> None:
        """Open the loupe with a zoom, or close it with 0."""
        self._zoom = zoom or self._zoom
        if self.loupe is None and zoom:
            loupe = LoupeView(self._viewer, self._session)
            loupe.destroyed.connect(self._on_closed)
            self.loupe = loupe
            self._viewer.window.add_dock_widget(loupe, name=review_texts.LOUPE, area="left")
        elif self.loupe is not None and not zoom:
            loupe, self.loupe = self.loupe, None
            self._viewer.window.remove_dock_widget(loupe)
            loupe.deleteLater()
        if self.loupe is not None:
            self.loupe.show_zoom(self._zoom)
        self.changed.emit()

    def _on_closed(self, *_: object) -> None:
        if self.loupe is not None:
            self.loupe = None
            self.changed.emit()
