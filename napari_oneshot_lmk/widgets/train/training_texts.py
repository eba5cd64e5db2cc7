"""Every text that a user of the tab "Train" reads."""

from __future__ import annotations

STEP_TRAIN = "Train"

# -- what to train on --------------------------------------------------------------
IMAGES = "Images"
NO_FOLDER = "no folder yet"
CHOOSE_FOLDER = "Choose folder…"
CHOOSE_FOLDER_TIP = (
    "Images of the same kind as the template's, without landmarks. The folder is "
    "searched with its subfolders."
)
CHOOSE_FOLDER_TITLE = "Folder with images to train on"
CHECK_AGAIN = "Check again"
CHECK_AGAIN_TIP = "Reads the folder anew: images were added, or repaired."
CHECKING = "Reading the images: {done} of {total}"
CHECKING_FOLDER = "Looking for images"
TIMING = "Measuring how fast this computer is"
CHECKED = "<b>{images}</b> to train on"
CHECKED_SIZES = "{rows} × {columns} to {high_rows} × {high_columns} px"
CHECKED_SPACING = "{low:.3g} mm per pixel"
CHECKED_SPACINGS = "{low:.3g} to {high:.3g} mm per pixel"
CHECKED_SOME_SPACING = "{known} (unknown for {unknown})"
AND_MORE = "; and {count} more"
UNREADABLE = "{images} cannot be used: {list}"

# -- how -----------------------------------------------------------------------------
LANDMARK = "Landmark"
LANDMARK_TIP = "A network for this landmark alone, or for every landmark, one after the other."
EACH_IN_TURN = "each in turn"
ESTIMATE = "About {time} on this computer ({device}), {memory} of memory or disk."
ESTIMATE_LATER = "How long it takes is known when the images are checked."
MORE = "More settings"
PRESET = "Preset"
PRESET_AUTOMATIC = "by time"
PRESET_TIP = "Where all other numbers come from. A file can be copied from a preset and edited."
PRESET_FILE = "From a file…"
PRESET_FILE_TITLE = "A preset"
PRESET_FILE_FILTER = "Presets (*.toml)"
AS_PRESET = "as the preset says"
IMAGE_SPACING = "Image spacing"
IMAGE_SPACING_TIP = (
    "Millimetres per pixel of all images in the folder, for example 0.1 or "
    "0.10 x 0.12 (rows x columns). Empty: what their files say."
)
AS_FILES = "as the files say"
DEFAULTS = "Back to defaults"
DEFAULTS_TIP = "Forgets what was set here."

# -- start ---------------------------------------------------------------------------
TRAIN = "Train"
TRAIN_TIP = "Runs beside napari; detection and annotation go on working."
WHY_NO_IMAGES = "choose a folder of images first"
WHY_CHECKING = "the images are being checked"
WHY_BAD_IMAGES = "no image in the folder can be used"
STARTING = "Starting"

# -- under way -----------------------------------------------------------------------
TITLE_FUSED = "{landmarks}, fused"
TITLE_SINGLE = "{landmark} alone"
TITLE_EACH = "{landmarks}, each in turn"
PREPARING_IMAGES = "Preparing images: {done} of {total}"
PREPARING_COPIES = "Preparing copies of the template: {done} of {total}"
PREPARING_CERTAINTY = "Finding out how sure points are: {done} of {total}"
PREPARING = "Preparing: {done} of {total}"
EPOCH = "Epoch {epoch} of {epochs}"
EPOCH_OF = "{model}: epoch {epoch} of {epochs}"
TIME_LEFT = "About {time} left"
TIME_UNKNOWN = "Time left is known soon"
SHIFT = "Points on the images moved {shift:.2f} {unit} (median) in the last epoch."
SHIFT_FIRST = "Points on the images are compared after the first epoch."
BEST = "Best so far: epoch {epoch}."
CURVE_TITLE = "loss"
CURVE_WAITING = "the loss curve begins with the first step"
CURVE_EPOCH = "epoch"
CURVE_STEP = "each step"
CURVE_TIP = (
    "Thin: the loss of each step, of all that it was trained on together. With dots: "
    "its mean in each epoch, on copies of the template and on the images."
)
STAGE_TEMPLATE = "template"
STAGE_LABELS = "images"
STOP = "Stop and keep best"
STOP_TIP = "Ends the training now. The best model so far is kept."
CANCEL = "Cancel and discard"
CANCEL_TIP = "Ends the training now and deletes what it has made."
STOPPING = "Stopping…"
DISCARDING = "Discarding…"
WHY_STOPPING = "already stopping: the step under way ends first"
WHY_DISCARDING = "already being discarded"
SHOW_PREVIEW = "show predicted points"
SHOW_PREVIEW_TIP = (
    "After each epoch, a points layer shows where the model sees the landmarks of the open image."
)
PREVIEW_LAYER = "preview – {image}"

