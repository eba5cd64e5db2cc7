"""``oneshot-lmk project``: one folder with all that is needed to review many images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_oneshot_lmk.cli import project_learn, project_remove, project_review, report
from napari_oneshot_lmk.cli.console import (
    counting_bar,
    print_info,
    print_json,
    print_line,
    print_warning,
)
from napari_oneshot_lmk.cli.errors import ExitCode, handle_errors
from napari_oneshot_lmk.cli.measure import TableOptions
from napari_oneshot_lmk.cli.options import AsJson, Overwrite, Slice, spacing_from
from napari_oneshot_lmk.cli.project_review import (
    Folder,
    Images,
    Reader,
    chosen_images,
    counted,
    end_with,
    failures,
    member,
)
from napari_oneshot_lmk.errors import OneshotError, UsageError
from napari_oneshot_lmk.landmarks.files import endings_in_words

if TYPE_CHECKING:
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.project import Project, ProjectImage
    from napari_oneshot_lmk.review.project_index import Added

TAKE_BACK = "none"
"""Instead of a spacing."""

project_app = typer.Typer(
    help="Review hundreds of images: one folder with template, landmarks and corrections.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@project_app.command("create")
@handle_errors
def create(
    folder: Annotated[Path, typer.Argument(metavar="PROJECT", help="The new folder.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE|FOLDER|GLOB...", help="What belongs to it.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option("--template", metavar="FOLDER", help="The template. Default: the model's."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="RUN", help="A trained run or bundle; it is copied."),
    ] = None,
    reader: Reader = "",
    slice_index: Slice = None,
    as_json: AsJson = False,
) -> None:
    """Make a project of a template, images and a trained model, if there is one.

    Template and model are copied into the folder; images stay where they are. Folder and
    images can be moved together.
    """
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.review.project import Project

    if images:
        find_images(images, tell=print_warning)
    if template is not None:
        annotated = Template.load(template)
    elif model is not None:
        annotated = _template_of(model)
    else:
        raise UsageError(
            "neither a template nor a trained model was named",
            remedy="name one with --template or --model",
        )
    with Project.create(folder, annotated, model=model, reader=reader) as project:
        _add(project, images or [], slice_index, as_json)


@project_app.command("add")
@handle_errors
def add(
    folder: Folder,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE|FOLDER|GLOB...")],
    slice_index: Slice = None,
    as_json: AsJson = False,
) -> None:
    """Add images; those that belong to the project already stay as they are.

    One that was removed has its landmarks and edits again.
    """
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.review.project import Project

    with Project.open(folder, writing=True) as project:
        find_images(images, tell=print_warning)
        _add(project, images, slice_index, as_json)


@project_app.command("model")
@handle_errors
def use_model(
    folder: Folder,
    model: Annotated[Path, typer.Argument(metavar="RUN", help="A trained run or bundle.")],
) -> None:
    """Use another trained model from now on; it is copied into the project."""
    from napari_oneshot_lmk.review.project import Project

    with Project.open(folder, writing=True) as project:
        project.set_model(model)
    print_line(f"{folder}: detection uses a copy of {model}")


# A number below zero is a spacing that makes no sense, and not an option.
@project_app.command("spacing", context_settings={"ignore_unknown_options": True})
@handle_errors
def set_spacing(
    folder: Folder,
    spacing: Annotated[
        str,
        typer.Argument(
            metavar="MM|none",
            help="Millimetres per pixel, 0.3 or 0,3; or ROWxCOLUMN; none takes it back.",
        ),
    ],
    images: Images = None,
) -> None:
    """Say the pixel spacing of images whose files state none, or of the images named.

    For images that are named it overrides what their files state. Landmarks that are there
    already follow.
    """
    from napari_oneshot_lmk.review.project import Project

    spacing_mm_yx = None if spacing.lower() == TAKE_BACK else spacing_from(spacing)
    with Project.open(folder, writing=True) as project:
        ids = [project.named(name).id for name in images] if images else None
        project.set_spacing(spacing_mm_yx, ids)
    whose = counted(len(ids), "image") if ids else "images whose files state none"
    shown = "{:g} x {:g} mm".format(*spacing_mm_yx) if spacing_mm_yx else spacing
    print_line(f"{folder}: pixel spacing {shown} of {whose}")


@project_app.command("locate")
@handle_errors
def locate(
    folder: Folder,
    where: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where images are now.")],
) -> None:
    """Look for images that were moved, by name and content, and remember where they are."""
    from napari_oneshot_lmk.review.project import Project

    with Project.open(folder, writing=True) as project:
        found = project.locate(where)
        lost = [image for image in project.images if image.path is None or image.changed]
    print_line(
        f"{folder}: {counted(len(found), 'image')} found, {len(lost)} still missing or changed"
    )
    for image in lost:
        print_info(f"  {image.name}")
    if lost:
        raise typer.Exit(ExitCode.FAILED)


@project_app.command("export")
@handle_errors
def export(
    folder: Folder,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help=f"Landmarks of all images: {endings_in_words(written=True, one_image=False)}; "
            "with --to, a folder.",
        ),
    ],
    images: Images = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="ENDING",
            help="Write a file for each image: "
            f"{endings_in_words(written=True, beside_image=True)}.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the landmarks of all images, or of those named, to one file or one file each."""
    from napari_oneshot_lmk.cli.landmark_output import checked_ending, warn_of_losses, write_each
    from napari_oneshot_lmk.review.project import Project, Tell

    ending = checked_ending(out, to)
    failed: list[OneshotError] = []
    with Project.open(folder) as project:
        ids = chosen_images(project, images, failed)
        if to is None:
            count = project.export(out, ids, overwrite=overwrite, tell=failed.append)
        tell: Tell = failed.append if to is not None else lambda _: None  # told already
        works = list(project.works(ids, tell=tell))
        sets = [work.landmarks for _, work in works if work.landmarks is not None]
        if to is not None:
            if not sets:
                raise UsageError(
                    "no image has landmarks yet", file=folder, remedy="detect them first"
                )
            paths = {image.name: image.path for image, _ in works}
            batch = write_each(out, ending, sets, paths.get, overwrite)
            count = len(batch.done)
            failed += batch.failed
        warn_of_losses(Path(f"image{ending}"), sets)
    print_line(f"{out}: landmarks of {counted(count, 'image')}")
    end_with(failed)


