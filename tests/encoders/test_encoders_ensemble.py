"""Two encoders as one: both parts' maps, one identity."""

import torch
from random_vgg19 import saved_weights

from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.ensemble import ConcatEncoder
from napari_oneshot_lmk.encoders.orientation import shipped_encoder
from napari_oneshot_lmk.encoders.select import instant_encoder


def test_maps_and_levels_of_both_parts_in_order(tmp_path):
    joined = instant_encoder(saved_weights(tmp_path / "w.safetensors"), "cpu")
    assert isinstance(joined, ConcatEncoder)
    assert isinstance(joined, Encoder)
    vgg19, shipped = joined.parts
    image = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    pyramid = joined(image)
    expected = (*vgg19(image).maps, *shipped(image).maps)
    assert len(pyramid.maps) == len(pyramid.levels) == len(expected)
    for found, wanted, level in zip(pyramid.maps, expected, pyramid.levels, strict=True):
        torch.testing.assert_close(found, wanted)
        shape = (1, level.channels, 64 // level.stride, 96 // level.stride)
        assert tuple(found.shape) == shape


def test_published_networks_still_find_one_map_a_stride(tmp_path):
    joined = instant_encoder(saved_weights(tmp_path / "w.safetensors"), "cpu")
    pyramid = joined(torch.rand(1, 1, 64, 64))
    strides = [level.stride for level in pyramid.after_pooling.levels]
    assert strides == [2, 4, 8, 16, 32]


def test_identity_names_both_and_follows_the_weights(tmp_path):
    one = instant_encoder(saved_weights(tmp_path / "w.safetensors"), "cpu").card
    assert one.name == f"vgg19+{shipped_encoder('cpu').card.name}"
    assert len(one.weights_sha256) == 64
    assert one.identity.startswith(one.name + "-")


def test_without_weights_the_shipped_encoder_stands_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    alone = instant_encoder(None, "cpu", allow_download=False)
    assert alone.card.name == shipped_encoder("cpu").card.name
    assert "used alone" in alone.card.note
