"""Fixtures of the tests of projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from project_scene import a_template, save

from napari_oneshot_lmk.review.project import Project


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with images in two subfolders, two of them of one name."""
    for number, name in enumerate(["a/m", "b/m", "b/z"]):
        save(tmp_path / "study" / "images" / name, number)
    return tmp_path / "study"


@pytest.fixture
def project(study: Path) -> Iterator[Project]:
    with Project.create(study / "project", a_template(), [study / "images"]) as made:
        yield made
