"""All words of the step "Measure"."""

STEP_MEASURE = "Measure"

# -- the set ---------------------------------------------------------------------------

SHIPPED = {"lateral_cephalogram": "Lateral cephalogram"}
SET = "Set"
SET_TIP = "What is measured: a ready set, or a file of your own."
SET_NONE = "no set"
SET_OWN = "own measurements"
SET_CHANGED = "changed: {title}"
SET_KEPT = "before: {title}"
SET_OPEN = "Open…"
SET_OPEN_TIP = "Take the measurements of a file (TOML), as oneshot-lmk measure --set does."
SET_OPEN_TITLE = "Open a set of measurements"
SET_SAVE = "Save set…"
SET_SAVE_TIP = "Write the measurements to a file (TOML), for other images and for the command line."
SET_SAVE_TITLE = "Save the set of measurements"
SET_FILTER = "Set of measurements (*.toml)"
SET_UNSAVED_TITLE = "Measurements are not saved"
SET_UNSAVED_TEXT = "The measurements that you defined ({names}) are in no file."
SET_SAVED = "Saved to {path}."
SET_IN_PROJECT = "The project keeps this set."
NO_SET = "Choose a set of measurements, or define the first one: its points are chosen by clicks."
NO_IMAGE_VALUES = "Open an image and place or detect landmarks: its values stand here."
COLUMN_NAME = "measurement"
COLUMN_VALUE = "value"
COLUMN_NORM = "norm"
COLUMN_DEVIATION = "from it"
TABLE_TIP = "A click shows on the image what is measured."
TIP_NORM = "Norm {norm}: {population} ({source})."
MISSING = "–"

# -- the tracing -----------------------------------------------------------------------

TRACING = "Show the tracing"
TRACING_TIP = (
    "Draw the lines of the set on the image. They follow the points, cannot be moved, and are "
    "not saved."
)
TRACING_LAYER = "tracing"

# -- a new measurement -----------------------------------------------------------------

DEFINE = "Define…"
DEFINE_TIP = "Define a measurement: choose what it is, then click its points."
REMOVE = "Remove"
REMOVE_TIP = "Take the measurement that is chosen in the table out of the set."
KIND_TIP = "What is measured between the points."
KINDS = {
    "distance": "distance",
    "path": "distance along a line",
    "angle": "angle at a point",
    "lines": "angle between two lines",
    "bend": "bend of a profile",
    "projection": "distance along a direction",
    "offset": "distance from a line",
    "ratio": "ratio of two distances",
    "difference": "difference of two measurements",
}
ROLES = {
    "distance": ("from", "to"),
    "angle": ("end of one side", "corner", "end of the other side"),
    "lines": ("start of one line", "its end", "start of the other line", "its end"),
    "bend": ("start", "where it bends", "end", "a point on the positive side"),
    "projection": ("from", "to", "start of the direction", "its end"),
    "offset": ("point", "start of the line", "its end", "a point on the positive side"),
    "ratio": ("from", "to", "of the distance from", "to"),
    "difference": ("measurement", "less measurement"),
}
"""What each point of a kind is, in their order."""
ROLE_NEXT = "next point of the line"
CLICK_POINT = "Click on the image or in the list: {role}."
CLICK_MEASUREMENT = "Click in the table of measurements: {role}."
COMPLETE = "All points are chosen. Give it a name, or leave the one that is proposed."
PICKED = "{points}"
PICKED_NONE = "no point yet"
BACK = "Back"
BACK_TIP = "Take the last point back."
NAME = "Name"
NAME_TIP = "The measurement's name in tables; empty for the proposed one."
DEFINITION_TIP = "In words: what it is, and what its sign means. May be empty."
DEFINITION_HINT = "what it is, in words"
ADD = "Add to the set"
ADD_TIP = "Take this measurement into the set."
WHY_INCOMPLETE = "a point is still to be chosen"
WHY_NO_POINT_YET = "no point is chosen yet"
LIST_TIP = "The landmarks of this image; a click takes one for the measurement."

# -- all images ------------------------------------------------------------------------

TABLE = "Table of all images…"
TABLE_TIP_ALL = "Measure every image that has landmarks, and write a table."
PAGES = "Pages…"
PAGES_TIP = (
    "Write a page per image: picture, points, tracing, measurements with norms, who has "
    "corrected or accepted what; and the table of all."
)
PAGES_TITLE = "Where the folder of the pages goes"
PAGES_FOLDER = "pages {now:%Y-%m-%d %H.%M.%S}"
TABLE_TITLE = "Save the table of measurements"
TABLE_WIDE = "One row per image (*.csv)"
TABLE_LONG = "One row per value (*.csv)"
PAGE_FORMATS = {"pdf": "PDF per image", "one": "one PDF", "png": "PNG per image"}
PAGE_FORMAT_TIP = "What the pages are written as."
MEASURING = "Measuring: {done} of {total}"
WRITING = "Writing pages: {done} of {total}"
TABLE_WRITTEN = "{images} measured: {path}."
PAGES_WRITTEN = "Pages of {images} in {folder}."
PAGES_SOME = "Pages of {images} in {folder}. {failed} left out: {error}."
STOPPED = "Stopped. Pages that were finished stay."
WHY_NO_SET = "there is no set of measurements"
WHY_NOTHING_PLACED = "no image has landmarks"
WHY_NO_ROW = "no measurement is chosen in the table"
WHY_NO_LANDMARKS = "this image has no landmarks to click on"
WHY_DEFINING = "a measurement is being defined"
