"""All words of the step "Evaluate"."""

STEP_EVALUATE = "Evaluate"

LOAD = "Load reference…"
LOAD_TIP = (
    "True positions of landmarks, from any landmark file: the points of the open images, or of the "
    "open project, are compared with them. They are for scoring only: neither detection nor "
    "training nor review sees them."
)
LOAD_TITLE = "Open reference points"
LOAD_FILTER = "Landmark files"
FORGET = "Forget"
FORGET_TIP = "Take the reference points away; no file is changed."
SAVE = "Save table…"
SAVE_TIP = "Errors of each landmark, or of every point, as a table (.csv)."
SAVE_TITLE = "Save errors"
SAVE_LANDMARKS = "Each landmark (*.csv)"
SAVE_POINTS = "Every point (*.csv)"
SAVED = "Saved to {path}"

NO_REFERENCE = "No reference points. Load a file with true positions of some images."
REFERENCE = "{name}: {images}"
REFERENCE_MANY = "{name} and {more} more: {images}"
READING = "Reading reference points"
COMPARING = "Comparing"
SUMMARY = "<b>{mre:.2f} {unit}</b> mean, {median:.2f} {unit} median, {points} on {images}"
NOTHING_SCORED = "No point is placed both here and in the reference."
IN_PIXELS = "In pixels: the spacing of an image is unknown."
NOT_COMPARED = "Not compared: {parts}."
WITHOUT_TRUTH = "{images} without reference ({names})"
WITHOUT_POINTS = "{images} of the reference without points here ({names})"
CANNOT = "Cannot be compared: {error}"
TOLD_MORE = "{first} (and {more} more like this)"

COLUMN_LANDMARK = "landmark"
COLUMN_N = "n"
COLUMN_MRE = "mean {unit}"
COLUMN_MEDIAN = "median"
COLUMN_RATE = "% < {radius:g}"
COLUMN_TIPS = (
    "Click a landmark to see its points only, “all” to see every point.",
    "Points that are placed both here and in the reference.",
    "Mean distance from the reference (mean radial error).",
    "Half of the points are nearer than this.",
)
COLUMN_RATE_TIP = "Points nearer than {radius:g} {unit} (success detection rate)."
ALL = "all"
COLUMN_IMAGE = "image"
COLUMN_ERROR = "error {unit}"
COLUMN_NOTE = ""

POINTS = "Farthest points first; {outliers} beyond {fence:.1f} {unit}. Click one to look at it."
POINTS_OF = "{landmark}, farthest first. Click a point to look at it."
POINTS_TIP = (
    "An outlier is farther off than the upper quartile of all errors plus 1.5 interquartile ranges."
)
NOTES = {
    "missed": "not found",
    "false_absent": "said to be absent",
    "false_found": "absent in reference",
}
OUTLIER = "outlier"

VIEW_TIP = "What is shown: a table or a plot."
VIEW_TABLE = "Table of errors"
PLOT_LANDMARKS = "Error of each landmark"
PLOT_CUMULATIVE = "Cumulative error"
PLOT_LANDMARKS_TIP = (
    "A dot per point, a bar at the median; lines at the radii of the table. Points beyond the "
    "right edge are counted there."
)
PLOT_CUMULATIVE_TIP = "Which share of the points is nearer to the reference than each distance."
PLOT_AXIS = "error {unit}"
PLOT_EMPTY = "no points to compare"
BEYOND = "+{count}"

SHOW_REFERENCE = "Show reference on the image"
SHOW_REFERENCE_TIP = (
    "Draws a line from each point to its reference. The lines are in a layer of their own, which "
    "nothing is detected or learned from."
)
REFERENCE_LAYER = "reference"

WHY_NO_REFERENCE = "load reference points first"
WHY_NO_COMPARISON = "there is nothing to save: no image is compared"
WHY_READING = "wait until the reference points are read"
GONE = "{image} is not open any more."
