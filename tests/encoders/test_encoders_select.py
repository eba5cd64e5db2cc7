"""Which encoder a user gets, what is said about it, and two encoders read as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from random_vgg19 import random_parameters, random_weights, saved_weights

from napari_oneshot_lmk.encoders import weights
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.ensemble import ConcatEncoder
from napari_oneshot_lmk.encoders.select import build_encoder, instant_encoder
from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.encoders.vgg19 import VGG19Encoder
from napari_oneshot_lmk.errors import UsageError, WeightsError


@pytest.fixture(autouse=True)
def attempts(tmp_path, monkeypatch) -> list[str]:
    """No caches and no network; the attempts to use it are listed."""
    tried: list[str] = []

    def fail(url: str) -> None:
        tried.append(url)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "_open", fail)
    return tried


GREY = torch.rand((1, 1, 64, 64), generator=torch.Generator().manual_seed(3))


def test_without_weights_the_shipped_encoder_is_used_and_says_so(attempts):
    chosen, shipped = build_encoder(device="cpu"), shipped_encoder("cpu")
    note = chosen.card.note
    assert chosen.card == replace(shipped.card, note=note)
    where = (weights.WEIGHTS_URL, str(weights.cache_folder()))
    said = ("The shipped encoder is used alone", "Network is unreachable", *where)
    assert all(words in note for words in said)
    assert "\n" not in note
    assert isinstance(chosen, Encoder)
    assert chosen.device == torch.device("cpu")
    assert all(map(torch.equal, chosen(GREY).maps, shipped(GREY).maps))
    assert len(attempts) == 1


def test_the_network_is_asked_once_and_only_with_permission(attempts):
    assert "not allowed" in build_encoder(allow_download=False).card.note
    assert attempts == []
    notes = {build_encoder(device="cpu").card.note for _ in range(3)}
    assert len(notes) == len(attempts) == 1


def test_a_named_file_is_used_or_refused_but_never_replaced(tmp_path, attempts):
    path = saved_weights(tmp_path / "mine.safetensors")
    chosen = build_encoder(path, "cpu", precision="float32")
    path.unlink()
    expected = VGG19Encoder(random_parameters(), precision="float32")
    assert chosen.card == replace(expected.card, title="VGG19 (mine.safetensors)")
    assert all(map(torch.equal, chosen(GREY).maps, expected(GREY).maps))
    with pytest.raises(WeightsError, match="no such file"):
        build_encoder(path, "cpu")
    assert attempts == []


def test_cached_weights_are_used(attempts):
    kept = saved_weights(weights.cache_folder() / weights.CACHED_FILE)
    chosen = build_encoder(device="cpu")
    kept.unlink()
    assert chosen.card.title == "VGG19 (ImageNet)"
    assert chosen.card.identity == f"vgg19-{random_weights().sha256[:8]}"
    assert attempts == []


def test_a_wrong_device_is_refused_before_anything_is_downloaded(attempts):
    with pytest.raises(UsageError):
        build_encoder(device="quantum")
    assert attempts == []


def test_both_encoders_are_read_as_one(tmp_path):
    joined = instant_encoder(saved_weights(tmp_path / "w.safetensors"), "cpu")
    assert isinstance(joined, ConcatEncoder)
    assert isinstance(joined, Encoder)
    pyramid = joined(GREY)
    expected = [found for part in joined.parts for found in part(GREY).maps]
    assert len(pyramid.levels) == len(expected)
    for found, wanted, level in zip(pyramid.maps, expected, pyramid.levels, strict=True):
        torch.testing.assert_close(found, wanted)
        assert found.shape == (1, level.channels, 64 // level.stride, 64 // level.stride)
    # Published networks still find one map per stride.
    assert [level.stride for level in pyramid.after_pooling.levels] == [2, 4, 8, 16, 32]
    assert joined.card.identity == f"vgg19+compact-{joined.card.weights_sha256[:8]}"
    assert len(joined.card.weights_sha256) == 64


def test_without_weights_instant_detection_reads_the_shipped_encoder_alone():
    alone = instant_encoder(None, "cpu", allow_download=False)
    assert alone.card.name == shipped_encoder("cpu").card.name
    assert "used alone" in alone.card.note
