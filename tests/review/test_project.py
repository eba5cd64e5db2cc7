"""A project's folder: nothing is lost, whoever kills who writes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landmark_sets import landmark_sets, same
from project_scene import POINTS, a_template, detected, placed, save

from napari_oneshot_lmk.errors import OneshotError, OutputError, ProjectError
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.review.annotation import Annotation
from napari_oneshot_lmk.review.learn import forget
from napari_oneshot_lmk.review.learnt import Learnt, Way
from napari_oneshot_lmk.review.project import Project
from napari_oneshot_lmk.review.status import ReviewState


def test_images_of_one_name_are_two(project, study):
    assert [image.name for image in project.images] == ["a/m.bmp", "b/m.bmp", "z.bmp"]
    first, last, _ = project.images
    project.record(first.id, placed(), action="place")
    project.record(last.id, placed(by=1), action="place")
    assert project.work(first.id).landmarks["apex"].position_yx == (10, 12)
    assert project.work(last.id).landmarks["apex"].position_yx == (11, 12)
    assert project.named("b/m.bmp") == project.named("0002") == last
    assert project.named(str(study / "images/b/m.bmp")) == last
    assert project.named("z") == project.images[2]
    with pytest.raises(ProjectError, match=r"'m' could be a/m\.bmp or b/m\.bmp"):
        project.named("m")
    with pytest.raises(ProjectError, match="no image '9'"):
        project.named("9")


def test_adding_again_changes_nothing(project, study):
    before = project.images
    more = save(study / "images/c/z", 7)
    added = project.add([study / "images"])
    assert (len(added.ids), len(added.known), added.failed) == (1, 3, ())
    assert [image.sha256 for image in project.images[:3]] == [i.sha256 for i in before]
    # Names stay distinct: the second "z" gives the first one its folder.
    assert [i.name for i in project.images] == ["a/m.bmp", "b/m.bmp", "b/z.bmp", "c/z.bmp"]
    assert project.image(added.ids[0]).path == more


def test_edits_are_kept_with_time_and_reader(project):
    (image, *_) = project.images
    found = detected(project, image.id)
    project.record(image.id, found, action="detect", detected=found, detected_by="abc")
    here = Annotation.adopt(project.work(image.id).landmarks).place("tip", (1, 2), "Ada")
    project.record(image.id, here.landmarks, action="place", reader="Ada")
    work = Project.open(project.folder).work(image.id)
    assert [(e.reader, e.action, e.names) for e in work.edits] == [
        ("", "detect", tuple(POINTS)),
        ("Ada", "place", ("tip",)),
    ]
    assert all(edit.time.endswith("+00:00") for edit in work.edits)
    assert same(work.detected, replace(found, image="a/m.bmp"))
    assert work.detected_by == "abc"
    back = Annotation.adopt(work.landmarks).reset(["tip"], work.detected).landmarks
    assert back["tip"] == found["tip"]
    assert project.statuses()[image.id].state is ReviewState.CORRECTED
    (template,) = project.corrected_templates()
    assert [point.name for point in template.landmarks.placed] == ["tip"]
    assert template.image.name == "m.bmp"


@settings(max_examples=25, deadline=None)
@given(st.lists(landmark_sets(), min_size=1, max_size=3))
def test_what_is_recorded_is_there_when_opened_again(tmp_path_factory, sets):
    folder = tmp_path_factory.mktemp("p")
    images = [save(folder / "1", 1)]
    with Project.create(folder / "project", a_template(), images) as project:
        (image,) = project.images
        for landmarks in sets:
            project.record(image.id, landmarks, action="place", detected=landmarks)
    opened = Project.open(folder / "project")
    work = opened.work(image.id)
    assert same(work.landmarks, replace(sets[-1], image="1.bmp"))
    assert same(work.detected, work.landmarks)
    assert len(work.edits) == len(sets)
    assert opened.images == (image,)


def test_one_process_writes_and_all_may_read(project, study):
    project.record("0001", placed(), action="place")
    other = Project.open(study / "project")
    assert other.work("0001").landmarks is not None
    with pytest.raises(ProjectError, match=r"project: this program itself \(since .* close it"):
        other.record("0001", placed(), action="place")
    code = f"""
from napari_oneshot_lmk.review.project import Project
try:
    Project.open({str(study / "project")!r}, writing=True)
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"process {os.getpid()} on " in done.stdout
    project.add([save(study / "images/new", 8)])
    assert len(other.images) == 4, "what another process adds is seen"
    project.close()
    assert not (study / "project/writer.json").exists()
    other.record("0004", placed(), action="place")
    other.close()


