"""Devices: what a word means and which precision is fast there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_oneshot_lmk.encoders.device import fast_bf16, resolve_device, resolve_precision
from napari_oneshot_lmk.errors import UsageError

CPU = torch.device("cpu")


def pretend_gpus(monkeypatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_is_the_processor_where_there_is_nothing_else(monkeypatch):
    pretend_gpus(monkeypatch, 0)
    assert {resolve_device(), *map(resolve_device, ("auto", " CPU ", CPU))} == {CPU}


@pytest.mark.parametrize(
    ("gpus", "names", "remedy"),
    [
        (0, ["cuda", "cuda:0", "CUDA"], "use --device auto or cpu"),
        (1, ["cuda:1"], "the last one is cuda:0"),
        (1, ["gpu", "", "cuda:one", "cuda:-1", "tpu:0", "1"], "use auto, cpu or cuda"),
    ],
)
def test_devices_that_are_not_there_are_refused(monkeypatch, gpus, names, remedy):
    pretend_gpus(monkeypatch, gpus)
    for name in names:
        with pytest.raises(UsageError, match=remedy):
            resolve_device(name)


def test_auto_leaves_a_gpu_that_cannot_compute(monkeypatch, caplog):
    pretend_gpus(monkeypatch, 1)
    assert resolve_device("cuda:0") == torch.device("cuda:0")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(torch, "ones", fail)
    assert resolve_device("auto") == CPU
    assert "no kernel image" in caplog.text


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "amx_tile": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "fp16_arith": True}, False),
    ],
)
def test_bfloat16_is_fast_only_with_units_for_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch._C, "_has_mkldnn", True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fast_bf16(CPU) is expected
    assert resolve_precision(CPU, "auto") == (torch.bfloat16 if expected else torch.float32)
    # PyTorch 2.8 asks with another function.
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: expected, raising=False)
    assert fast_bf16(CPU) is expected
    # Units that PyTorch cannot use do not count.
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    assert fast_bf16(CPU) is False


def test_the_hardware_here_agrees_with_the_system():
    system = Path("/proc/cpuinfo")
    flags = set(system.read_text().split()) if system.exists() else set()
    if "avx2" not in flags:
        pytest.skip("no /proc/cpuinfo of an x86 processor here")
    expected = bool({"avx512_bf16", "amx_bf16"} & flags)
    assert fast_bf16(CPU) == (expected and torch.backends.mkldnn.is_available())


def test_precision_is_taken_at_its_word():
    assert resolve_precision(CPU, "float32") == torch.float32
    assert resolve_precision(CPU, "bfloat16") == torch.bfloat16
    with pytest.raises(UsageError, match="use auto, float32 or bfloat16"):
        resolve_precision(CPU, "float16")  # type: ignore[arg-type]
