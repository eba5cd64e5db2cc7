"""Learning from corrections: what it gains is shown, then applied, and taken back in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QRadioButton, QVBoxLayout, QWidget

from napari_oneshot_lmk.review.learnt import Learnt, Way
from napari_oneshot_lmk.widgets import learn_texts, texts
from napari_oneshot_lmk.widgets.qt.connections import without_argument
from napari_oneshot_lmk.widgets.qt.parts import DIM, NOTE, Button, MessageLabel, row_of
from napari_oneshot_lmk.widgets.review.learn_run import LearnRun

if TYPE_CHECKING:
    from napari_oneshot_lmk.review.corrections import Gain
    from napari_oneshot_lmk.review.learn import Trial
    from napari_oneshot_lmk.widgets.detectors import DetectorCache


class LearnPanel(QWidget):
    """A line for each way with its gain, and what can be done.

    Parameters
    ----------
    make_detector : DetectorCache
    apply : callable
        Detects anew with a `Learnt`, in another thread.
    forget : callable
        Takes back what was learnt.
    tune : callable
        Fine-tunes to find out what that gains beside a `Trial`, or for a `Way` to apply it.
    """

    def __init__(
        self,
        make_detector: DetectorCache,
        apply: Callable[[Learnt], None],
        forget: Callable[[], None],
        tune: Callable[[Trial, Way | None], None],
    ) -> None:
        super().__init__()
        self.run = LearnRun(make_detector)
        self._apply, self._tune = apply, tune
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
        self.tune = Button(learn_texts.TUNE, learn_texts.TUNE_TIP)
        self.tune.clicked.connect(without_argument(self._on_tune))
        self.stop = Button(learn_texts.STOP, learn_texts.STOP_TIP)
        self.stop.clicked.connect(without_argument(self.run.stop))
        layout.addLayout(row_of(self.tune, self.stop))
        layout.addLayout(row_of(self.apply, self.forget))
        self.run.tried.connect(self._on_tried)
        self.run.trained.connect(self._on_trained)
        self._learnt: Learnt | None = None
        self._trained: Learnt | None = None
        self._busy = self._no_model = ""
        self.show_state("", None, "")

    def show_state(self, busy: str, learnt: Learnt | None, no_model: str) -> None:
        """Show what the project has learnt, and say why something cannot be done now.

        ``no_model`` says why there is no model to fine-tune.
        """
        self._busy, self._learnt, self._no_model = busy, learnt, no_model
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
            gains = gains_in_words(trial.gains.get(way, ()))
            button.setText(text.format(way=learn_texts.WAYS[way], gains=gains))
            button.setAutoExclusive(False)
            button.setChecked(way is trial.recommended)
            button.setAutoExclusive(True)
        advice = [] if trial.recommended else [learn_texts.NOTHING_GAINS]
        if trial.trainings:
            images = texts.counted(trial.tuned_images, "image")
            parts = texts.counted(trial.trainings, "part")
            advice.append(learn_texts.FEW_SHOT.format(images=images, parts=parts))
        self.advice.say(" ".join(advice), NOTE)
        self._show_reason()

    def _on_apply(self) -> None:
        chosen = self._chosen
        if self._trial is None or chosen is None:
            return
        if chosen.tuned:
            self._tune(self._trial, chosen)
        else:
            self._apply_learnt(self._trial.learnt(chosen))

    def _on_tune(self) -> None:
        if self._trial is not None:
            self._tune(self._trial, None)

    def _on_trained(self, learnt: Learnt) -> None:
        self._trained = learnt

    def apply_trained(self) -> None:
        """Detect with a model that was fine-tuned a moment ago, once the run has ended."""
        learnt, self._trained = self._trained, None
        if learnt is not None:
            self._apply_learnt(learnt)

    def _apply_learnt(self, learnt: Learnt) -> None:
        self.clear()
        self._apply(learnt)

    @property
    def _chosen(self) -> Way | None:
        return next((way for way, button in self.ways.items() if button.isChecked()), None)

    def _show_reason(self) -> None:
        tried = self._trial is not None
        for way, button in self.ways.items():
            button.setVisible(self._trial is not None and way in self._trial.gains)
        if not tried:
            self.advice.say("")
        chosen = "" if tried and self._chosen is not None else learn_texts.WHY_NOT_TRIED
        if tried and self._chosen is None:
            chosen = learn_texts.WHY_NONE_CHOSEN
        self.apply.set_reason(self._busy or chosen)
        self.apply.setVisible(tried)
        measured = self._trial is not None and self._trial.trainings > 0
        self.tune.setVisible(tried and not self.run.tuning)
        self.tune.set_reason(self._busy or self._no_model or learn_texts.WHY_TUNED * measured)
        self.stop.setVisible(self.run.tuning)
        nothing = "" if self._learnt is not None else learn_texts.WHY_NOTHING_LEARNT
        self.forget.set_reason(self._busy or nothing)
        self.setVisible(tried or self._learnt is not None)


def gains_in_words(gains: Sequence[Gain]) -> str:
    """Return what one way gains, for images with millimetres and those without."""
    lines = []
    for each in gains:
        values = {"before": each.mean_before, "after": each.mean_after, "unit": each.unit}
        words = [learn_texts.GAIN.format(**values)]
        if each.within_before is not None and each.within_after is not None:
            within = {"within_before": each.within_before, "within_after": each.within_after}
            words.append(learn_texts.GAIN_WITHIN.format(**within))
        lines.append(", ".join(words))
    # A line each: the dock would be made wide.
    return "\n".join(lines)
