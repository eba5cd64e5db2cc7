"""Weights files: what is accepted, what is refused and in which words."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_vgg19 import random_parameters, random_weights, saved_weights
from safetensors import safe_open
from safetensors.torch import save_file

from napari_oneshot_lmk.encoders.vgg19 import IMAGENET, InputNormalisation, content_sha256
from napari_oneshot_lmk.encoders.weights_file import read_normalisation, read_weights, write_weights
from napari_oneshot_lmk.errors import WeightsError


@pytest.fixture(scope="module")
def cached(tmp_path_factory) -> Path:
    return saved_weights(tmp_path_factory.mktemp("weights") / "vgg19.safetensors")


@pytest.fixture(autouse=True)
def _leave_no_big_files(tmp_path) -> Iterator[None]:
    """Pytest keeps the folders of its last runs: these would fill a disk."""
    yield
    for path in tmp_path.iterdir():
        path.unlink()


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert sentence.count(str(path)) == 1
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence.removeprefix(f"{path}: ")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


HALVES = {k: v.half() for k, v in random_parameters().items()}


def spoiled(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return {k: v for k, v in (HALVES | changes).items() if v is not None}


# -- accepted --------------------------------------------------------------------


def test_our_file_says_all_about_itself(cached):
    with safe_open(cached, framework="pt") as file:
        metadata = file.metadata()
    assert set(metadata) == {"architecture", "mean", "std", "source", "licence", "sha256"}
    read = read_weights(cached)
    assert same(read.parameters, random_parameters())
    assert read.normalisation == IMAGENET
    assert read.sha256 == metadata["sha256"] == content_sha256(random_parameters())
    assert (read.source, read.licence) == ("made by a test", "none")


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
)
def test_every_floating_type_is_read_and_a_classifier_passed_over(tmp_path, dtype):
    state = {k: v.to(dtype) for k, v in random_parameters().items()}
    save_file({"classifier.0.weight": torch.ones(2, 3), **state}, tmp_path / "w.safetensors")
    read = read_weights(tmp_path / "w.safetensors")
    assert {t.dtype for t in read.parameters.values()} == {torch.float32}
    assert same(read.parameters, {k: v.float() for k, v in state.items()})
    assert read.normalisation == IMAGENET


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_plain_tensors_are_read_from_pytorch_files(tmp_path, archive, nested):
    state = {**HALVES, "classifier.0.bias": torch.ones(4)}
    path = tmp_path / "w.pth"
    content = {"epoch": 3, "state_dict": state} if nested else state
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    read = read_weights(path)
    path.write_bytes(b"")  # what was read may not depend on the file
    expected = {k: v.float() for k, v in HALVES.items()}
    assert same(read.parameters, expected)
    assert read.sha256 == content_sha256(expected)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, IMAGENET),
        ({"format": "pt"}, IMAGENET),
        (
            {"mean": "[0, 0.25, 0.5]", "std": "[1, 1, 0.5]"},
            InputNormalisation((0, 0.25, 0.5), (1, 1, 0.5)),
        ),
        (
            {"input": "RGB in 0..1, minus mean 0.1 0.2 .3, divided by std 1 2.5 1e-3"},
            InputNormalisation((0.1, 0.2, 0.3), (1, 2.5, 0.001)),
        ),
    ],
)
def test_the_file_says_which_input_it_wants(tmp_path, metadata, expected):
    save_file(HALVES, tmp_path / "w.safetensors", metadata=metadata)
    assert read_weights(tmp_path / "w.safetensors").normalisation == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"mean": "[0.5, 0.5, 0.5]"},
        {"mean": "[0.5, 0.5]", "std": "[1, 1, 1]"},
        {"mean": "[0, 0, 0]", "std": "[1, 0, 1]"},
        {"mean": "[0, 0, NaN]", "std": "[1, 1, 1]"},
        {"mean": "red", "std": "[1, 1, 1]"},
        {"mean": "[" * 50_000, "std": "[1, 1, 1]"},
        {"input": "BGR, 0..255, minus 103.9 116.8 123.7"},
    ],
)
def test_a_normalisation_that_is_not_understood_is_refused(metadata):
    with pytest.raises(WeightsError, match=r"normalisation|metadata"):
        read_normalisation(metadata)


def test_a_normalisation_survives_the_file(tmp_path):
    odd = InputNormalisation((0.1, 1 / 3, 0.7), (0.2, 1e-9, 3.0))
    write_weights(tmp_path / "odd.safetensors", replace(random_weights(), normalisation=odd))
    assert read_weights(tmp_path / "odd.safetensors").normalisation == odd


# -- refused -----------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refusal(tmp_path / "gone.safetensors").startswith("no such file")
    assert refusal(tmp_path).startswith("not a file")


@pytest.mark.parametrize("size", [0, 4, 8, 9, 1000, 100_000, -4, -1])
def test_a_truncated_file_is_refused(tmp_path, cached, size):
    path = tmp_path / "short.safetensors"
    path.write_bytes(cached.read_bytes()[:size])
    assert re.search("empty|truncated|not a", refusal(path))


def test_a_damaged_byte_in_our_file_is_noticed(tmp_path, cached):
    content = bytearray(cached.read_bytes())
    content[-1000] ^= 1
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("claim", [2**63, 2**40, 50_000_000, 20_000_000])
def test_a_huge_claimed_header_is_refused_unread(tmp_path, claim):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", claim) + b"{")
        file.truncate(30_000_000)  # takes no room on the disk
    assert "claims" in refusal(path)


def with_header(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"features.0.weight": 3},
        {"features.0.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}},
        {"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}},
        {"x": {"dtype": "F32", "shape": [-1], "data_offsets": [8, 0]}},
    ],
)
def test_a_lying_header_is_refused(tmp_path, header):
    refusal(with_header(tmp_path / "lying.safetensors", header, b"\0" * 8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features.34.bias": None}, "missing (features.34.bias)"),
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, "another architecture"),
        ({"features.36.weight": torch.zeros(512)}, "no features.36.weight"),
        ({"features.0.bias": torch.zeros(64, dtype=torch.int8)}, "floating point"),
        ({"features.0.bias": torch.full((64,), torch.inf)}, "not finite"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_another_architecture_is_refused(tmp_path, changes, words, suffix):
    path = tmp_path / f"other{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(spoiled(**changes), path)
    assert words in refusal(path)


def test_other_models_are_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(4)}, tmp_path / "resnet.safetensors")
    assert "no VGG19 parameters" in refusal(tmp_path / "resnet.safetensors")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    assert "not a table of parameters" in refusal(tmp_path / "list.pth")


@dataclass(frozen=True)
class Payload:
    """Makes a file when it is unpickled."""

    mark: Path

    def __reduce__(self):
        return Path.touch, (self.mark,)


def hostile_bytes(kind: str, mark: Path) -> bytes:
    if kind.startswith("pickle"):
        return pickle.dumps(Payload(mark), protocol=int(kind[-1]))
    state = {"features.0.weight": torch.zeros(64, 3, 3, 3), "more": Payload(mark)}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=kind == "archive")
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("kind", ["archive", "legacy", "pickle0", "pickle2", "pickle5"])
def test_a_hostile_pickle_never_runs(tmp_path, kind, suffix):
    mark = tmp_path / "it-ran"
    content = hostile_bytes(kind, mark)
    if kind.startswith("pickle"):
        pickle.loads(content)
        assert mark.exists(), "the payload does nothing: this test could not fail"
        mark.unlink()
    path = tmp_path / f"hostile{suffix}"
    path.write_bytes(content)
    refusal(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("kind", "suffix", "words"),
    [
        ("pickle5", ".safetensors", "a pickle, not a safetensors file"),
        ("archive", ".safetensors", "a zip archive, not a safetensors file"),
        ("archive", ".pth", "refused: it holds more than tensors"),
    ],
)
def test_a_pickle_is_called_one(tmp_path, kind, suffix, words):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(hostile_bytes(kind, tmp_path / "mark"))
    assert refusal(path).startswith(words)


def test_a_logically_huge_tensor_takes_no_memory(tmp_path):
    huge = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save(spoiled(**{"features.0.weight": huge}), tmp_path / "huge.pth")
    assert "another architecture" in refusal(tmp_path / "huge.pth")


def test_the_hash_in_a_name_is_checked(tmp_path):
    path = tmp_path / "vgg19-0123abcd.pth"
    torch.save(HALVES, path)
    assert "not with 0123abcd" in refusal(path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    good = path.rename(tmp_path / f"vgg19-{digits}.pth")
    assert read_weights(good).normalisation == IMAGENET


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda rest: b"PK\x03\x04" + rest),
        st.binary(max_size=60).map(lambda rest: b"\x80\x02" + rest),
        st.binary(max_size=60).map(lambda rest: struct.pack("<Q", len(rest) + 1) + b"{" + rest),
    ),
    suffix=st.sampled_from([".safetensors", ".pth"]),
)
def test_any_bytes_are_refused_in_one_sentence(tmp_path, content, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    refusal(path)
