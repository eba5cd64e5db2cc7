"""Sizes of the network: the paper's numbers, JSON, and what is refused."""

import json

import pytest
import torch

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork

VGG19 = (64, 128, 256, 512, 512)


def build(config):
    with torch.device("meta"):
        return LandmarkNetwork(config)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("landmarks", "adapter_channels", "adapter", "total"),
    [(1, 0, 0, 37.98), (19, 16, 0.440, 46.4), (19, 4, 0.093, 39.8), (19, 32, 1.060, 58.3)],
)
def test_parameters_are_as_many_as_published(landmarks, adapter_channels, adapter, total):
    network = build(NetworkConfig(VGG19, landmarks, adapter_channels))
    own = count(network.adapters[0]) if adapter_channels else 0
    assert own / 1e6 == pytest.approx(adapter, abs=0.0005)
    assert count(network) / 1e6 == pytest.approx(total, abs=0.05)


def test_channels_are_those_of_the_paper():
    config = NetworkConfig(VGG19, 19, 16)
    assert [config.concat_channels(level) for level in LEVELS[:-1]] == [144, 272, 528, 1024]
    assert [config.decoded_channels(level) for level in LEVELS] == [144, 80, 144, 272, 512]
    assert [config.head_channels(level) for level in LEVELS] == [144, 80, 144, 272, 528]


def test_no_width_is_below_eight_channels():
    config = NetworkConfig(VGG19, 2, 16, 0.001)
    assert {config.shared_channels(level) for level in LEVELS[:-1]} == {8}
    assert {config.rfb_channels(level) for level in (3, 4, 5)} == {8}
    assert config.shared_channels(5) == 512, "the encoder's own map keeps its width"


@pytest.mark.parametrize("normalisation", ["batch", "landmark", "none"])
def test_a_config_survives_json(normalisation):
    config = NetworkConfig((294,) * 5, 7, 4, 0.25, 32, normalisation)
    text = json.dumps(config.to_json())
    assert NetworkConfig.from_json(json.loads(text)) == config


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"landmarks": ...}, "landmarks"),
        ({"encoder_channels": [64, 128]}, "5"),
        ({"encoder_channels": None}, "layout"),
        ({"landmarks": 0}, "landmark"),
        ({"landmarks": "many"}, "layout"),
        ({"adapter_channels": -1}, "-1"),
        ({"width": 0}, "width"),
        ({"normalisation": "group"}, "group"),
        ({"depth": 3}, "depth"),
    ],
)
def test_what_makes_no_network_is_refused_in_words(changed, word):
    content = NetworkConfig(VGG19, 2).to_json() | changed
    given = {key: value for key, value in content.items() if value is not ...}
    with pytest.raises(UsageError, match=word):
        NetworkConfig.from_json(given)


def test_parameters_are_named_after_landmark_part_and_level():
    names = set(build(NetworkConfig(VGG19, 3)).state_dict())
    assert {
        "decoder.level4.convs.first.conv.weight",
        "rfbs.level5.dilated7.norm.norms.0.running_mean",
        "heads.level1.bias",
        "adapters.2.convs.level1.second.conv.weight",
        "adapters.2.rfbs.level3.join.conv.weight",
    } <= names