def test_a_damaged_file_of_one_image_leaves_the_others(project, study):
    for image in project.images:
        project.record(image.id, placed(), action="place")
    path = study / "project/images/0002.json"
    for damage, what in [
        (b"{", "is damaged"),
        (b"[]", "is damaged"),
        (path.read_bytes().replace(b"apex", b" apex"), "' apex' is not a landmark name"),
        (path.read_bytes().replace(b'"format": 1', b'"format": 2'), "newer version"),
    ]:
        path.write_bytes(damage)
        opened = Project.open(study / "project")
        told: list[OneshotError] = []
        assert set(opened.statuses(told.append)) == {"0001", "0003"}
        assert what in str(told[0])
        assert str(told[0]).startswith(f"{path}: ")
        with pytest.raises(ProjectError):
            opened.record("0002", placed(), action="place")
        assert opened.export(study / "out.csv", overwrite=True, tell=told.append) == 2
    assert path.read_bytes() == damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (None, "is not a project"),
        (b"", "is damaged"),
        (b'{"format": 9}', "newer version of this program (format 9, this one reads 1)"),
        (b'{"format": 1, "images": [{"id": "../x"}]}', "is damaged, images.0.id is wrong"),
    ],
)
def test_a_folder_that_is_no_project_is_refused(project, study, damage, sentence):
    path = study / "project/project.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(ProjectError) as caught:
        Project.open(study / "project")
    assert sentence in str(caught.value)


def test_a_project_is_made_whole_or_not_at_all(study):
    with pytest.raises(OneshotError):
        Project.create(study / "none", a_template(), model=study / "images")
    assert not (study / "none").exists()
    with pytest.raises(OutputError, match="exists already"):
        Project.create(study / "images", a_template())


def test_export_writes_all_images_to_one_file(project, study):
    with pytest.raises(ProjectError, match="no image has landmarks yet"):
        project.export(study / "all.csv")
    for number, image in enumerate(project.images):
        project.record(image.id, placed(by=number), action="place")
    assert project.export(study / "all.csv") == 3
    sets = read_landmarks(study / "all.csv")
    assert [landmarks.image for landmarks in sets] == ["a/m.bmp", "b/m.bmp", "z.bmp"]
    assert sets[2]["apex"].position_yx == (12, 12)
    assert project.export(study / "one.csv", ["0002"]) == 1


RECORDING = """
import sys
from napari_oneshot_lmk.landmarks.landmarks import Landmarks
from napari_oneshot_lmk.review.project import Project

project = Project.open(sys.argv[1], writing=True)
ids = [image.id for image in project.images]
number = 0
while True:
    number += 1
    for image_id in ids:
        marks = Landmarks.from_positions({"apex": (float(number), 1.0)})
        project.record(image_id, marks, action="place", reader=str(number))
    project.set_spacing(number / 10000)
    print(number, flush=True)
"""


def test_killed_while_it_records_it_opens_with_all_that_was_recorded(project, study):
    project.close()
    for wait in (0.0, 0.013, 0.031):
        arguments = [sys.executable, "-c", RECORDING, str(project.folder)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            said = [int(child.stdout.readline()) for _ in range(5)]
            time.sleep(wait)
            os.kill(child.pid, signal.SIGKILL)
            said += [int(line) for line in child.stdout.read().split()]
        with Project.open(project.folder) as opened:
            for image in opened.images:
                work = opened.work(image.id)
                numbers = [int(edit.reader) for edit in work.edits]
                # What it has said to be done, and at most the one that it was at.
                assert numbers in (said, [*said, said[-1] + 1])
                assert work.landmarks["apex"].position_yx[0] == numbers[-1]
            opened.lock()
            assert not list((project.folder / "images").glob(".*")), "what it left is removed"
        for path in (project.folder / "images").iterdir():
            path.unlink()


def test_no_image_gets_the_id_of_one_that_was_removed(project, study):
    learnt = Learnt(way=Way.OFFSETS, images=("0001", "0003"), offsets={"tip": (1.0, 0.0)})
    project.record("0003", detected(project, "0003"), action="detect")
    project.set_learnt(learnt, ["0003"])
    kept = project.remove("0003")
    assert kept is not None
    assert kept.parent.name == "removed"
    (new,) = project.add([save(study / "images/b/new", 77)]).ids
    assert new == "0004"
    # What was learnt from it, and what it was before that, is not put on another image.
    assert project.learnt == learnt.model_copy(
        update={"images": ("0001",), "before": {}, "time": project.learnt.time}
    )
    assert forget(project) == ()
    project.close()
    with Project.open(study / "project") as again:
        again.remove("0004")
        assert again.add([save(study / "images/b/newer", 78)]).ids == ("0005",)
