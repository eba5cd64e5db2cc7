"""The encoder that needs no download: its weights, its maps, the encoders before it."""

from __future__ import annotations

import hashlib
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_vgg19 import random_weights
from safetensors.torch import load_file, save_file

from napari_oneshot_lmk.encoders import compact
from napari_oneshot_lmk.encoders.compact import WEIGHTS_FILE, WEIGHTS_SHA256, read_compact_weights
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.model_weights import encoder_identity
from napari_oneshot_lmk.encoders.orientation import OrientationEncoder
from napari_oneshot_lmk.encoders.select import encoder_from_weights
from napari_oneshot_lmk.encoders.shipped import (
    encoder_without_download,
    shipped_card,
    shipped_encoder,
)
from napari_oneshot_lmk.errors import WeightsError

IMAGES = torch.rand((2, 1, 96, 160), generator=torch.Generator().manual_seed(5))


def test_one_map_a_level_with_the_announced_shape():
    encoder = shipped_encoder("cpu", precision="float32")
    pyramid = encoder(IMAGES)
    assert isinstance(encoder, Encoder)
    assert encoder.card == shipped_card()
    assert encoder.card.identity == f"compact-{WEIGHTS_SHA256[:8]}"
    assert [level.stride for level in pyramid.after_pooling.levels] == [2, 4, 8, 16, 32]
    for one_map, level in zip(pyramid.maps, pyramid.levels, strict=True):
        assert one_map.shape == (2, level.channels, 96 // level.stride, 160 // level.stride)
        assert not one_map.requires_grad
        lengths = one_map.norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=1e-3, rtol=0)
    # Images of a batch do not influence each other.
    for one_map, alone in zip(pyramid.maps, encoder(IMAGES[1:]).maps, strict=True):
        torch.testing.assert_close(one_map[1:], alone, atol=1e-4, rtol=0)


def test_gain_and_offset_of_the_grey_values_change_nothing():
    encoder = shipped_encoder("cpu", precision="float32")
    for one_map, other in zip(encoder(IMAGES).maps, encoder(0.3 * IMAGES + 0.2).maps, strict=True):
        torch.testing.assert_close(one_map, other, atol=2e-3, rtol=0)


def test_half_the_digits_give_nearly_the_same_maps():
    exact, short = (shipped_encoder("cpu", precision=p) for p in ("float32", "bfloat16"))
    for one_map, other in zip(exact(IMAGES).maps, short(IMAGES).maps, strict=True):
        assert torch.cosine_similarity(one_map, other.float()).min() > 0.99


def test_the_weights_are_those_that_were_shipped_and_small():
    assert WEIGHTS_FILE.stat().st_size < 1e6
    assert compact.content_sha256(read_compact_weights()) == WEIGHTS_SHA256


@pytest.mark.parametrize("damage", ["missing", "shortened", "changed"])
def test_damaged_weights_are_refused_in_one_sentence(tmp_path, damage):
    path = tmp_path / "compact.safetensors"
    if damage == "shortened":
        path.write_bytes(WEIGHTS_FILE.read_bytes()[:-100])
    elif damage == "changed":
        weights = load_file(WEIGHTS_FILE)
        weights["linear.bias"][0] += 1e-3
        save_file(weights, path)
    with pytest.raises(WeightsError) as caught:
        read_compact_weights(path)
    said = str(caught.value)
    assert said == (
        f"{path}: the weights that are shipped with this program are missing or damaged; "
        "install napari-oneshot-lmk again"
    )


def test_its_card_needs_no_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(compact, "WEIGHTS_FILE", tmp_path / "none")
    assert shipped_card("note") == replace(shipped_card(), note="note")
    assert encoder_without_download("vgg19-12345678") is None


def test_the_encoders_of_earlier_models_are_still_built():
    now = encoder_without_download(shipped_card().identity)
    assert now is not None
    assert now.card == shipped_card()
    before = encoder_without_download("orientation")
    assert isinstance(before, OrientationEncoder)
    assert before.card.identity == "orientation"


def test_what_stood_beside_vgg19_is_told_by_the_identity():
    weights = random_weights()
    now = encoder_from_weights(weights, "cpu")
    assert now.card.name == "vgg19+compact"
    assert now.card.identity == encoder_identity(weights.sha256)
    # VGG19's hash alone: orientations have none.
    digits = hashlib.sha256(weights.sha256.encode()).hexdigest()[:8]
    earlier = f"vgg19+orientation-{digits}"
    assert encoder_identity(weights.sha256, earlier) == earlier
    before = encoder_from_weights(weights, "cpu", identity=earlier)
    assert before.card.identity == earlier
    assert [level.stride for level in before.card.levels][-5:] == [2, 4, 8, 16, 32]


@pytest.fixture
def few_phantoms(monkeypatch):
    """Two subjects of one anatomy, instead of all."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    from compact_encoder import phantom_pairs

    monkeypatch.setattr(phantom_pairs, "COUNTS", {"hand": 2})


def test_the_training_is_reproducible(one_thread, few_phantoms, request, tmp_path):
    """Same seed, same weights, another seed, others; and they fit the network."""
    # The script switches them on.
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    path = Path(__file__).parents[2] / "scripts" / "train_compact_encoder.py"
    train = runpy.run_path(str(path))["main"]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        options = ["--steps", "2", "--side", "64", "--seed", str(seed)]
        train([*options, "--out", str(tmp_path / name)])
    first, again, other = (load_file(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert all(torch.isfinite(value).all() for value in first.values())
    compact.CompactNetwork().load_state_dict(first)
