"""The dock "Annotate template": guides through a list of landmarks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.widgets import advise_texts, shortcuts, texts
from napari_oneshot_lmk.widgets.annotate.advise import AdviseDialog
from napari_oneshot_lmk.widgets.annotate.close_question import ask_before_unsaved_close
from napari_oneshot_lmk.widgets.annotate.form import AnnotateForm
from napari_oneshot_lmk.widgets.annotate.list_menu import ListButton
from napari_oneshot_lmk.widgets.contributions.readers import show_image
from napari_oneshot_lmk.widgets.detectors import detectors_of
from napari_oneshot_lmk.widgets.header import ImageHeader
from napari_oneshot_lmk.widgets.layers.napari_versions import look_at
from napari_oneshot_lmk.widgets.layers.open_layers import annotation_layer_of, points_layers
from napari_oneshot_lmk.widgets.qt.connections import connect_until_destroyed, without_argument
from napari_oneshot_lmk.widgets.qt.parts import NOTE
from napari_oneshot_lmk.widgets.qt.save_dialogs import ask_save_landmarks, ask_save_template
from napari_oneshot_lmk.widgets.qt.scrolling import scrolling_layout
from napari_oneshot_lmk.widgets.settings import preferences
from napari_oneshot_lmk.widgets.viewer_session import session_of
from napari_oneshot_lmk.widgets.workbench import workbench_of

if TYPE_CHECKING:
    from napari_oneshot_lmk.imaging.find import ImageFile
    from napari_oneshot_lmk.landmarks.landmarks import Landmarks
    from napari_oneshot_lmk.landmarks.lists import LandmarkList
    from napari_oneshot_lmk.widgets.autosave import Sidecar
    from napari_oneshot_lmk.widgets.layers.image_view import ImageView
    from napari_oneshot_lmk.widgets.session import Session


class AnnotateWidget(QWidget):
    """Places the landmarks of a list on one image, one click after another.

    Parameters
    ----------
    napari_viewer : Viewer
        Where to annotate.
    session : Session, optional
        Shared with other docks; by default the viewer's own.
    with_header : bool
        Show which image is worked on; not needed inside the composed dock.
    """

    def __init__(
        self, napari_viewer: Any, session: Session | None = None, with_header: bool = True
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.session = session_of(napari_viewer) if session is None else session
        self.bench = workbench_of(napari_viewer, self.session)
        self.adviser: AdviseDialog | None = None
        layout = scrolling_layout(self)
        if with_header:
            self.header = ImageHeader(self._viewer, self.session)
            layout.addWidget(self.header)
        self.lists = ListButton(self.follow_list, self._complain)
        self.lists.offer_layers(lambda: points_layers(napari_viewer), self.adopt)
        self.form = AnnotateForm(self.lists)
        layout.addWidget(self.form)
        self._connect()
        self._on_target()

    def _connect(self) -> None:
        bench, form = self.bench, self.form
        events, layers = self.session.events, self._viewer.layers
        for signal, handler in (
            (events.target, self._on_target),
            (events.annotation, self._on_annotation),
            # An undo may leave the landmarks as they are, and change only the history.
            (self.session.edited, self._refresh),
            (events.template, self._refresh),
            (bench.autosave.saved, self._on_saved),
            (bench.autosave.failed, self._on_save_failed),
            (bench.told, form.message.say),
            (bench.help_wanted, self.show_keys),
            (bench.paused, self._refresh),
            (layers.events.removed, self._refresh),
            (layers.events.inserted, self._on_inserted),
        ):
            connect_until_destroyed(self, handler, signal)
        shortcuts.bind_dock(self, bench.actions)
        bench.keys.serve(self)
        for action, button in form.buttons.items():
            button.clicked.connect(without_argument(bench.actions[action]))
        form.table.picked.connect(self._on_picked)
        form.start.clicked.connect(self.place)
        form.offer.declined.connect(self._on_declined)
        form.advise.clicked.connect(without_argument(self.show_advice))
        form.use_template.clicked.connect(self._on_use_template)
        form.save_template.clicked.connect(self._on_save_template)
        form.save_landmarks.clicked.connect(self._on_save_landmarks)

    def showEvent(self, event: Any) -> None:  # noqa: N802  Qt's name
        """Watch the window that the dock is now part of."""
        super().showEvent(event)
        ask_before_unsaved_close(self, self.session)

    # -- what the user does ---------------------------------------------------------

    def place(self) -> None:
        """Let clicks on the canvas place landmarks."""
        self.bench.place()
        self._refresh()

    def follow_list(self, names: LandmarkList) -> None:
        """Go through another list; points of the same name stay."""
        if self.session.target is None:
            self._complain(texts.PROMPT_NO_IMAGE)
            return
        lost = self.session.choose_list(names)
        text = texts.NAME_LOST if len(lost) == 1 else texts.NAMES_LOST
        shown = ", ".join(lost[:3]) + ("…" if len(lost) > 3 else "")
        self._complain(text.format(count=len(lost), names=shown) if lost else "")

    def adopt(self, layer: Any) -> None:
        """Continue with the landmarks of a points layer."""
        if self.session.target is None:
            self._complain(texts.PROMPT_NO_IMAGE)
            return
        try:
            self.bench.adopt(layer)
        except OneshotError as error:
            self._complain(f"{error}.")
        self._refresh()

    def show_keys(self) -> None:
        """Show the keys and what the mouse does."""
        self.keys = QMessageBox(self)
        self.keys.setWindowTitle(texts.KEYS_TITLE)
        self.keys.setText(shortcuts.help_table())
        self.keys.setInformativeText(texts.KEYS_NOTE)
        self.keys.setModal(False)
        self.keys.show()

    def show_advice(self) -> None:
        """Show the dialog that says which image of a folder to annotate."""
        if self.adviser is None:
            self.adviser = AdviseDialog(self, detectors_of(self.bench))
            self.adviser.picked.connect(self._on_advised)
        self.adviser.show()
        self.adviser.raise_()

    def _on_advised(self, file: ImageFile) -> None:
        """Turn to an image, which is opened first where it is not open yet."""
        for layer in self.bench.choice.images:
            source = layer.source.path
            if source and Path(source) == file.path:
                self.bench.choice.choose(layer)
                return
        shown = show_image(file.path)
        if shown is None:
            self._complain(advise_texts.CANNOT_OPEN.format(image=file.name))
        else:
            self.bench.choice.choose(shown.layer)

    def _on_picked(self, name: str) -> None:
        self.bench.pick(name)
        position = self.session.annotation.landmarks[name].position_yx
        if position is not None and self.session.target is not None:
            look_at(self._viewer, self.session.target, position)

    def _on_use_template(self) -> None:
        self._say_result_of(self._use_template)

    def _on_save_template(self) -> None:
        self._say_result_of(lambda: ask_save_template(self, self.session.make_template()))

    def _on_save_landmarks(self) -> None:
        self._say_result_of(self._save_landmarks)

    def _use_template(self) -> str:
        placed = self.session.use_as_template().landmarks.placed
        return texts.TEMPLATE_TAKEN.format(landmarks=texts.counted(len(placed), "landmark"))

    def _save_landmarks(self) -> str:
        landmarks = self.session.landmarks(preferences().author)
        target = self.session.target
        kept = landmarks.with_points(self.session.annotation.kept)
        said = ask_save_landmarks(
            self, [kept], files=[self.bench.file_of(target) if target else None]
        )
        if said and target is not None:
            self.session.note_saved(target, landmarks)
        return said

    def _say_result_of(self, act: Callable[[], str]) -> None:
        """Show what an action returns, if anything, or why it failed."""
        try:
            said = act()
        except OneshotError as error:
            self._complain(f"{error}.")
        else:
            if said:
                self.form.message.say(said)

    def _complain(self, text: str) -> None:
        self.form.complain(text)

    # -- what happens ---------------------------------------------------------------

    def _on_target(self) -> None:
        self.form.message.say(self.bench.autosave.other_window(), NOTE)
        self.form.show_saved(None, None)
        self._on_inserted()

    def _on_inserted(self, event: Any = None) -> None:
        # A sample brings its landmarks after its image.
        self._look_for_earlier_work()
        self._refresh()

    def _look_for_earlier_work(self) -> None:
        target, offer = self.session.target, self.form.offer
        offer.clear()
        begun = len(self.session.annotation.landmarks) > 0
        if target is None or self.bench.autosave.has_declined(target) or begun:
            return
        saved = None
        try:
            saved = self.bench.autosave.offer()
        except OneshotError as error:
            self._complain(texts.SIDECAR_BROKEN.format(error=error))
        layer = annotation_layer_of(self._viewer, target)
        if saved is not None:
            landmarks = saved.landmarks
            text = texts.OFFER_SIDECAR.format(
                when=f"{saved.saved_at:{texts.SAVED_AT}}",
                placed=len(landmarks.placed),
                count=len(landmarks),
            )
            offer.ask(text, lambda: self._restore(landmarks))
        elif layer is not None:
            held = texts.counted(len(layer.data), "landmark")
            text = texts.OFFER_LAYER.format(layer=layer.name, landmarks=held)
            offer.ask(text, lambda: self.adopt(layer))

    def _restore(self, landmarks: Landmarks) -> None:
        self.bench.autosave.accept()
        target = self.session.target
        layer = None if target is None else annotation_layer_of(self._viewer, target)
        self.bench.go_on(landmarks, layer)
        self._refresh()

    def _on_declined(self) -> None:
        if self.session.target is not None:
            self.bench.autosave.decline(self.session.target)

    def _on_saved(self, target: ImageView, sidecar: Sidecar, when: datetime) -> None:
        if target == self.session.target:
            self.form.show_saved(sidecar.path, when)

    def _on_annotation(self) -> None:
        # A message about the previous landmarks may not hold for these.
        self.form.message.say("")
        self._refresh()

    def _on_save_failed(self, error: OneshotError) -> None:
        self._complain(texts.AUTOSAVE_FAILED.format(error=error))

    def _refresh(self, event: Any = None) -> None:
        if len(self.session.annotation.landmarks):
            # The user has begun: an offer of earlier work would undo that.
            self.form.offer.clear()
        self.lists.offer_template(self.session.template)
        self.form.show_session(
            self.session, paused=self.bench.why_paused, started=self.bench.placing is not None
        )
