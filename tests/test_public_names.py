"""The names at the top of the package, used as the first page of the API shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import napari_oneshot_lmk
from napari_oneshot_lmk.training.preset import Preset

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api" / "index.md"
IMAGES = ("skull_01.png", "skull_02.png", "skull_08.dcm")
"""Of the samples; the page uses all."""
SHORT = {
    "training.epochs": 1,
    "template_copies.count": 2,
    "network.width": 0.1,
    "network.adapter_channels": 2,
}


def test_every_public_name_is_on_the_page_and_can_be_had() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in napari_oneshot_lmk.__all__:
        assert getattr(napari_oneshot_lmk, name) is not None
        assert name == "__version__" or f"`{name}`" in page
    assert set(napari_oneshot_lmk.__all__) <= set(dir(napari_oneshot_lmk))
    assert napari_oneshot_lmk.Radiograph is napari_oneshot_lmk.GrayImage
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_oneshot_lmk.nothing  # noqa: B018


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_children: None
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 6
    samples = tmp_path / "sample_data" / "skull"
    (samples / "images").mkdir(parents=True)
    (samples / "landmarks.csv").symlink_to(ROOT / "sample_data/skull/landmarks.csv")
    for name in IMAGES:
        (samples / "images" / name).symlink_to(ROOT / "sample_data/skull/images" / name)
    preset = tmp_path / "short.toml"
    preset.write_text(Preset.load("laptop").changed(SHORT).to_toml(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code = "".join(blocks)
    assert code.count('preset="laptop"') == 1
    names: dict[str, object] = {}
    exec(code.replace('preset="laptop"', 'preset="short.toml"'), names)
    assert names["report"].native.overall.mre_mm < 30  # type: ignore[attr-defined]
    assert (tmp_path / "bundle" / "configs" / "metadata.json").is_file()
