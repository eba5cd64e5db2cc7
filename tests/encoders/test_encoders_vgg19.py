"""VGG19's feature maps against torchvision's own layers."""

from __future__ import annotations

import pytest
import torch
from random_vgg19 import random_parameters

from napari_oneshot_lmk.encoders import device as devices
from napari_oneshot_lmk.encoders import vgg19
from napari_oneshot_lmk.encoders.encoder import Encoder
from napari_oneshot_lmk.encoders.vgg19 import IMAGENET, VGG19Encoder, load_torchvision
from napari_oneshot_lmk.encoders.vgg19 import InputNormalisation as Normalisation
from napari_oneshot_lmk.errors import UsageError, WeightsError

TAPS = {
    **{3: "conv1_2", 4: "pool1", 8: "conv2_2", 9: "pool2", 17: "conv3_4", 18: "pool3"},
    **{26: "conv4_4", 27: "pool4", 35: "conv5_4", 36: "pool5"},
}
"""Number of torchvision's layer → name of the level; see docs/encoders.md."""
ALL = list(TAPS.values())
PARAMETERS = random_parameters()


def encoder(**options) -> VGG19Encoder:
    return VGG19Encoder(PARAMETERS, **{"precision": "float32", **options})


def images(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def plain_maps(grey: torch.Tensor, normalisation: Normalisation) -> dict[str, torch.Tensor]:
    """Three equal channels through torchvision's layers, one after the other."""
    vgg = load_torchvision("models.vgg")
    features = vgg.make_layers(vgg.cfgs["E"])
    features.load_state_dict({k.removeprefix("features."): v for k, v in PARAMETERS.items()})
    numbers = (list(normalisation.mean), list(normalisation.std))
    normalise = load_torchvision("transforms.v2").Normalize(*numbers)
    signal = normalise(grey.expand(-1, 3, -1, -1).contiguous())
    maps = {}
    with torch.no_grad():
        for index, layer in enumerate(features):
            signal = layer(signal)
            if index in TAPS:
                maps[TAPS[index]] = signal.clone()
    return maps


def test_the_layers_are_torchvisions():
    theirs = load_torchvision("models").vgg19(weights=None).features
    # Names, order, and each layer's settings; only the device differs.
    assert str(vgg19._build_features()) == str(theirs)
    shapes = {f"features.{k}": tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert vgg19.parameter_shapes() == shapes


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize(
    "normalisation", [IMAGENET, Normalisation((0.1, 0.5, 0.7), (1.0, 0.02, 0.5))]
)
def test_every_tap_equals_torchvision_up_to_the_border(normalisation):
    grey = images(2, 1, 96, 64)
    expected = plain_maps(grey, normalisation)
    pyramid = encoder(normalisation=normalisation, levels=ALL)(grey)
    assert [level.name for level in pyramid.levels] == ALL == list(expected)
    for found, level in zip(pyramid.maps, pyramid.levels, strict=True):
        assert found.shape == (2, level.channels, 96 // level.stride, 64 // level.stride)
        assert level.after_pooling == level.name.startswith("pool")
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert relative_error(found, expected[level.name]) < 1e-5, level.name
        # Zero padding after normalisation: the rows where a slip would show.
        border = relative_error(found[..., 0, :], expected[level.name][..., 0, :])
        assert border < 1e-5, level.name
    assert [m.shape[-1] for m in pyramid.after_pooling.maps] == [32, 16, 8, 4, 2]


def test_maps_lie_where_the_strides_say():
    wide = images(1, 1, 64, 160)
    encode = encoder(levels=["conv1_2", "pool2"])
    here, there = encode(wide[..., :128]), encode(wide[..., 32:])
    for first, second, level in zip(here.maps, there.maps, here.levels, strict=True):
        shift = 32 // level.stride
        inner = slice(8, -8 - shift)
        moved = first.roll(-shift, dims=-1)
        torch.testing.assert_close(moved[..., inner], second[..., inner], rtol=1e-4, atol=1e-5)


def test_a_choice_of_levels_comes_fine_to_coarse_and_builds_no_more():
    chosen = encoder(levels=["pool3", "conv2_2", "pool1"])
    names = [level.name for level in chosen(images(1, 1, 32, 32)).levels]
    assert names == ["pool1", "conv2_2", "pool3"]
    assert [level.name for level in chosen.card.levels] == names
    assert len(chosen.features) == 19
    full = encoder()
    assert [level.name for level in full.card.levels] == ALL[1:], "stride 1 only when asked for"
    assert len(full.features) == 37


@pytest.mark.parametrize("levels", [["pool6"], ["pool1", "relu"], []])
def test_unknown_levels_are_refused(levels):
    with pytest.raises(UsageError, match="choose from conv1_2"):
        encoder(levels=levels)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 64, 64), (1, 1, 64, 65), (1, 1, 16, 32)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UsageError, match="multiples of 32"):
        encoder(levels=["pool1"])(images(*shape))


def test_it_stays_frozen_and_its_maps_can_be_trained_upon():
    frozen = encoder(levels=["pool1"]).train()
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    found = frozen(images(1, 1, 32, 32).requires_grad_()).maps[0]
    assert not found.requires_grad
    head = torch.nn.Conv2d(64, 2, 1)
    head(found).sum().backward()
    assert float(head.weight.grad.abs().sum()) > 0


def test_other_number_types_are_taken_and_the_input_is_left_as_it_was():
    encode, grey = encoder(levels=["pool1"]), images(1, 1, 32, 32)
    expected = encode(grey).maps[0]
    assert torch.equal(grey, images(1, 1, 32, 32))
    torch.testing.assert_close(encode(grey.double()).maps[0], expected)


def test_a_batch_gives_what_its_images_give():
    encode, batch = encoder(levels=["pool3"]), images(3, 1, 64, 64)
    together = encode(batch).maps[0]
    alone = torch.cat([encode(batch[i : i + 1]).maps[0] for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_bfloat16_computes_what_autocast_computes():
    grey, exact = images(1, 1, 32, 64), encoder(levels=["pool2"])
    found = encoder(levels=["pool2"], precision="bfloat16")(grey).maps[0]
    assert found.dtype == torch.bfloat16
    assert relative_error(found, exact(grey).maps[0]) < 0.02
    mean, std = torch.tensor((IMAGENET.mean, IMAGENET.std)).view(2, 1, 3, 1, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        autocast = exact.features((grey - mean) / std)
    assert autocast.dtype == torch.bfloat16
    assert relative_error(found, autocast) < 1e-3


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_follows_the_hardware(monkeypatch, fast, expected):
    monkeypatch.setattr(devices, "fast_bf16", lambda device: fast)
    encode = encoder(precision="auto", levels=["pool1"])
    assert encode(images(1, 1, 32, 32)).maps[0].dtype == expected


def test_the_identity_does_not_depend_on_the_number_type():
    halves = {k: v.half() for k, v in PARAMETERS.items()}
    rounded = {k: v.float() for k, v in halves.items()}
    cards = [VGG19Encoder(state).card for state in (halves, rounded)]
    assert cards[0].identity == cards[1].identity
    assert cards[0].identity.startswith("vgg19-")
    assert cards[0].weights_sha256 != encoder().card.weights_sha256
    assert isinstance(VGG19Encoder(halves), Encoder)


def test_parameters_are_copied():
    own = {k: v.clone() for k, v in PARAMETERS.items()}
    encode, grey = VGG19Encoder(own, levels=["pool1"]), images(1, 1, 32, 32)
    before = encode(grey).maps[0]
    for tensor in own.values():
        tensor.zero_()
    assert torch.equal(encode(grey).maps[0], before)


@pytest.mark.parametrize(
    ("state", "words"),
    [({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "no VGG19 parameters"), ({}, "it is empty")],
)
def test_what_is_not_vgg19_is_refused(state, words):
    with pytest.raises(WeightsError, match=words):
        VGG19Encoder(state)
