"""A bundle of a stranger: whatever is in it, nothing of it is run."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from bundle_scene import Unrecorded, exported, random_model
from cli_scene import one_sentence
from cli_scene import run as command
from typer.testing import Result

from napari_oneshot_lmk.bundle import export as exporting
from napari_oneshot_lmk.bundle.layout import SECTION
from napari_oneshot_lmk.bundle.load import load_model
from napari_oneshot_lmk.bundle.network import COLUMNS, FEWEST_COLUMNS, PointNetwork
from napari_oneshot_lmk.bundle.verify import Comparison
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.landmarks.files import read_landmarks
from napari_oneshot_lmk.landmarks.template import Template

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]
TEN_GB = 10_000_000_000


class Fixed(torch.nn.Module):
    """A stranger's network: the middle of the image, whatever it shows."""

    def __init__(self, landmarks: int, columns: int) -> None:
        super().__init__()
        self.landmarks, self.columns = landmarks, columns

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.full([1, self.landmarks, self.columns], 191.5)


@dataclass(frozen=True)
class Payload:
    """Makes a folder when it is unpickled."""

    marker: Path

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of ours that was not tried, without TorchScript: quick to make."""
    folder = tmp_path_factory.mktemp("made")
    alike = Comparison(("template",), 0.0, "")
    with (
        patch.object(PointNetwork, "scripted", lambda self: Unrecorded),
        patch.object(exporting, "verify_bundle", lambda *_: alike),
    ):
        return exported(random_model(folder), folder / "bundle", folder / "images")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "stranger"))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code was run"


def detect(bundle: Path, made: Path, *options: str) -> tuple[Result, Path]:
    """Detect on an image with a bundle; return the result and the table's path."""
    image = next((made.parent / "images").iterdir())
    out = bundle.parent / "found.csv"
    return command("detect", "--model", bundle, "--out", out, *options, image), out


def refusal(bundle: Path, made: Path, *options: str) -> str:
    """Detect with a bundle; return the one sentence, wherever it goes wrong."""
    result, out = detect(bundle, made, *options)
    assert result.exit_code == 1, result.output
    assert not out.exists()
    sentence = one_sentence(result)
    assert str(bundle) in sentence
    return sentence


def metadata(bundle: Path) -> Path:
    return bundle / "configs/metadata.json"


def changed(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_state(bundle: Path, **tensors: object) -> Path:
    """Add to the weights of a bundle; return their path."""
    path = bundle / "models/model.pt"
    torch.save({**torch.load(path, weights_only=True), **tensors}, path)
    return path


def test_a_pickle_with_a_payload_is_not_unpickled(bundle, made, marker):
    path = change_state(bundle, payload=Payload(marker))
    assert "could run code; it was not opened" in refusal(bundle, made)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # it is a real one
    assert marker.exists()


def test_expressions_in_configurations_are_not_evaluated(bundle, made, marker):
    code = f"$__import__('os').mkdir({str(marker)!r})"
    target = {"_target_": "os.mkdir", "path": str(marker)}
    evil = {"imports": ["$import os", code], "network_def": target}
    evil |= {"run": [code], "initialize": [code]}
    for name in ("inference.json", "train.json"):
        (bundle / "configs" / name).write_text(json.dumps(evil), encoding="utf-8")
    (bundle / "configs/logging.conf").write_text("[handlers]\nkeys=evil\n")
    (bundle / "scripts/__init__.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    # The model is whole: it opens, and detects, without a look at all that.
    result, _ = detect(bundle, made)
    assert result.exit_code == 0, result.output
    assert not marker.exists()


@pytest.mark.parametrize("key", ["model", "networks", "encoder", "schema_version"])
@pytest.mark.parametrize(
    "evil",
    [
        {"_target_": "subprocess.run", "args": ["touch", "MARKER"]},
        "$__import__('os').mkdir('MARKER')",
        [{"layout": {"_target_": "os.mkdir", "path": "MARKER"}, "landmarks": ["a"]}],
    ],
    ids=["target", "expression", "nested"],
)
def test_metadata_is_data(bundle, made, marker, key, evil):
    evil = json.loads(json.dumps(evil).replace("MARKER", str(marker)))
    changed(metadata(bundle), lambda c: c[SECTION].update({key: evil}))
    assert "damaged or not of this program" in refusal(bundle, made)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        # Its network would take terabytes.
        ("width", 10_000.0, "damaged or not of this program"),
        ("schema_version", 99, "update napari-oneshot-lmk"),
    ],
)
def test_numbers_that_are_too_large(bundle, made, key, value, says):
    def grow(content):
        card = content[SECTION]
        (card if key in card else card["networks"][0]["layout"])[key] = value

    changed(metadata(bundle), grow)
    assert says in refusal(bundle, made)


@pytest.mark.parametrize("what", ["models/model.pt", "configs/metadata.json", "template"])
def test_links_do_not_lead_out_of_the_bundle(bundle, made, what, tmp_path):
    secret = tmp_path / "outside"
    shutil.move(bundle / what, secret)
    (bundle / what).symlink_to(secret)
    assert "a link that leads out of the bundle" in refusal(bundle, made)


