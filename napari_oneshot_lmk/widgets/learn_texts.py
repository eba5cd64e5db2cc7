"""All words of learning from corrections."""

NEXT = "Correct this next"
NEXT_TIP = (
    "Go to the image whose corrections would help the others most: with many doubtful points, and "
    "more like other unfinished images than the corrected ones are."
)
CORRECT = "{image}: {reason}."
WHY_NO_NEXT = "no image is detected and not yet corrected"
LEARN = "Learn from corrections…"
LEARN_TIP = (
    "See what the corrected images gain for the others, each left out in turn; then let the "
    "others be detected anew with their help. Nothing changes before you say so."
)
READING = "Reading the corrected images"
TRYING = "Leaving each corrected image out: {done} of {total}"
TRIED = "{images} corrected, each left out in turn. Nothing is changed yet."
TRIED_FEW = "{images} corrected: so few say little, chance may be larger than the gain."
LEFT_OUT = "{count} left out: {error}."
WAYS = {
    "offsets": "offsets",
    "further templates": "further templates",
    "both": "both",
    "fine tuning": "fine-tuned model",
    "fine tuning and templates": "fine-tuned model and further templates",
}
WAY_TIPS = {
    "offsets": (
        "Move each found point as the corrected ones were moved, as far as they agree. Helps where "
        "you put a landmark elsewhere than the template has it."
    ),
    "further templates": (
        "Compare every image with the corrected ones, too. Helps where bodies or images differ."
    ),
    "both": "Corrected images as further templates, and the offsets that are left then.",
    "fine tuning": (
        "The model's layers of each landmark go on learning from the corrected images. The model "
        "stays; the result is one more."
    ),
    "fine tuning and templates": (
        "The fine-tuned model, which also compares every image with the corrected ones."
    ),
}
TUNE = "Fine-tune the model…"
TUNE_TIP = (
    "Train the model's layers of each landmark on copies of the template and of the corrected "
    "images, and see what that gains beside the others. Takes minutes: the corrected images are "
    "left out in up to three parts, each of one training. Where it was measured, further templates "
    "alone gained as much or more, at once: try those first; it is never recommended. Nothing "
    "changes before you say so."
)
STOP = "Stop"
STOP_TIP = (
    "End fine-tuning with what there is: the gain on the parts that are done, or the model so far. "
    "Cancel changes nothing; asked again, it goes on from there."
)
TUNING = "Fine-tuning without a part of the corrected images, {training} of {trainings}"
TUNING_ON_ALL = "Fine-tuning on all corrected images"
TUNED = (
    "Fine-tuned without a part of the corrected images each ({trainings}), measured on {images} "
    "that were left out: few-shot figures. Nothing is changed yet."
)
TUNED_ON_ALL = "The model is fine-tuned on all corrected images."
TUNED_MODEL = "{model}, fine-tuned"
WHY_TUNED = "fine-tuning is among the figures already"
WHY_NO_MODEL = "the project detects without a trained model: train one first (Fused)"
GAIN = "{before:.2f} → {after:.2f} {unit}"
GAIN_WITHIN = "{within_before:.0f} → {within_after:.0f} % closer than 2 mm"
RECOMMENDED = "{way} (recommended):\n{gains}"
WAY = "{way}:\n{gains}"
FEW_SHOT = (
    "Few-shot figures, of {images}: left out in {parts}, each of one training. Offsets are not "
    "combined with fine-tuning."
)
NOTHING_GAINS = "Nothing is recommended: on the corrected images no way gains."
APPLY = "Detect all others anew"
APPLY_TIP = (
    "Detect anew on all images that nobody has finished, helped like this. What a person decided "
    "stays; one step takes all of it back."
)
FORGET = "Forget what was learnt"
FORGET_TIP = (
    "Each point that nobody has decided goes back to where it was before. Detection is as before."
)
FORGOTTEN = "What was learnt is forgotten: {images} as before."
APPLIED = "Detection is helped by corrected images: {way}."
CANCELLED = "Stopped. Nothing is changed."
FAILED = "What is gained could not be measured: {error}"
WHY_NOT_TRIED = "what it gains was not measured yet"
WHY_NONE_CHOSEN = "choose one of the lines first"
WHY_NOTHING_LEARNT = "nothing was learnt"
WHY_TWO = "fewer than two images are corrected, and one cannot show what it gains"
