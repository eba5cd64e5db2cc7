"""What the tour asks for, step by step, and how it sees that it was done.

Steps read the composed dock, `OneshotDock`, and press its buttons; they do nothing that a
user could not do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_oneshot_lmk.landmarks.dataset import Dataset
from napari_oneshot_lmk.review.status import ReviewState, status_of
from napari_oneshot_lmk.samples import sample_folder
from napari_oneshot_lmk.training.config import Duration
from napari_oneshot_lmk.widgets import review_texts, texts
from napari_oneshot_lmk.widgets.settings import PLUGIN
from napari_oneshot_lmk.widgets.train import training_texts
from napari_oneshot_lmk.widgets.train.request import Phase

ANATOMY = "skull"


@dataclass(frozen=True)
class TourStep:
    """One thing to do."""

    title: str
    text: str
    done: Callable[[Any], bool]
    """Says of a dock whether it was done."""
    act: Callable[[Any], None]
    """Does it in a dock for the user."""
    tab: str = ""
    """Title of the tab where it is done; empty for none."""
    control: Callable[[Any], Any] | None = None
    """Returns the control of a dock to press."""
    waiting: Callable[[Any], str] = lambda dock: ""
    """Says of a dock what has to end before the step can be done; empty for nothing."""


def images_folder() -> Path:
    """Return the folder of the sample's images."""
    return sample_folder(ANATOMY) / "images"


def _template_image() -> str:
    return Path(Dataset.load(sample_folder(ANATOMY)).template_image).name


def _sample_open(dock: Any) -> bool:
    name = _template_image()
    return any(layer.name == name for layer in dock.viewer.layers)


def _open_sample(dock: Any) -> None:
    dock.viewer.open_sample(PLUGIN, ANATOMY)


def _use_template(dock: Any) -> None:
    annotate = dock.steps[texts.STEP_ANNOTATE]
    # The sample's landmarks are offered as earlier work is.
    if dock.session.annotation.is_empty:
        annotate.form.offer.take.click()
    annotate.form.use_template.click()


def _template_control(dock: Any) -> Any:
    form = dock.steps[texts.STEP_ANNOTATE].form
    return form.offer.take if dock.session.annotation.is_empty else form.use_template


def _train_tab(dock: Any) -> Any:
    return dock.steps[training_texts.STEP_TRAIN]


def _folder_checked(dock: Any) -> bool:
    train = _train_tab(dock)
    return train.run.phase is not Phase.NONE or train.found is not None


def _checking(dock: Any) -> str:
    return training_texts.WHY_CHECKING if _train_tab(dock).check.running else ""


def _start_training(dock: Any) -> None:
    train = _train_tab(dock)
    train.form.main["time"].value = Duration.QUICK.value
    train.form.train.click()


def _detect_tab(dock: Any) -> Any:
    return dock.steps[texts.STEP_DETECT]


def _detecting(dock: Any) -> str:
    return str(dock.session.busy)


def _review_tab(dock: Any) -> Any:
    return dock.steps[review_texts.STEP_REVIEW]


def _one_accepted(dock: Any) -> bool:
    results = dock.session.results().values()
    template = dock.session.template
    return any(status_of(each, template).state is ReviewState.ACCEPTED for each in results)


def _accept_image(dock: Any) -> None:
    review = _review_tab(dock)
    rows = review.form.table.rows
    if rows:
        review.actions.turn_to(rows[0].key)
    review.form.buttons["accept_image"].click()


def _model_in_use(dock: Any) -> bool:
    return dock.session.model is not None


def _still_training(dock: Any) -> str:
    run = _train_tab(dock).run
    return STILL_TRAINING if run.running else ""


def _use_model(dock: Any) -> None:
    _train_tab(dock).view.use_model.click()


def _found_with_model(dock: Any) -> bool:
    found = dock.session.found.values()
    with_model = [each.provenance.method not in ("", "instant") for each in found]
    return any(with_model) and not dock.session.busy


def _saved(dock: Any) -> bool:
    # Autosaved landmarks are in a file as well; the user is to see where results go.
    return bool(_detect_tab(dock).told_saved)


STILL_TRAINING = "The training still runs; napari stays usable meanwhile"

STEPS = (
    TourStep(
        "Open the sample",
        "An annotated image of a skull, and three more on which nothing is marked yet: "
        "<i>File › Open Sample › One-shot landmarks › Lateral skull</i>.",
        _sample_open,
        _open_sample,
        texts.STEP_ANNOTATE,
    ),
    TourStep(
        "Choose the template",
        "Take the sample's landmarks over and press <i>Use as template</i>. On an image of "
        "your own you choose a list of names and click each landmark once.",
        lambda dock: dock.session.template is not None,
        _use_template,
        texts.STEP_ANNOTATE,
        _template_control,
    ),
    TourStep(
        "Show it images to learn from",
        "Choose the folder of the sample's images. Training reads their pixels only; the one "
        "annotated image is all that it is told.",
        _folder_checked,
        lambda dock: _train_tab(dock).choose_folder(images_folder()),
        training_texts.STEP_TRAIN,
        lambda dock: _train_tab(dock).form.choose,
        _checking,
    ),
    TourStep(
        "Train",
        "Choose <i>Quick</i> and start the training. It runs by itself; the tour goes on "
        "meanwhile.",
        lambda dock: _train_tab(dock).run.phase is not Phase.NONE,
        _start_training,
        training_texts.STEP_TRAIN,
        lambda dock: _train_tab(dock).form.train,
        _checking,
    ),
    TourStep(
        "Detect at once",
        "Detection needs no training: press <i>Detect on all images</i>. The trained model "
        "will be more accurate.",
        lambda dock: bool(dock.session.found) and not dock.session.busy,
        lambda dock: _detect_tab(dock).detect_everywhere(),
        texts.STEP_DETECT,
        lambda dock: _detect_tab(dock).form.everywhere,
        _detecting,
    ),
    TourStep(
        "Review an image",
        "Click the first image of the list, the worst. <b>U</b> goes to the next point to look "
        "at: drag it if it is wrong, <b>Enter</b> accepts it. <b>Shift+Enter</b> accepts the "
        "whole image.",
        _one_accepted,
        _accept_image,
        review_texts.STEP_REVIEW,
        lambda dock: _review_tab(dock).form.buttons["accept_image"],
    ),
    TourStep(
        "Use the trained model",
        "When the training has ended, press <i>Detect with this model</i>.",
        _model_in_use,
        _use_model,
        training_texts.STEP_TRAIN,
        lambda dock: _train_tab(dock).view.use_model,
        _still_training,
    ),
    TourStep(
        "Detect with the model",
        "<i>Detect on all images</i> again. What you have accepted or corrected stays as it is.",
        _found_with_model,
        lambda dock: _detect_tab(dock).detect_everywhere(),
        texts.STEP_DETECT,
        lambda dock: _detect_tab(dock).form.everywhere,
        _detecting,
    ),
    TourStep(
        "Save the results",
        "One file for all images: a table (.csv), 3D Slicer markups, COCO keypoints and more, "
        "by the name's ending.",
        _saved,
        lambda dock: _detect_tab(dock).form.save.click(),
        texts.STEP_DETECT,
        lambda dock: _detect_tab(dock).form.save,
    ),
)
"""In the order in which they are asked for."""