# -- the end -------------------------------------------------------------------------
DONE = "Trained in {time}. Epoch {epoch} is kept."
DONE_STOPPED = "Stopped after {time}. Epoch {epoch} is kept."
DISCARDED = "Discarded. Earlier models are as they were."
DISCARD_FAILED = "Ended, but not everything could be deleted: {error}"
KILLED = (
    "The training was ended from outside, for example because memory ran out; close "
    "other programs and continue, or choose Quick."
)
CANNOT_START = "The training could not be started: {error}"
USE_MODEL = "Detect with this model"
USE_MODEL_TIP = "Turns to the tab Detect, which uses this model from now on."
TRAIN_ANOTHER = "Train another"
TRAIN_ANOTHER_TIP = "The model stays; it can be chosen in the tab Detect."
RESUME = "Continue"
RESUME_TIP = "Goes on after the last step that was saved."
DISCARD_TITLE = "Discard the training?"
DISCARD_TEXT = (
    "{title}: what it has learned so far is deleted, and cannot be brought back. "
    "Earlier models stay."
)
DISCARD_STATE = " It is at: {state}."
DISCARD_NO = "Do not discard"
DISCARD_TOO_LATE = "The training has finished meanwhile; its model was kept."
DISCARD = "Discard"
DISCARD_TIP = "Deletes what this training has made. Earlier models stay."
MODEL_AT = "Model in {path}"

CANNOT_WRITE = "trainings cannot be kept here ({reason})"
CANNOT_WRITE_REMEDY = "free the folder, or some space"
CANNOT_DELETE = "cannot be deleted ({reason})"
CANNOT_DELETE_REMEDY = "delete the folder yourself"
TOO_MANY = "there are too many trainings of this name"

# -- closing the window --------------------------------------------------------------
CLOSE_TITLE = "A training is under way"
CLOSE_TEXT = "{title}: {state}. What should happen to it when the window closes?"
CLOSE_KEEP = "Let it go on"
CLOSE_NOT = "Do not close"
FOUND_AGAIN = "This training went on while the window was closed."

# -- models in the tab "Detect" ------------------------------------------------------
MODEL = "Model"
MODEL_TIP = (
    "Instant detection needs no training. Models trained here are listed; others can be opened."
)
MODEL_INSTANT = "Instant, without training"
MODEL_OPEN = "Open a model…"
MODEL_OPEN_TITLE = "Open a trained model, the run that made it, or a MONAI bundle"
MODEL_TITLE = "{title} ({when})"
EXPORT = "Export model…"
EXPORT_TIP = (
    "Writes the chosen model as a MONAI bundle, which runs where neither napari nor "
    "this plugin is installed. It is tried before it is there."
)
EXPORT_TITLE = "Export the model as a MONAI bundle (a folder)"
EXPORTED = "Exported to {path}: {agreement}. The template's image is part of it."
EXPORT_CANCELLED = "Cancelled. Nothing was exported."
WHY_NO_MODEL = "choose a trained model first"
NO_MODEL = "holds no trained model"
NO_MODEL_REMEDY = "choose the folder that a training or an export wrote"

# -- time and memory -----------------------------------------------------------------


def duration(seconds: float) -> str:
    """Write a time as a person would say it, with two figures at most."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{round(minutes)} min"
    hours = minutes / 60
    if hours < 10:
        whole, rest = divmod(5 * round(minutes / 5), 60)
        return f"{whole} h {rest} min" if rest else f"{whole} h"
    return f"{round(hours)} h" if hours < 48 else f"{round(hours / 24)} days"


def memory_needed(size_bytes: float) -> str:
    """Write an amount of memory or disk."""
    small = size_bytes < 1e9
    return f"{max(1.0, size_bytes / 1e6):.0f} MB" if small else f"{size_bytes / 1e9:.1f} GB"
