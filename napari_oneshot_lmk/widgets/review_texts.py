"""All words of the step "Review"."""

STEP_REVIEW = "Review"

# -- keys ------------------------------------------------------------------------------

KEY_NEXT_UNSURE = (
    "next point to look at: unsure, far from the others, on a wrong side, at the border, or missing"
)
KEY_ACCEPT_POINT = "this point is right; on to the next to look at"
KEY_ACCEPT_IMAGE = "all points are right; on to the next image"
KEY_NEXT_IMAGE = "next image"
KEY_PREVIOUS_IMAGE = "previous image"
KEY_NEXT_CORRECTED = "next image with a corrected point"
KEY_RESET = "put this point back to where it was detected"
KEY_NUDGE = "move this point by a pixel, with Shift by a tenth"
KEY_CONTRAST = "next part of the grey levels: full, percentiles, bright half, dark half"
KEY_INVERT = "show bright as dark"
KEY_LOUPE = "open or close the loupe"

# -- what is said ----------------------------------------------------------------------

NO_UNSURE = "No point is left to look at on this image. {key} accepts it and goes to the next."
NOTHING_TO_REVIEW = "There is nothing to accept: detect landmarks on this image first."
POINT_ACCEPTED = "{name} accepted."
IMAGE_ACCEPTED = "{image} accepted."
ALL_ACCEPTED = "{image} accepted. Every image is reviewed."
LAST_OF_LIST = "{image} accepted. It was the last of the list; others are not finished."
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
NEXT_UNSURE = "Next to look at"
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
FILTER_ANY_LANDMARK = "any landmark"
FILTER_LANDMARK = "{name} ({count})"
FILTER_LANDMARK_TIP = (
    "Only images on which this landmark is to be looked at; their number stands behind its name."
)
ORDER_WORST = "worst first"
ORDER_NAME = "by name"
ORDER_TIP = (
    "Order of the list, and of next and previous. Worst: most points to look at, because they "
    "are unsure, do not fit to the others, or lie near the border."
)
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
WHY_NOT_DETECTED = "nothing was detected on this image, there is nothing to review"
WHY_NO_POINT = "no point is chosen: click on one, or on its row"
ON_TEMPLATE = "on the template"
HERE = "here"
PATCH_TIP = "The surroundings of the chosen landmark, at the same scale on both images."
PATCH_ABSENT = "absent"
PATCH_OPEN = "not placed"
MAP = "similar places"
MAP_LOW = "usual"
MAP_HIGH = "best"
MAP_TIP = (
    "How similar each place around the point is to the landmark on the template, before the "
    "other landmarks are asked: the brightest colour is the most similar place of the whole "
    "image, the darkest stands for its median and all below. To compute it takes as long as "
    "to detect on the image, in the background."
)
MAP_NO_POINT = "no point to\ncompare"
MAP_STATE = {
    "NOT_ASKED": "no features of\nthis image yet\n\nClick to\ncompute them",
    "WAITING": "waits for its\nturn…\n\nClick to stop",
    "RUNNING": "computing…\n\nClick to stop",
    "FAILED": "could not be\ncomputed\n\nClick to try\nagain",
}

# -- how images are shown --------------------------------------------------------------

DISPLAY = "View"
DISPLAY_TIP = (
    "How images are shown: contrast, inverted, loupe. It stays for the next images; pixels, "
    "points and detection stay as they are."
)
CONTRAST_TITLE = "Contrast ({key}: the next one)"
CONTRAST = {
    "full range": "Full range",
    "1st to 99th percentile": "1st to 99th percentile",
    "bright half": "Bright half (bone)",
    "dark half": "Dark half (soft tissue)",
}
CONTRAST_TIP = {
    "full range": "From the darkest to the brightest pixel of the image.",
    "1st to 99th percentile": "The darkest and the brightest hundredth of the pixels are cut off.",
    "bright half": (
        "The upper half of the range between the 1st and the 99th percentile: bone, on a "
        "radiograph on which bone is bright."
    ),
    "dark half": (
        "The lower half of the range between the 1st and the 99th percentile: soft tissue, on a "
        "radiograph on which bone is bright."
    ),
}
CONTRAST_SHOWN = "Contrast: {part}. Only the display changes."
INVERT = "Invert ({key})"
INVERT_TIP = "Bright is shown dark and dark bright, in grey."
INVERTED = "Shown inverted. Only the display changes."
NOT_INVERTED = "Not shown inverted any more."
LOUPE = "Loupe"
LOUPE_TITLE = "Loupe ({key}: open or close)"
LOUPE_OFF = "No loupe"
LOUPE_ZOOM = "{zoom}×"
LOUPE_TIP = (
    "The image around the mouse: 4 or 8 pixels of the screen for each of its own pixels, with "
    "the contrast of the canvas."
)

