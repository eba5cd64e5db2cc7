"""Learning from corrections: what it gains is shown, then applied, and taken back in one step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QRadioButton, QVBoxLayout, QWidget

from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.review.learnt import Learnt, Way
from napari_oneshot_lmk.widgets import learn_texts, texts
from napari_oneshot_lmk.widgets.qt.connections import without_argument
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE, Button, MessageLabel, row_of
from napari_oneshot_lmk.widgets.qt.worker import WorkerRun
from napari_oneshot_lmk.widgets.settings import preferences

if TYPE_CHECKING:
    from pathlib import Path

    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.corrections import Gain
    from napari_oneshot_lmk.review.learn import Trial
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.widgets.detectors import DetectorCache

FEW = 3
"""With fewer corrected images the figures say little."""


class LearnRun(WorkerRun):
    """Measures, in another thread, what a project's corrected images gain."""

    tried = Signal(object)
    """The `Trial`."""
    read = Signal(object)
    """The further templates of what the project has learnt before."""
    cancelled_text, failed_text = learn_texts.CANCELLED, learn_texts.FAILED

    def __init__(self, make_detector: DetectorCache) -> None:
        super().__init__()
        self._make = make_detector

    def start(self, project: Project, template: Template, model: Path | None) -> None:
        """Begin; nothing is written."""
        if not self.running:
            wanted = preferences()
            self.going.emit(texts.BUSY_LOADING, 0, 0)
            self._work(lambda: self._try(project, template, model, wanted))

    def start_reading(self, project: Project, learnt: Learnt) -> None:
        """Read the further templates of what a project has learnt."""
        if not self.running:
            self.going.emit(learn_texts.READING, 0, 0)
            self._work(lambda: self._read(project, learnt))

    def _read(self, project: Project, learnt: Learnt) -> Generator[Any, None, tuple[str, bool]]:
        yield None
        failed: list[OneshotError] = []
        yield self.read, templates_of(project, learnt, failed.append)
        return (f"{failed[0]}." if failed else ""), bool(failed)

    def _try(
        self, project: Project, template: Template, model: Path | None, wanted: Any
    ) -> Generator[Any, None, tuple[str, bool]]:
        from napari_oneshot_lmk.review.learn import corrected_images, try_learning

        failed: list[OneshotError] = []
        ids, further = corrected_images(project, tell=failed.append)
        yield None
        options: dict[str, Any] = {} if model is None else {"model": model}
        detector = self._make(template, wanted, lambda *_: None, further=further, **options)
        trial: Trial | None = None
        for done, trial in enumerate(try_learning(ids, detector), start=1):
            if trial is None:
                text = learn_texts.TRYING.format(done=done, total=len(ids))
                yield self.going, text, done, len(ids)
        assert trial is not None
        yield self.tried, trial
        text = learn_texts.TRIED if len(ids) >= FEW else learn_texts.TRIED_FEW
        said = text.format(images=texts.counted(len(ids), "image"))
        if failed:
            said += " " + learn_texts.LEFT_OUT.format(
                count=texts.counted(len(failed), "image"), error=failed[0]
            )
        return said, bool(failed)


class LearnPanel(QWidget):
    """A line for each way with its gain, and what can be done.

    Parameters
    ----------
    make_detector : DetectorCache
    apply : callable
        Detects anew with a `Learnt`, in another thread.
    forget : callable
        Takes back what was learnt.
    """

    def __init__(
        self,
        make_detector: DetectorCache,
        apply: Callable[[Learnt], None],
        forget: Callable[[], None],
    ) -> None:
        super().__init__()
        self.run = LearnRun(make_detector)
        self._apply = apply
        self._trial: Trial | None = None
        self.ways: dict[Way, QRadioButton] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.state = MessageLabel("", DIM)
        layout.addWidget(self.state)
        for way in Way:
            self.ways[way] = QRadioButton(learn_texts.WAYS[way])
            self.ways[way].setToolTip(learn_texts.WAY_TIPS[way])
            self.ways[way].toggled.connect(lambda _: self._show_reason())
            layout.addWidget(self.ways[way])
        self.advice = MessageLabel("", NOTE)
        layout.addWidget(self.advice)
        self.apply = Button(learn_texts.APPLY, learn_texts.APPLY_TIP)
        self.apply.clicked.connect(without_argument(self._on_apply))
        self.forget = Button(learn_texts.FORGET, learn_texts.FORGET_TIP)
        self.forget.clicked.connect(without_argument(forget))
        layout.addLayout(row_of(self.apply, self.forget))
        self.run.tried.connect(self._on_tried)
        self._learnt: Learnt | None = None
        self._busy = ""
        self.show_state("", None)

    def show_state(self, busy: str, learnt: Learnt | None) -> None:
        """Show what the project has learnt, and say why something cannot be done now."""
        self._busy, self._learnt = busy, learnt
        way = "" if learnt is None else learn_texts.WAYS[learnt.way]
        self.state.say(learn_texts.APPLIED.format(way=way) if way else "", DIM)
        self._show_reason()

    def clear(self) -> None:
        """Forget the figures: the corrections they were measured on are no longer those."""
        self._trial = None
        self._show_reason()

    def _on_tried(self, trial: Trial) -> None:
        self._trial = trial
        for way, button in self.ways.items():
            text = learn_texts.RECOMMENDED if way is trial.recommended else learn_texts.WAY
            button.setText(
                text.format(way=learn_texts.WAYS[way], gains=gains_in_words(trial.gains[way]))
            )
            button.setAutoExclusive(False)
            button.setChecked(way is trial.recommended)
            button.setAutoExclusive(True)
        self.advice.say("" if trial.recommended else learn_texts.NOTHING_GAINS, NOTE)
        self._show_reason()

    def _on_apply(self) -> None:
        chosen = self._chosen
        if self._trial is not None and chosen is not None:
            learnt = self._trial.learnt(chosen)
            self.clear()
            self._apply(learnt)

    @property
    def _chosen(self) -> Way | None:
        return next((way for way, button in self.ways.items() if button.isChecked()), None)

    def _show_reason(self) -> None:
        tried = self._trial is not None
        for button in self.ways.values():
            button.setVisible(tried)
        if not tried:
            self.advice.say("")
        chosen = "" if tried and self._chosen is not None else learn_texts.WHY_NOT_TRIED
        if tried and self._chosen is None:
            chosen = learn_texts.WHY_NONE_CHOSEN
        self.apply.set_reason(self._busy or chosen)
        self.apply.setVisible(tried)
        nothing = "" if self._learnt is not None else learn_texts.WHY_NOTHING_LEARNT
        self.forget.set_reason(self._busy or nothing)
        self.setVisible(tried or self._learnt is not None)


def templates_of(
    project: Project, learnt: Learnt, tell: Callable[[OneshotError], None]
) -> list[Template]:
    """Return the corrected images that a project detects with as further templates."""
    if not learnt.way.templates:
        return []
    return [template for _, template in project.corrected(tell, learnt.images)]


def gains_in_words(gains: Sequence[Gain]) -> str:
    """Return what one way gains, for images with millimetres and those without."""
    words = []
    for each in gains:
        values = {"before": each.mean_before, "after": each.mean_after, "unit": each.unit}
        words.append(learn_texts.GAIN.format(**values))
        if each.within_before is not None and each.within_after is not None:
            within = {"within_before": each.within_before, "within_after": each.within_after}
            words.append(learn_texts.GAIN_WITHIN.format(**within))
    return ", ".join(words)