@project_app.command("measure")
@handle_errors
def measure(
    folder: Folder,
    chosen: report.ProjectSet = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.csv", help="Where the table goes.")
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="One row per image instead of one per value.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure distances, angles and ratios between landmarks on all images."""
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.review.project_set import chosen_set
    from napari_oneshot_lmk.storage.atomic import check_writable

    if out is not None:
        check_writable(out, overwrite=overwrite)
    failed: list[OneshotError] = []
    with Project.open(folder) as project:
        definitions = chosen_set(project, chosen)
        works = [work.landmarks for _, work in project.works(tell=failed.append)]
    sets = [landmarks for landmarks in works if landmarks is not None]
    if not sets:
        raise UsageError("no image has landmarks yet", file=folder, remedy="detect them first")
    TableOptions(out, wide, overwrite, as_json).report(sets, definitions)
    end_with(failed)


@project_app.command("take")
@handle_errors
def take(
    folder: Folder,
    landmarks: Annotated[
        Path, typer.Argument(metavar="LANDMARKS", help="Corrected landmarks of some images.")
    ],
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Which image, where the file names none."),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="project|file|refuse",
            help="Where a person has decided otherwise in the project: the project's stays, "
            "the file's is taken, or nothing of that image.",
        ),
    ] = "project",
    reader: Reader = "",
    as_json: AsJson = False,
) -> None:
    """Take landmarks that were corrected in a file; what differs counts as corrected.

    Reads what oneshot-lmk project export writes, and the files of other tools.
    """
    from napari_oneshot_lmk.geometry import Geometry
    from napari_oneshot_lmk.landmarks.files import read_landmarks
    from napari_oneshot_lmk.review.project import Project
    from napari_oneshot_lmk.review.take import MergePolicy, Taken, take_landmarks

    rule = member(MergePolicy, "--policy", policy)
    failed: list[OneshotError] = []
    taken: list[Taken] = []
    with Project.open(folder, writing=True) as project:

        def place(name: str) -> ProjectImage:
            return project.named(image or name)

        def geometry_of(name: str) -> Geometry | None:
            try:
                return project.read(place(name).id).geometry
            except OneshotError:
                # Said below, where the landmarks of that image are to be taken.
                return None

        def source_of(name: str) -> Path | None:
            try:
                return place(name).path
            except OneshotError:
                return None

        names = project.template.landmarks.names
        sets = read_landmarks(
            landmarks, geometry_of=geometry_of, source_of=source_of, names=names, tell=print_warning
        )
        if image is not None and len(sets) > 1:
            raise UsageError(
                f"holds landmarks of {len(sets)} images", file=landmarks, remedy="leave out --image"
            )
        for given in sets:
            try:
                image_id = place(given.image).id
                taken.append(take_landmarks(project, image_id, given, policy=rule, reader=reader))
            except OneshotError as error:
                failed.append(error)
    if as_json:
        print_json({"images": [asdict(each) for each in taken], "failed": failures(failed)})
    else:
        changed = sum(len(each.changed) for each in taken)
        on = sum(bool(each.changed) for each in taken)
        said = [f"{counted(changed, 'landmark')} taken on {counted(on, 'image')}"] if on else []
        if on < len(taken):
            others = counted(len(taken) - on, "other image" if on else "image")
            said.append(f"nothing new on {others}")
        print_line(f"{folder}: {', '.join(said)}")
        for each in taken:
            if each.kept:
                print_warning(
                    f"{each.image}: {', '.join(each.kept)} stay as they were decided in the "
                    "project; --policy file takes the file's."
                )
        unknown = dict.fromkeys(name for each in taken for name in each.unknown)
        if unknown:
            print_warning(f"Not in the template, and left out: {', '.join(unknown)}.")
    end_with(failed)


