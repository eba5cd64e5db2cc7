"""All words of the step "Review"."""

STEP_REVIEW = "Review"

# -- keys ------------------------------------------------------------------------------

KEY_NEXT_UNSURE = "next point that a person should look at"
KEY_ACCEPT_POINT = "this point is right; on to the next unsure one"
KEY_ACCEPT_IMAGE = "all points are right; on to the next image"
KEY_NEXT_IMAGE = "next image"
KEY_PREVIOUS_IMAGE = "previous image"
KEY_NEXT_CORRECTED = "next image with a corrected point"
KEY_RESET = "put this point back to where it was detected"
KEY_NUDGE = "move this point by a pixel, with Shift by a tenth"

# -- what is said ----------------------------------------------------------------------

NO_UNSURE = "No unsure point is left on this image. {key} accepts it and goes to the next."
NOTHING_TO_REVIEW = "There is nothing to accept: detect landmarks on this image first."
POINT_ACCEPTED = "{name} accepted."
IMAGE_ACCEPTED = "{image} accepted."
ALL_ACCEPTED = "{image} accepted. Every image is reviewed."
NO_NEXT = "There is no other image."
NO_CORRECTED = "No other image has a corrected point."
NO_POINT = "Choose a point first: click on it, or on its row."
MOVED_ONE = "{name} moved by {distance}, given your correction. {undo} takes that back."
MOVED = (
    "{count} points moved, given your correction: {name} by {distance}, the others less. "
    "{undo} takes that back."
)
NONE_MOVED = "The other points stay, given your correction."
SETTLE_FAILED = "The other points could not be found anew: {error}"

# -- the form --------------------------------------------------------------------------

MOVE_OTHERS = "One correction moves the others"
MOVE_OTHERS_TIP = (
    "After you have moved or removed a point, all points that nobody has accepted are found "
    "anew, given yours. One undo takes that back."
)
NEXT_UNSURE = "Next unsure"
ACCEPT_POINT = "Accept point"
ACCEPT_IMAGE = "Accept image, go on"
RESET_POINT = "Reset point"
COUNTERS = (
    "{images}: {to_do} to do · {detected} detected · {corrected} corrected · {accepted} accepted"
)
COLUMN_IMAGE = "image"
COLUMN_STATE = "state"
COLUMN_UNSURE = "unsure"
FILTER_ALL = "all images"
FILTER_TIP = "Which images the list shows."
ORDER_WORST = "worst first"
ORDER_NAME = "by name"
ORDER_TIP = "Order of the list, and of next and previous."
"""Worst: unsure points, points that do not fit to the others, points near the border."""
WHY_NO_IMAGES = "there is no image with landmarks"
STATE_OF = {
    "to do": "to do",
    "detected": "detected",
    "corrected": "corrected",
    "accepted": "accepted",
}
BY = "{state} by {reviewers}"
PREVIOUS_IMAGE = "Previous image"
NEXT_IMAGE = "Next image"
NEXT_CORRECTED = "Next corrected"
FILTER_STATE = "only {state}"
FILTER_REASON = {
    "unsure": "with unsure points",
    "shape": "with points that do not fit to the others",
    "order": "with points on the wrong side of one another",
    "border": "with points near the border",
    "absent": "with absent points",
}
REASON = {
    "unsure": "unsure",
    "shape": "far from where the others expect it",
    "order": "on the wrong side of another point",
    "border": "near the border",
    "absent": "absent",
}
WHY_NO_OTHER = "no image with landmarks is open"
WHY_NO_POINT = "no point is chosen: click on one, or on its row"
ON_TEMPLATE = "on the template"
HERE = "here"
PATCH_TIP = "The surroundings of the chosen landmark, at the same scale on both images."
PATCH_ABSENT = "absent"
PATCH_OPEN = "not placed"
