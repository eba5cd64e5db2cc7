"""Thousands of spoilt landmark files: refused in one sentence, or read as they are.

``ONESHOT_LMK_FUZZ`` is how many of each kind are tried; without it a few, always the
same ones.
"""

from __future__ import annotations

import os

import pytest
from fuzz_landmarks import CHANGES, fault_of, spoilt_files, whole_files
from oblique_image import geometry, write_dicom

from napari_oneshot_lmk.landmarks.files import read_landmarks

COUNT = int(os.environ.get("ONESHOT_LMK_FUZZ", "60"))
NAMES = (
    *("ours.csv", "ours.mrk.json", "ours.json", "ours.tps", "ours.sr.dcm", "ours.txt"),
    *("excel.csv", "points.csv", "slicer.mrk.json", "slicer.fcsv", "foreign.json"),
    "foreign.tps",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return whole_files(folder, write_dicom(folder / "film.dcm"))


def test_there_is_a_file_of_every_format(files):
    assert tuple(sorted(files)) == tuple(sorted(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_files_are_read(tmp_path, files, name):
    (tmp_path / name).write_bytes(files[name])
    images = read_landmarks(tmp_path / name, geometry=geometry(), tell=lambda _: None)
    assert sum(len(landmarks.placed) for landmarks in images) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_spoilt_files_are_refused_in_one_sentence_or_read_as_they_are(tmp_path, files, name):
    for number, spoilt in enumerate(spoilt_files(files, name, COUNT)):
        fault = fault_of(spoilt, tmp_path)
        assert not fault, f"{name}, number {number} ({spoilt.how}): {fault}"


def test_every_way_to_spoil_a_file_is_tried(files):
    tried = {
        how
        for name in NAMES
        for spoilt in spoilt_files(files, name, 25)
        for how in spoilt.how.split(", ")
    }
    assert tried == {change.__name__.strip("_") for change in CHANGES}
