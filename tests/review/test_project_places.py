"""Where a project's images are, and what their files say: whoever moves or changes them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from project_scene import a_template, detected, placed, save

from napari_oneshot_lmk.errors import OneshotError, ProjectError
from napari_oneshot_lmk.review.project import Project


def content(project: Project) -> dict[str, object]:
    """All that a project holds."""
    about = {
        image.id: (image.name, image.sha256, project.work(image.id)) for image in project.images
    }
    return {"template": project.template.content_sha256, **about}


def test_it_can_be_moved_with_its_images(project, study, tmp_path):
    for number, image in enumerate(project.images):
        project.record(image.id, placed(by=number), action="place", reader="Ada")
    before = content(project)
    project.close()
    shutil.move(study, tmp_path / "elsewhere")
    moved = Project.open(tmp_path / "elsewhere/project")
    assert content(moved) == before
    for image in moved.images:
        assert image.path.is_relative_to(tmp_path / "elsewhere/images")
        assert moved.read(image.id).pixels.shape == (40, 36)


def test_a_moved_image_is_found_by_name_and_content(project, study, tmp_path):
    project.close()
    # One of the same name and size, that is another image.
    save(study / "images/sorted/m", 50)
    shutil.move(study / "images/a", study / "images/sorted/a")
    opened = Project.open(study / "project")
    assert [i.path.relative_to(study).as_posix() for i in opened.images] == [
        "images/sorted/a/m.bmp",
        "images/b/m.bmp",
        "images/b/z.bmp",
    ]
    shutil.move(study / "images", tmp_path / "far" / "images")
    opened = Project.open(study / "project")
    assert [image.path for image in opened.images] == [None] * 3
    with pytest.raises(ProjectError, match=r"m\.bmp: is not where it was; .* project locate"):
        opened.read("0001")
    assert opened.locate(tmp_path / "far") == ("0002", "0003", "0001")
    opened.close()
    assert Project.open(study / "project").read("0002").path.parent.name == "b"
    with pytest.raises(ProjectError, match="is not a folder"):
        opened.locate(tmp_path / "nowhere")


@pytest.mark.parametrize("same_size", [True, False])
def test_other_content_is_never_used(project, study, same_size):
    project.record("0001", placed(), action="place")
    path = save(study / "images/a/m", 33)
    if not same_size:
        path.write_bytes(path.read_bytes() + b"more")
    opened = Project.open(study / "project")
    assert opened.image("0001").changed is not same_size
    with pytest.raises(ProjectError, match=r"a/m\.bmp: has been changed since it was added"):
        opened.read("0001")
    added = project.add([path])
    assert (added.ids, added.known) == ((), ())
    assert "has landmarks already" in str(added.failed[0])
    # Nothing was done on this one yet.
    other = save(study / "images/b/m", 34)
    assert project.add([other]).known == ("0002",)
    assert project.read("0002").path == other


def test_a_copied_file_of_another_date_is_the_same_image(project, study):
    os.utime(study / "images/a/m.bmp", ns=(1, 1))
    assert project.read("0001").name == "m.bmp"
    project.close()
    about = json.loads((study / "project/project.json").read_text())
    assert about["images"][0]["mtime_ns"] == 1


def test_spacing_is_that_of_the_file_unless_the_user_says_more(tmp_path):
    Image.new("L", (36, 40)).save(tmp_path / "none.png")
    for name, mm in [("stated", 0.5), ("none", None)]:
        pixels = Image.fromarray(np.arange(1440, dtype=np.uint16).reshape(40, 36).astype(np.uint8))
        path = tmp_path / f"{name}.tif"
        if mm is None:
            pixels.save(path)
        else:
            from tifffile import imwrite

            resolution = (1 / mm, 1 / mm)
            imwrite(
                path,
                np.asarray(pixels),
                imagej=True,
                resolution=resolution,
                metadata={"unit": "mm"},
            )
    paths = [tmp_path / "stated.tif", tmp_path / "none.tif"]
    project = Project.create(tmp_path / "p", a_template(), paths)
    stated, none = (project.named(name).id for name in ("stated", "none"))

    def spacings() -> list[object]:
        read = [project.read(each).geometry.spacing_mm_yx for each in (stated, none)]
        kept = [project.work(i).landmarks.geometry.spacing_mm_yx for i in (stated, none)]
        assert kept == read
        return [spacing and spacing[0] for spacing in read]

    for image_id in (stated, none):
        found = detected(project, image_id)
        points = [replace(p, shape_residual_mm=1.0) for p in found]
        project.record(image_id, found.with_points(points), action="detect")
    assert spacings() == [0.5, None]
    project.set_spacing(0.2)
    assert spacings() == [0.5, 0.2]
    project.set_spacing(0.1, [stated])
    assert spacings() == [0.1, 0.2]
    assert project.work(stated).landmarks["tip"].shape_residual_mm == pytest.approx(0.2)
    project.record(stated, project.work(stated).landmarks, action="place")
    project.set_spacing(None, [stated])
    project.set_spacing(None)
    project.close()
    project = Project.open(tmp_path / "p")
    assert spacings() == [0.5, None]
    with pytest.raises(OneshotError, match="not between"):
        project.set_spacing(-1)
    project.close()


def test_opening_neither_hashes_nor_decodes(project, monkeypatch):
    for image in project.images:
        project.record(image.id, placed(), action="place")
    project.close()

    def refuse(*arguments, **options):
        raise AssertionError("this takes seconds with hundreds of images")

    review = "napari_oneshot_lmk.review"
    for name in ("project_index.hash_file", "image_files.hash_file", "project.read_image"):
        monkeypatch.setattr(f"{review}.{name}", refuse)
    opened = Project.open(project.folder)
    assert len(opened.statuses()) == len(opened.images) == 3
    assert not any(image.path is None or image.changed for image in opened.images)
