"""The developers' benchmarks of what comes before a detection, on little data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from benchmarks import large_files, loading, start_up
from benchmarks.__main__ import app
from napari_oneshot_lmk.errors import OneshotError
from napari_oneshot_lmk.imaging.reader import read_image

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS = np.random.default_rng(0).integers(0, 4096, (90, 70)).astype(np.uint16)


def measure(*arguments: object) -> Result:
    """Run ``python scripts/benchmarks`` in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("kind", large_files.KINDS, ids=lambda kind: kind.title)
def test_each_format_holds_the_same_pixels(kind, tmp_path):
    path = tmp_path / f"image{kind.suffix}"
    kind.write(path, PIXELS)
    image = read_image(path)
    if "8 bits" in kind.title:
        assert image.pixels.shape == PIXELS.shape
    else:
        np.testing.assert_array_equal(image.pixels, PIXELS)
    is_dicom = "DICOM" in kind.title
    assert image.geometry.spacing_mm_yx == ((0.1, 0.1) if is_dicom else None)


def test_reading_is_measured_beside_detection(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "full_size", lambda seed: PIXELS)
    options = ("--shipped", "--images", 2, "--repeats", 1, "--folders", "DICOM")
    result = measure("reading", *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "reading.json").read_text(encoding="utf-8"))
    assert [each["title"] for each in content["files"]] == [k.title for k in large_files.KINDS]
    assert all(each["detect_ms"] > each["prepare_ms"] > 0 for each in content["files"])
    (folder,) = content["folders"]
    assert folder["images"] == 2
    assert folder["from_files_s"] > 0 < folder["prepared_s"]
    assert "| DICOM |" in (tmp_path / "out" / "reading.md").read_text(encoding="utf-8")


def test_a_kind_that_is_unknown_is_refused(tmp_path):
    result = measure("reading", "--shipped", "--folders", "GIF", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "no kind of file GIF" in result.output


def test_a_process_is_timed(tmp_path):
    code = "sum(range(10**6)); print('said')"
    wall, processor, said = start_up._timed(["-c", code], tmp_path)
    assert said.split() == ["said"]
    assert processor > 0
    assert wall > 0
    with pytest.raises(OneshotError, match="no such thing"):
        start_up._timed(["-c", "raise ValueError('no such thing')"], tmp_path)


def test_the_command_names_the_checkouts_that_it_compares(tmp_path, monkeypatch):
    given = {}

    def measured(*paths: Path, **options: object) -> start_up.StartUp:
        given.update(options)
        cost = start_up.Cost("detect", 3.0, 2.5)
        return start_up.StartUp((cost,), (start_up.Cost("first", 0.4, 0.3),), 1, (0.5, 1))

    monkeypatch.setattr(loading, "full_size", lambda seed: PIXELS)
    monkeypatch.setattr(start_up, "measure_start", measured)
    root = Path(__file__).resolve().parents[2]
    result = measure("start-up", "--other", f"before={root}", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert given["others"] == {"before": root}
    assert "| detect | 3.00 | 2.50 |" in (tmp_path / "out" / "start_up.md").read_text()
    refused = measure("start-up", "--other", f"x={tmp_path}", "--out", tmp_path / "again")
    assert refused.exit_code == 2