def test_names_of_files_lead_nowhere(bundle, made, tmp_path):
    # A bundle's card names no file, so that none can be chosen.
    assert load_model(made).landmarks
    assert "file" not in json.dumps(json.loads(metadata(bundle).read_text())[SECTION])
    # A model's folder names some, all of them in it.
    model = tmp_path / "inner" / "model"
    load_model(made).save(model)
    [weights] = model.glob("*.safetensors")
    weights.rename(tmp_path / weights.name)
    outside = f"../../{weights.name}"
    changed(model / "model.json", lambda c: c["networks"][0].update(file=outside))
    assert "missing, damaged" in refusal(model, made)


def test_a_tensor_that_claims_ten_gigabytes_is_not_made(bundle, made):
    change_state(bundle, more=torch.zeros(1).expand(TEN_GB // 4))
    assert "damaged or not of this program" in refusal(bundle, made)


@pytest.mark.parametrize(
    ("compression", "bomb"), [(zipfile.ZIP_STORED, True), (zipfile.ZIP_DEFLATED, False)]
)
def test_an_archive_larger_inside_than_outside_is_not_unpacked(bundle, made, compression, bomb):
    path = bundle / "models/model.pt"
    packed = path.with_name("packed")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        if bomb:
            with new.open("archive/data/bomb", "w", force_zip64=True) as content:
                content.write(b"0")
            new.getinfo("archive/data/bomb").file_size = TEN_GB
    packed.replace(path)
    assert "damaged or not of this program" in refusal(bundle, made)


def test_a_safetensors_header_that_claims_ten_gigabytes_is_refused(made, tmp_path):
    model = tmp_path / "run"
    load_model(made).save(model)
    [weights] = model.glob("*.safetensors")
    tensor = {"dtype": "F32", "shape": [TEN_GB // 4], "data_offsets": [0, TEN_GB]}
    header = json.dumps({"a": tensor}).encode()
    weights.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    assert "missing, damaged" in refusal(model, made)
    weights.write_bytes(struct.pack("<Q", TEN_GB) + header)
    assert "missing, damaged" in refusal(model, made)


def test_a_template_that_unpacks_to_more_than_its_image_is_refused(bundle, made):
    path = bundle / "template/image.npz"
    np.savez_compressed(path, pixels=np.zeros((4000, 4000), np.float32))
    assert path.stat().st_size < 100_000
    result, _ = detect(bundle, made)
    assert result.exit_code == 1
    assert "image.npz is missing or damaged" in one_sentence(result)


@pytest.mark.parametrize("error", [UsageError, RuntimeError])
def test_what_is_wrong_with_the_template_is_not_said_of_the_weights(made, monkeypatch, error):
    def fail(*_):
        raise error("of the template")

    monkeypatch.setattr(Template, "load", fail)
    with pytest.raises(error, match="of the template"):
        load_model(made)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"oneshot_lmk": 3}', "\udcff"])
def test_senseless_metadata_is_one_sentence(bundle, made, text):
    metadata(bundle).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "not of this program" in refusal(bundle, made)


@pytest.mark.parametrize("length", [0, 10, 1000, -1])
def test_weights_cut_short_are_one_sentence(bundle, made, length):
    path = bundle / "models/model.pt"
    path.write_bytes(path.read_bytes()[:length])
    assert "models/model.pt" in refusal(bundle, made)


# -- TorchScript -----------------------------------------------------------------


@pytest.fixture(params=[len(FEWEST_COLUMNS), len(COLUMNS)])
def foreign(bundle: Path, request: pytest.FixtureRequest) -> Path:
    """A bundle of another program, with landmarks of its template.

    It tells no radius, as those of earlier versions did not, or tells all.
    """
    changed(metadata(bundle), lambda c: c.pop(SECTION))
    left = {str(n) for n in range(request.param)}
    changed(
        metadata(bundle),
        lambda c: c.update(
            coordinate_def={n: each for n, each in c["coordinate_def"].items() if n in left}
        ),
    )
    landmarks = json.loads(metadata(bundle).read_text())["landmarks"]
    placed = sum(entry["state"] == "placed" for entry in landmarks)
    torch.jit.script(Fixed(placed, request.param)).save(str(bundle / "models/model.ts"))
    return bundle


def test_foreign_torchscript_is_refused(foreign, made):
    assert "was not run; use --trust" in refusal(foreign, made)


def test_foreign_torchscript_runs_where_the_user_says_so(foreign, made):
    result, out = detect(foreign, made, "--trust")
    assert result.exit_code == 0, result.output
    [found] = read_landmarks(out)
    rows, columns = found.geometry.image_shape_yx
    for point in found.placed:
        assert point.position_yx == ((rows - 1) / 2, (columns - 1) / 2)
        # Says 191.5 of everything it says.
        assert (point.score, point.unsure) == (1.0, False)
        told = metadata(foreign).read_text().count("radius_90") > 0
        assert (point.radius_90_px is not None) == told
    assert found.provenance.method == "torchscript"


def test_trust_does_not_help_a_bundle_that_says_something_else(foreign, made):
    changed(metadata(foreign), lambda c: c["coordinate_def"]["0"].update(name="depth"))
    assert "describes another input or output" in refusal(foreign, made, "--trust")


def test_trust_is_not_asked_where_data_is_enough(bundle, made):
    """Our own bundles never run their TorchScript here, trusted or not."""
    (bundle / "models/model.ts").write_bytes(b"not even TorchScript")
    result, _ = detect(bundle, made, "--trust")
    assert result.exit_code == 0, result.output
