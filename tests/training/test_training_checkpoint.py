"""Checkpoints: whole or not there, and a training that goes on as if nothing were."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_oneshot_lmk.errors import ModelError
from napari_oneshot_lmk.training import checkpoint as module
from napari_oneshot_lmk.training.checkpoint import Checkpoint, pack, unpack


def steps(network: torch.nn.Module, optimiser: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimiser.zero_grad()
        network(torch.randn(4, 3)).square().mean().backward()
        optimiser.step()


def made(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Adam]:
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    return network, torch.optim.Adam(network.parameters(), lr=1e-2, weight_decay=1e-4)


def test_goes_on_bit_by_bit(tmp_path):
    network, optimiser = made()
    steps(network, optimiser, 3)
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    tensors, rest = pack(state | {"random": torch.get_rng_state()})
    Checkpoint(1, 3, tensors, {"all": rest, "seconds": 1 / 3}).save(tmp_path / "c")
    steps(network, optimiser, 4)
    expected = [p.clone() for p in network.parameters()]

    loaded = Checkpoint.load(tmp_path / "c")
    assert (loaded.epoch, loaded.step, loaded.state["seconds"]) == (1, 3, 1 / 3)
    everything = unpack(loaded.tensors, loaded.state["all"])
    network, optimiser = made(seed=7)
    network.load_state_dict(everything["network"])
    optimiser.load_state_dict(everything["optimiser"])
    torch.set_rng_state(everything["random"])
    steps(network, optimiser, 4)
    for found, wanted in zip(network.parameters(), expected, strict=True):
        assert torch.equal(found, wanted)


def test_values_come_back_as_they_were(tmp_path):
    value = {
        "words": ["a", None, True, 1, 0.1, float("inf")],
        7: (1, (2.5, "x")),
        "big": 2**120 + 1,
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "whole": np.arange(4, dtype=np.uint32),
        "numpy number": np.float64(0.1),
        "empty": {},
        "__kind__": "a user's own word",
    }
    tensors, rest = pack(value)
    Checkpoint(0, 0, tensors, {"v": rest}).save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    back = unpack(loaded.tensors, loaded.state["v"])
    half, whole = back.pop("half"), back.pop("whole")
    torch.testing.assert_close(half, value.pop("half"), rtol=0, atol=0)
    np.testing.assert_array_equal(whole, value.pop("whole"), strict=True)
    assert back == value
    assert all(type(back[name]) in (type(value[name]), float) for name in value)


def test_tensors_that_share_memory(tmp_path):
    whole = torch.arange(6.0)
    tensors = {"whole": whole, "again": whole, "row": whole.reshape(2, 3)[1]}
    Checkpoint(0, 0, tensors).save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    for name, tensor in tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(TypeError, match=r"value\.0 is a object"):
        pack([object()])


def test_only_the_newest_is_kept(tmp_path):
    assert Checkpoint.load(tmp_path) is None
    assert Checkpoint.load(tmp_path / "missing") is None
    for epoch in range(3):
        Checkpoint(epoch, 0).save(tmp_path)
    assert Checkpoint.load(tmp_path).epoch == 2
    assert [path.name for path in tmp_path.iterdir()] == ["00000003"]


def test_failure_while_writing_leaves_the_one_before(tmp_path, monkeypatch):
    Checkpoint(1, 5, {"t": torch.ones(2)}).save(tmp_path)

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(Exception, match="No space left"):
        Checkpoint(2, 10).save(tmp_path)
    assert Checkpoint.load(tmp_path).step == 5
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("spoil", ["cut", "pickle", "gone"])
def test_damage_is_said(tmp_path, file, spoil):
    Checkpoint(1, 5, {"t": torch.ones(200)}).save(tmp_path)
    path = tmp_path / "00000001" / file
    if spoil == "gone":
        path.unlink()
    else:
        pickled = pickle.dumps({"t": [1.0]})
        path.write_bytes(pickled if spoil == "pickle" else path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"checkpoint is damaged.*--overwrite"):
        Checkpoint.load(tmp_path)


def test_newer_version(tmp_path):
    Checkpoint(1, 5).save(tmp_path)
    path = tmp_path / "00000001" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(ModelError, match="newer version"):
        Checkpoint.load(tmp_path)
