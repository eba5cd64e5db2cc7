"""``oneshot-lmk advise``: which image of a folder to annotate as the template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_info,
    print_json,
    print_table,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors, list_failures
from napari_oneshot_lmk.cli.options import (
    AsJson,
    DeviceName,
    Overwrite,
    Slice,
    Weights,
    encoder_with_bar,
    option,
)
from napari_oneshot_lmk.cli.project_review import failures
from napari_oneshot_lmk.errors import OneshotError

if TYPE_CHECKING:
    from napari_oneshot_lmk.detection.advise import Advice

SHOWN = 10
"""Rows of the table; --json and --out have all."""


@handle_errors
def advise_template(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|FOLDER|GLOB...", help="Which images there are.")
    ],
    count: Annotated[
        int, typer.Option("--count", metavar="K", min=1, help="How many templates to choose.")
    ] = 1,
    out: Annotated[Path | None, option("FILE.csv", "Where the table of all images goes.")] = None,
    slice_index: Slice = None,
    encoder_weights: Weights = None,
    device: DeviceName = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say which image to annotate: the one that is most like the others.

    With --count, several that together stand for all. Images that lie differently, are badly
    exposed or perhaps cut off come last. Nothing has to be annotated yet.
    """
    from napari_oneshot_lmk.detection.advise import advise, describe_images
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.imaging.reader import read_image
    from napari_oneshot_lmk.storage.atomic import check_writable

    if out is not None:
        check_writable(out, overwrite=overwrite)
    files = find_images(images, tell=print_warning)
    encoder = encoder_with_bar(encoder_weights, device)
    failed: list[OneshotError] = []
    described = []
    with counting_bar("Looking at images") as advance:
        every = describe_images(
            files, lambda file: read_image(file.path, slice_index=slice_index), encoder
        )
        for done, one in enumerate(every, start=1):
            if isinstance(one, OneshotError):
                failed.append(one)
            else:
                described.append(one)
            advance(done, len(files))
    advice = advise(described, count)
    content = [_content(number, each) for number, each in enumerate(advice, start=1)]
    if out is not None:
        _write(out, content, overwrite)
        print_info(f"Written to {out}")
    if as_json:
        print_json({"images": content, "failed": failures(failed)})
    else:
        rows = [
            [str(row["rank"]), str(row["image"]), str(row["template"] or ""), str(row["reason"])]
            for row in content[: max(SHOWN, count)]
        ]
        print_table(
            f"{len(rows)} of {len(advice)} images", ["", "image", "template", "reason"], rows
        )
    list_failures(failed)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _content(number: int, each: Advice) -> dict[str, Any]:
    return {
        "rank": number,
        "image": each.file.name,
        "template": each.chosen,
        "stands_for": each.stands_for,
        "likeness": round(each.likeness, 4),
        "reason": "; ".join(each.reasons),
    }


def _write(out: Path, content: list[dict[str, Any]], overwrite: bool) -> None:
    import pandas as pd

    from napari_oneshot_lmk.storage.atomic import atomic_write

    with atomic_write(out, overwrite=overwrite) as partial:
        pd.DataFrame(content).astype({"template": "Int64"}).to_csv(partial, index=False)
