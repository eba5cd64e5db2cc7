"""``oneshot-lmk project remove``: images leave a project, their landmarks are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_oneshot_lmk.cli.console import print_line
from napari_oneshot_lmk.cli.errors import handle_errors
from napari_oneshot_lmk.cli.project_review import Folder, chosen_images, end_with
from napari_oneshot_lmk.errors import OneshotError


@handle_errors
def remove(
    folder: Folder,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names of images in it.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also images on which a person has decided on landmarks."),
    ] = False,
) -> None:
    """Take images out of a project; their files stay where they are.

    Their landmarks and edits are kept in the project's folder `removed`. Images with landmarks
    that a person has placed, corrected or accepted are refused without --force.
    """
    from napari_oneshot_lmk.review.project import Project

    failed: list[OneshotError] = []
    with Project.open(folder, writing=True) as project:
        for image_id in chosen_images(project, images, failed) or ():
            name = project.image(image_id).name
            try:
                kept = project.remove(image_id, force=force)
            except OneshotError as error:
                failed.append(error)
                continue
            where = "" if kept is None else f"; its landmarks are kept in {kept}"
            print_line(f"{name}: removed from {folder}{where}")
    end_with(failed)
