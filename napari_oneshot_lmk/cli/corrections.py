"""``oneshot-lmk corrections``: what corrected images are worth for others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_json,
    print_line,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.detect import make_detector
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.image_lookup import templates_of
from napari_oneshot_lmk.cli.options import (
    AsJson,
    DeviceName,
    Slice,
    SpacingText,
    Weights,
    option,
    spacing_from,
)
from napari_oneshot_lmk.cli.project_learn import GAIN_TITLES, gain_row
from napari_oneshot_lmk.errors import UsageError

FEWEST = 3
"""With fewer corrected images the estimate says little."""


@handle_errors
def try_corrections(
    corrected: Annotated[
        Path, typer.Argument(metavar="LANDMARKS", help="Corrected landmarks of some images.")
    ],
    images: Annotated[list[str], option("FOLDER|GLOB", "Where the images are.")],
    template: Annotated[Path | None, option("FOLDER", "The template.")] = None,
    model: Annotated[Path | None, option("RUN", "A trained model.")] = None,
    encoder_weights: Weights = None,
    spacing: SpacingText = None,
    slice_index: Slice = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what corrected images would gain for others, before they are used.

    Each corrected image is left out in turn: the template alone, and with the help of the other
    corrected images, is compared with where you have put the points. Nothing is written.
    `oneshot-lmk detect --corrected LANDMARKS` takes them as further templates, `oneshot-lmk
    project learn` their offsets, too.
    """
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.corrections import (
        detect_left_out,
        gain,
        left_out_errors,
    )
    from napari_oneshot_lmk.review.learnt import WITHOUT_TRAINING

    spacing_mm_yx = spacing_from(spacing)
    further = templates_of(corrected, images, spacing_mm_yx, slice_index)
    if len(further) < 2:
        what = "one corrected image cannot be left out and be compared with the rest"
        raise UsageError(what, file=corrected, remedy="correct at least two images")
    own = None if template is None else Template.load(template)
    _, detector = make_detector(own, further, model, encoder_weights, device, trust=False)
    left_out = []
    with counting_bar("Leaving each out") as advance:
        for image in detect_left_out(detector):
            left_out.append(image)
            advance(len(left_out), len(further))
    errors = left_out_errors(left_out)
    gains = [each for way in WITHOUT_TRAINING for each in gain(errors, way)]
    if as_json:
        print_json([asdict(each) for each in gains])
        return
    print_table(
        f"{len(further)} corrected images, each left out in turn",
        GAIN_TITLES,
        [gain_row(each) for each in gains],
    )
    if len(further) < FEWEST:
        print_warning("So few images say little: chance may be larger than the gain.")
    print_line("These points were corrected by a person: no one-shot result.")
