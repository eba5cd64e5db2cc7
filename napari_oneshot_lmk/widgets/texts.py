"""Every text that a user of the docks reads, in one place."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural where it needs one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(reason: str) -> str:
    """Write a reason as a sentence; empty for none."""
    return f"{reason[:1].upper()}{reason[1:]}." if reason else ""


# -- the dock and its steps --------------------------------------------------------
STEP_ANNOTATE = "Annotate"
STEP_DETECT = "Detect"

# -- the image -------------------------------------------------------------------
IMAGE = "Image"
IMAGE_TIP = (
    "The image that the docks work on. Selecting it, or its landmarks, in the layer "
    "list chooses it too."
)
NO_IMAGE = "no image is open"
NO_IMAGE_OPEN = "Open an image, or try <i>File › Open Sample › One-shot landmarks</i>."
SIZE = "{rows} × {columns} px"
SLICE = "slice {number} of {count}"
ONLY_THIS = "show only this image"
ONLY_THIS_TIP = (
    "Hides the other images and their landmarks whenever you choose an image: here, "
    "in the layer list, or by its eye."
)
NOT_A_PICTURE = "the layer has no rows and columns"
IMAGE_HIDDEN = "“{image}” is hidden: show it to place or correct its landmarks."
IMAGE_COVERED = "“{other}” lies over “{image}”: hide it, or tick “show only this image”."
SHOWN_IN_3D = "the viewer shows it in 3-D"
SHOW_IN_2D = "switch to 2-D below the layer list"
OTHER_AXES = "the viewer shows other axes than its rows and columns"
SHOW_LAST_AXES = "bring the last two axes to the front (axis order below the layer list)"

SPACING = "Spacing"
SPACING_TIP = (
    "Millimetres from one pixel to the next. One number for square pixels, or "
    "“rows x columns”, for example 0.1 or 0.10 x 0.12. Empty: what the layer says."
)
SPACING_UNIT = "mm per pixel"
SPACING_UNKNOWN = "spacing unknown"
SPACING_UNKNOWN_TIP = (
    "The image does not say how large a pixel is. Everything works without it, but "
    "no distance can be given in millimetres."
)
SPACING_ASSUMED = "no unit: taken as mm"
SPACING_ASSUMED_TIP = (
    "The layer has a scale but no unit of length. Type the spacing if it is not in mm."
)
SPACING_FROM_TIP = "The file states this spacing as {source}."
SPACING_IN_FILE = (
    "The file states {rows:.4g} x {columns:.4g} mm ({source}). "
    "<a href='use' style='color: {link}'>Use it</a>"
)
FILE_NOTE = "{image}: {note}."
SPACING_TAKEN = (
    "Spacing {rows:.4g} x {columns:.4g} mm as these landmarks were made with; the image "
    "itself says {own_rows:.4g} x {own_columns:.4g} mm (empty the field to go back to that)."
)
SPACING_BAD = "not a spacing"
SPACING_BAD_REMEDY = "type millimetres, for example 0.1 or 0.10 x 0.12"

# -- annotate ----------------------------------------------------------------------
LIST = "Landmarks"
NO_LIST = "no list yet"
OWN_LIST = "{landmarks}"
LIST_FROM_LAYER = "From a points layer"
CHOOSE_LIST = "Choose…"
CHOOSE_LIST_TIP = "The names to place, in their order. Points of the same name stay."
LIST_NUMBERED = "Numbered…"
LIST_TYPE = "Type or paste…"
LIST_FILE = "From a file…"
LIST_FROM_TEMPLATE = "As in the template: {name}"
NUMBERED_TITLE = "Numbered landmarks"
NUMBERED_ASK = "How many landmarks?"
TYPE_TITLE = "Type or paste landmark names"
TYPE_HELP = (
    "One name on each line; a description may follow after a colon.\n"
    "Or all names in one line, separated by commas."
)
TYPE_EXAMPLE = "nasion: front end of the frontonasal suture\nmenton\ngonion"
LIST_FILE_TITLE = "Landmark names from a file"
ALL_FILES = "All files (*)"
LIST_FILE_FILTER = "Names or landmarks"
NAMES_LOST = "{count} placed landmarks are not in this list ({names}). Ctrl+Z brings them back."
NAME_LOST = "The placed landmark {names} is not in this list. Ctrl+Z brings it back."

OFFER_SIDECAR = "Saved work from {when}: {placed} of {count} landmarks placed."
OFFER_LAYER = "Layer “{layer}” has {landmarks} of this image."
OFFER_TAKE = "Continue"
OFFER_LEAVE = "Start afresh"
OFFER_LEAVE_TIP = "The saved file is kept under another name."
SIDECAR_BROKEN = "Saved work cannot be read: {error}"
SAVED_AT = "%d %B, %H:%M"
CORRECTION, DECISION = "correction", "decision"

PROMPT_NO_IMAGE = "Open an image to annotate it."
PROMPT_NO_LIST = "Choose a list of landmarks."
PROMPT_START = "Ready for {landmarks}."
PAUSED_OTHER = "Paused: another layer is selected."
PAUSED_SEVERAL = "Paused: several layers are selected."
PAUSED_NONE = "Paused: no layer is selected."
PAUSED_HIDDEN = "Paused: the layer of the landmarks is hidden."
PAUSED_MODE = "Drag a point to correct it; continue to place more."
PROMPT_CLICK = "Click {name}"
PROMPT_AGAIN = "Click to move {name}"
PROMPT_DONE = "All landmarks are decided."
PROMPT_SKIPPED = "{skipped} skipped; all others are decided."
PROMPT_SKIPPED_TIP = "Pick a row to place one of them after all."
PROMPT_DONE_TIP = "Drag a point to correct it, or pick a row to place it again."
START = "Start placing"
CONTINUE = "Continue placing"
START_TIP = "Adds a points layer to click in."
PREVIOUS = "Previous"
NEXT = "Next"
SKIP = "Skip"
ABSENT = "Absent"
UNDO = "Undo"
REDO = "Redo"
KEYS = "Keys"
KEYS_TITLE = "Keys and mouse"
KEYS_NOTE = "On the canvas they work while landmarks are placed; in the dock, always."

COLUMN_NUMBER = "#"
COLUMN_LANDMARK = "Landmark"
COLUMN_STATE = "State"
COLUMN_SCORE = "Score"
STATE_OPEN = "–"
STATE_PLACED = "placed"
STATE_SKIPPED = "skipped"
STATE_ABSENT = "absent"
STATE_UNSURE = "unsure"
STATE_DETECTED = "detected"
STATE_CORRECTED = "corrected"
STATE_ACCEPTED = "accepted"
STATE_TAKEN_OFF = "taken off"
BY = "{state} by {author}"
WITHIN = "the true point is to be within {length} (90 %)"
BY_HAND = "hand"

PROGRESS = "{done} of {count}"
SAVED = "saved {time}"
SAVED_TIP = "Every edit is saved at once to {path}"
OPEN_ELSEWHERE = (
    "This image is being annotated in {where}. What you place here is not saved: close "
    "it there, or here, and open it again."
)
ANOTHER_WINDOW = "another window"
ANOTHER_WINDOW_HERE = "another window of this napari"
ANOTHER_NAPARI = "another napari (process {pid})"
ANOTHER_COMPUTER = "a napari on the computer {host} (process {pid})"
HELD_SINCE = ", since {since}"
NOT_SAVED = "cannot be written ({reason})"
AUTOSAVE_FAILED = "Not saved: {error}"

ANNOTATION_LAYER = "landmarks – {image}"
ALL_DECIDED = "Every landmark is decided. Pick a row to place one again."
NONE_PICKED = "Pick a row first: the landmarks that are left were skipped."
TAKEN_OFF = "The landmarks of “{image}” were taken off with their layer. Undo brings them back."
LAYER_BACK = (
    "The landmarks of “{image}” belong to the project: their layer is back. Delete points one by "
    "one, or choose them all and press Delete."
)
OPENED_BESIDE = (
    "“{image}” has landmarks already; those of the file lie in a layer beside them. "
    "“Choose… › From a points layer” takes them instead."
)
REMOVED_KEPT = (
    "Landmarks of {images} that you removed are kept: they come back with the image, "
    "and “Save all” saves them. <a href='drop' style='color: {link}'>Drop them</a>"
)
OUTSIDE = "{name} would lie outside the image."
OTHER_SLICE = "That layer is about {image}. Choose a list for the slice shown here."
MOVED = "{name} moved."
SAMPLE_LANDMARKS = "template – {image}"

USE_TEMPLATE = "Use as template"
UPDATE_TEMPLATE = "Update template"
TEMPLATE_CURRENT = "Template in use"
USE_TEMPLATE_TIP = "Detection then looks for these landmarks on other images."
SAVE_TEMPLATE = "Save template…"
SAVE_TEMPLATE_TIP = "A folder with image and landmarks that can be moved to another computer."
SAVE_TEMPLATE_TITLE = "Save the template as a folder"
NOTHING_PLACED = "place at least one landmark first"
TEMPLATE_TAKEN = "Template set: {landmarks}. Open another image and press Detect."
TEMPLATE_SAVED = "Template saved to {path}"
SAVE_LANDMARKS = "Save landmarks…"
SAVE_LANDMARKS_TIP = "As a table, for 3D Slicer, or in another format."
SAVE_LANDMARKS_TITLE = "Save landmarks"
SAVE_REPORT = "DICOM report…"
SAVE_REPORT_TIP = (
    "The landmarks of this image as a DICOM structured report (TID 1500) that refers to its file."
)
SAVE_REPORT_TITLE = "Save a DICOM structured report"
WHY_NO_REPORT_STACK = "a DICOM report is about an image with one frame, and this is a stack"
EXISTS = "the file exists already"
EXISTS_REMEDY = "choose another name"
LANDMARKS_SAVED = "Saved {contents} to {path}"
SAVED_CONTENTS = "{landmarks} of {images} ({sources})"
SAVED_REMOVED = ", with those of {images} removed meanwhile"
SAVED_EACH = "{images} in {folder}"
LEFT_OUT = "{path} does not hold {things}."

# -- detect ------------------------------------------------------------------------
NO_TEMPLATE = "Annotate an image and press “Use as template”, or open a saved one."
OPEN_TEMPLATE = "Open template…"
OPEN_TEMPLATE_TIP = "A folder that “Save template…” or “oneshot-lmk template” made."
OPEN_TEMPLATE_TITLE = "Open a template folder"
TEMPLATE_LINES = "<b>{name}</b><br>{landmarks}<br>{spacing}"
TEMPLATE_SPACING = "{rows:.3g} × {columns:.3g} mm"
ENCODER = "Encoder"
RETRY_DOWNLOAD = "Try again"
RETRY_DOWNLOAD_TIP = "Tries to download the weights again, then detects on the same images."
ENCODER_LATER = "loads with the first detection"
NOTE_MORE = "{short}. <a href='more' style='color: {link}'>More…</a>"
ENCODER_LOADED = "{title} on {device}"
DETECT_HERE = "Detect on this image"
DETECT_SLICE = "Detect on this slice ({number} of {count})"
DETECT_ALL = "Detect on all images ({count})"
DETECT_TIP = (
    "Finds the landmarks and colours them by score. What you have placed or corrected "
    "stays as it is until you reset it."
)
SAVE_THIS = "Save this image…"
SAVE_THIS_TIP = "The landmarks of this image, detected, corrected and placed."
SAVE_ALL = "Save all ({count})…"
SAVE_ALL_TIP = (
    "The landmarks of every image on which something was detected. Formats that hold "
    "one image only (3D Slicer markups, ISBI) give one file each."
)
RESET_POINT = "Reset point"
RESET_POINT_TIP = (
    "Takes back what you did to the landmark picked in the table: it is again where "
    "the last detection found it."
)
RESET_IMAGE = "Reset image"
RESET_IMAGE_TIP = "Takes back all corrections of this image. Undo brings them back."
RESET_LATER = "{name} is open again: the next detection finds it."
WHY_NOT_MANUAL = "the landmark picked in the table was not placed or corrected"
WHY_NO_MANUAL = "nothing on this image was placed or corrected"
WHY_NO_LANDMARKS = "this image has no landmarks"
UNSAVED_TITLE = "Landmarks are not saved"
UNSAVED_TEXT = "The landmarks of {images} stand in no file: {names}."
UNSAVED_SAVE = "Save…"
UNSAVED_CLOSE = "Close without saving"
UNSAVED_STAY = "Do not close"
DETECT_ALL_TIP = "Every open image but the template's own; of a stack, the slice shown."
CANCEL = "Cancel"
CANCELLING = "Cancelling…"
WHY_NO_TEMPLATE = "set a template first"
WHY_BUSY = "wait until this has ended: {what}"
WHY_NO_OTHERS = "no other image is open"
WHY_NO_FOUND = "nothing has been detected yet"
WHY_NOTHING_TO_UNDO = "nothing to undo"
WHY_NOTHING_TO_REDO = "nothing to redo"
WHY_NO_LIST = "choose a list of landmarks first"
WHY_NO_CURRENT = "pick a landmark in the table first"
WHY_TEMPLATE_CURRENT = "the template is just as annotated here"
BUSY_LOADING = "Loading the encoder"
BUSY_DOWNLOADING = "Downloading VGG19: {done:.0f} of {total:.0f} MB"
BUSY_DETECTING = "Detecting on {image}"
BUSY_DETECTING_MANY = "Detecting on {image} ({number} of {count})"
FOUND_ONE = "{landmarks} in {seconds:.2f} s"
FOUND_UNSURE = "{landmarks} in {seconds:.2f} s, {unsure} unsure"
FOUND_MANY = "{images} done in {seconds:.1f} s"
DOUBTFUL = "Nearly all points are unsure: look whether this image shows what the template shows."
LIES = "The image lies {orientation}, compared with the template; matched as such."
SOME_TURNED = "{found}, {turned} of them mirrored or turned: {names}"
WORK_WAITS = "{decisions} of {when} in {file}: a detection leaves that as it is."
WORK_TAKEN = "Taken over from {file}: {decisions} of {when}. Undo takes that off."
WORK_TAKEN_OF = "{found}. Saved work of {images} was taken over"
ABOUT_OTHER = "{image}: {text}"
FOUND_SOME = "{images} done, {failed} not: {error}"
CANCELLED = "Cancelled. What was found before is kept."
FOUND_LAYER = "found – {image}"
LEGEND_LOW = "0"
LEGEND_HIGH = "1  score"
LEGEND_UNSURE = "◇ unsure: please check"
LEGEND_MANUAL = "◎ by hand"
FAILED = "Failed: {error}"
UNEXPECTED = "{kind}: {error}."
OUT_OF_MEMORY = (
    "not enough memory; close other programs or set the device to “cpu” in the preferences"
)
TORCH_DLL = (
    "PyTorch cannot be loaded; install the Microsoft Visual C++ Redistributable "
    "(x64) and start napari again"
)
COPY_REPORT = "Copy report"
COPY_REPORT_TIP = "Copies what a bug report needs to the clipboard."

# -- points layers and files -------------------------------------------------------
TWICE = "the name {name!r} stands at two points"
TWICE_REMEDY = "rename or delete one of them"
NO_POINTS = "the layer holds no points"
CURVES_LEFT = (
    "{path}: only its landmarks are shown; its curves are not, and would be missing in a "
    "file that is saved from here."
)

# -- keys --------------------------------------------------------------------------
KEY_NEXT = "next landmark"
KEY_PREVIOUS = "previous landmark"
KEY_SKIP = "skip this landmark"
KEY_ABSENT = "this landmark is not on the image"
KEY_UNDO = "undo"
KEY_REDO = "redo"
KEY_HELP = "these keys"
KEY_DELETE = "Delete"
KEY_DELETE_HELP = "take the selected point off the image"
MOUSE_CLICK = "Click"
MOUSE_CLICK_HELP = "place the highlighted landmark and go on to the next"
MOUSE_DRAG_POINT = "Drag a point"
MOUSE_DRAG_POINT_HELP = "correct it"
MOUSE_DRAG = "Drag beside a point"
MOUSE_DRAG_HELP = "move the image"
MOUSE_WHEEL = "Wheel"
MOUSE_WHEEL_HELP = "zoom"

# -- the ruler -------------------------------------------------------------------------

RULER = "Ruler…"
RULER_TIP = (
    "Measure the spacing: draw a line along the ruler on the image and type its length. "
    "Several lines are averaged."
)
RULER_LAYER = "ruler"
RULER_DRAW = "Draw a line along the ruler on the image."
RULER_TYPE = "Type the length of the line."
RULER_FOUND = "{lines}: {mm:.4g} mm per pixel, each within {percent:.1f} %. Draw more, or use it."
RULER_LENGTH = "Length"
RULER_LENGTH_TIP = "Length of the line in millimetres. Lines without a length get this one."
RULER_USE = "Use"
RULER_USE_TIP = "Take the mean of the lines as the spacing, with square pixels."
RULER_NO_NUMBER = "The length is a number of millimetres, such as 20 or 12.5."
RULER_WHY_NO_LINE = "no line is drawn yet"
RULER_ALL = "also for {images} without a spacing"
RULER_ALL_TIP = "Only where all images are taken with one device and setting."
MM = "mm"
