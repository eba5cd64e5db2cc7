"""A whole study in a real window: each part is killed, then the folder is moved."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from learning_scene import without_weights

from napari_oneshot_lmk.samples import sample_folder

ROOT = Path(__file__).parents[2]
IMAGES = ("skull_01.png", "skull_02.png", "skull_03.png", "skull_05.png")


def play(part: str, folder: Path, home: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    about = {"PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
    folders = {name: str(home) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    played = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "study_window.py"), part, str(folder)],
        env={**os.environ, **without_weights(home), **folders, **about},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = f"{played.returncode}: {played.stdout[-2000:]}{played.stderr[-4000:]}"
    assert f"{part} done" in played.stdout, said
    assert played.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.window
@pytest.mark.timeout(900)
def test_nothing_differs_from_what_was_entered_after_kills_and_a_move(tmp_path):
    folder, home = tmp_path / "work", tmp_path / "home"
    (folder / "images").mkdir(parents=True)
    for name in IMAGES:
        shutil.copy(sample_folder("skull") / "images" / name, folder / "images")
    play("annotate", folder, home)
    play("train", folder, home)
    elsewhere = tmp_path / "another place"
    folder.rename(elsewhere)
    play("moved", elsewhere, home)
    held = json.loads((elsewhere / "moved.json").read_text())
    assert held["learnt"]["way"] == "offsets"
    assert [each["name"] for each in held["measurements"]["measurement"]][-2:] == ["S-N", "SNMe"]
    assert len(held["pages"]) == len(IMAGES)
    assert {point[1] for point in held["images"]["skull_03.png"]["points"].values()} <= {
        "accepted",
        "corrected",
    }