# -- the project -----------------------------------------------------------------------

PROJECT = "Project"
PROJECT_TIP = (
    "One folder with template, images, landmarks, corrections and model: images are shown one "
    "at a time, and every edit is kept at once."
)
PROJECT_NONE = "no project: the open images are reviewed"
PROJECT_NEW = "New…"
PROJECT_NEW_TIP = "Make a project folder with the template and the model that are chosen."
PROJECT_OPEN = "Open…"
PROJECT_OPEN_TIP = "Go on with a project."
PROJECT_ADD = "Add images…"
PROJECT_ADD_TIP = "Add all images of a folder. They stay where they are."
PROJECT_DETECT = "Detect on new images"
PROJECT_DETECT_TIP = "Find the landmarks on all images that have none yet."
PROJECT_SPACING = "This spacing for all images"
PROJECT_SPACING_TIP = "Take the spacing above for all images whose files state none."
PROJECT_REMOVE = "Remove image from the project…"
PROJECT_REMOVE_TIP = (
    "Take this image out of the project. Its file stays where it is, its landmarks are kept in the "
    "project's folder. You are asked first if somebody has worked on it."
)
PROJECT_LOCATE = "Find missing images…"
PROJECT_LOCATE_TIP = "Look in another folder for images that are not where they were."
PROJECT_EXPORT = "Save all landmarks…"
PROJECT_EXPORT_TIP = "Write the landmarks of all images into one file."
PROJECT_CLOSE = "Close"
PROJECT_CLOSE_TIP = "Go back to the open images. Everything is kept."
PROJECT_NEW_TITLE = "Folder of the new project"
PROJECT_NEW_NAME = "project"
PROJECT_OPEN_TITLE = "Open a project"
PROJECT_IMAGES_TITLE = "Folder with the images"
PROJECT_LOCATE_TITLE = "Where the images lie now"
WHY_NO_PROJECT = "there is no project: make or open one first"
WHY_NONE_SHOWN = "no image of the project is shown"
WHY_NO_SPACING = "the spacing of this image is unknown"
WHY_NOTHING_NEW = "every image has landmarks"
WHY_NOTHING_CORRECTED = "no image is corrected yet"
REMOVE_TITLE = "Remove an image from the project"
REMOVE_TEXT = (
    "{landmarks} of {image} were placed, corrected or accepted by a person. They leave the project "
    "with the image: they are in no table any more, and nothing is learnt from them. A copy stays "
    "in the project's folder."
)
REMOVE_YES = "Remove image"
REMOVE_NO = "Keep image"
REMOVED = "{image} is not in the project any more. Its file stays where it is."
REMOVED_KEPT = (
    "{image} is not in the project any more. Its file stays where it is, its landmarks are kept in "
    "{path}."
)
ADDING = "Adding images: {done} of {total}"
ADDING_CANCELLED = "Cancelled. Images that were added before belong to the project."
CANCEL_TIP = "Stop after the images that are being worked on. What was done before is kept."
ADDED = "{images} added."
ADDED_SOME = "{images} added, {failed} left out: {error}."
LOCATED = "{images} found."
SPACING_SET = "Spacing {rows:.4g} x {columns:.4g} mm for all images whose files state none."

MODEL_KEPT = "The project has its own copy of the model from now on."
MODEL_NOT_KEPT = "The project could not take the model: {error}"
