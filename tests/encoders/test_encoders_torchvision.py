"""torchvision works beside a PyTorch that its compiled part was not built for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USE_IT = """
import torch
from napari_oneshot_lmk.encoders.vgg19 import load_torchvision, vgg19_weights_url
assert vgg19_weights_url().endswith(".pth")
vgg = load_torchvision("models.vgg")
assert len(vgg.make_layers(vgg.cfgs["E"])) == 37
v2 = load_torchvision("transforms.v2")
small = v2.Resize(8)(torch.zeros(1, 16, 16, dtype=torch.uint8))
assert small.shape == (1, 8, 8)
import torchvision
assert load_torchvision("models") is torchvision.models
print("used", torchvision.__version__)
"""

TRY_IN_VAIN = """
try:
    import torchvision
except RuntimeError as error:
    assert "does not exist" in str(error), error
"""

# What torchvision does when it is imported, reduced to what fails.
BROKEN_INSTALL = """
import torch
import torchvision.leftover
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold):
    return dets
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold):
    return dets
"""


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    here = "".join(f"import sys; sys.path.insert(0, {str(p)!r})\n" for p in paths)
    return subprocess.run(
        [sys.executable, "-c", here + code], capture_output=True, text=True, check=False
    )


def succeeds(code: str, *paths: Path) -> str:
    done = run(code, *paths)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("before", ["", TRY_IN_VAIN, "import monai.transforms"])
def test_the_installed_torchvision_works_whoever_tried_before(before):
    assert succeeds(f"{before}\n{USE_IT}").startswith("used")


def installed(folder: Path, init: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "leftover.py").write_text("runs = []\n")
    (package / "models.py").write_text("import torchvision\nloaded = True\n")
    return folder


def test_missing_operators_are_declared(tmp_path):
    folder = installed(tmp_path, BROKEN_INSTALL)
    plain = run("import torchvision", folder)
    assert "operator torchvision::nms does not exist" in plain.stderr
    succeeds(
        "from napari_oneshot_lmk.encoders.vgg19 import load_torchvision\n"
        "assert load_torchvision('models').loaded\n"
        "assert load_torchvision('models') is load_torchvision('models')\n"
        "import torch, gc; gc.collect()\n"
        "assert torch.ops.torchvision.nms.default\n",
        folder,
    )


@pytest.mark.parametrize(
    "init",
    [
        "raise RuntimeError('compiled for another planet')",
        "raise RuntimeError('operator torchvision::warp does not exist')",
        "import a_library_that_is_not_there",
    ],
)
def test_other_failures_are_import_errors(tmp_path, init):
    said = succeeds(
        "from napari_oneshot_lmk.encoders.vgg19 import load_torchvision\n"
        "try:\n    load_torchvision('models')\n"
        "except ImportError as error:\n    print('refused:', error)\n",
        installed(tmp_path, init),
    )
    assert said.startswith("refused:")


def test_torchvision_is_not_loaded_before_it_is_needed():
    succeeds(
        "import sys\n"
        "import napari_oneshot_lmk.encoders.select\n"
        "import napari_oneshot_lmk.encoders.weights\n"
        "assert 'torchvision' not in sys.modules\n"
    )