project_app.command("detect")(project_review.detect)
project_app.command("status")(project_review.status)
project_app.command("accept")(project_review.accept)
project_app.command("settle")(project_review.settle)
project_app.command("remove")(project_remove.remove)
project_app.command("report")(report.report)
project_app.command("learn")(project_learn.learn)
project_app.command("next")(project_learn.next_images)


def _template_of(model: Path) -> Template:
    from napari_oneshot_lmk.bundle.load import load_model

    return load_model(model).template


def _add(project: Project, images: list[str], slice_index: int | None, as_json: bool) -> None:
    from napari_oneshot_lmk.review.project_index import Added

    added = Added()
    if images:
        with counting_bar("Adding images") as advance:
            added = project.add(images, slice_index=slice_index, bring_back=True, advance=advance)
    if as_json:
        print_json(_content(project, added))
    else:
        known = f", {len(added.known)} belonged to it already" if added.known else ""
        print_line(f"{project.folder}: {counted(len(added.ids), 'image')} added{known}")
        for image_id, file in added.brought_back.items():
            name = project.image(image_id).name
            print_info(f"{name}: was removed before; its landmarks are back from {file}.")
    end_with(added.failed)


def _content(project: Project, added: Added) -> dict[str, object]:
    return {
        "project": str(project.folder),
        "added": [
            {"id": image.id, "name": image.name, "path": str(image.path)}
            for image in map(project.image, added.ids)
        ],
        "known": list(added.known),
        "brought_back": list(added.brought_back),
        "failed": [{"file": error.file, "error": str(error)} for error in added.failed],
    }
