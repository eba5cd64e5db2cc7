"""Sizes of the network: the paper's numbers, JSON, and what is refused."""

import json

import pytest
import torch

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.config import LEVELS, NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork

VGG19 = (64, 128, 256, 512, 512)


def built(layout):
    with torch.device("meta"):
        return LandmarkNetwork(layout)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("landmarks", "adapter_channels", "shared", "adapter", "total"),
    [
        (1, 0, 37.98, 0, 37.98),
        (19, 16, 38.07, 0.440, 46.4),
        (19, 4, 38.00, 0.093, 39.8),
        (19, 32, 38.15, 1.060, 58.3),
    ],
)
def test_parameters_are_as_many_as_published(landmarks, adapter_channels, shared, adapter, total):
    layout = NetworkConfig(VGG19, landmarks, adapter_channels)
    network, counts = built(layout), layout.parameter_counts
    own = count(network.adapters[0]) if adapter_channels else 0
    assert (counts.total, counts.one_adapter) == (count(network), own)
    assert counts.shared / 1e6 == pytest.approx(shared, abs=0.005)
    assert counts.one_adapter / 1e6 == pytest.approx(adapter, abs=0.0005)
    assert counts.total / 1e6 == pytest.approx(total, abs=0.05)


@pytest.mark.parametrize("normalisation", ["batch", "landmark", "none"])
@pytest.mark.parametrize("width", [1.0, 0.25, 0.01])
@pytest.mark.parametrize(("lateral", "rfb"), [(0, True), (6, True), (6, False)])
def test_counts_are_those_of_the_network(normalisation, width, lateral, rfb):
    layout = NetworkConfig((3, 50, 7, 20, 11), 3, 5, width, 10, normalisation, lateral, rfb)
    network = built(layout)
    assert layout.parameter_counts.total == count(network)
    assert layout.parameter_counts.one_adapter == count(network.adapters[0])


def test_channels_are_those_of_the_paper():
    layout = NetworkConfig(VGG19, 19, 16)
    assert [layout.concat_channels(level) for level in LEVELS[:-1]] == [*(144, 272, 528, 1024)]
    assert [layout.decoded_channels(level) for level in LEVELS] == [*(144, 80, 144, 272, 512)]
    assert [layout.head_channels(level) for level in LEVELS] == [*(144, 80, 144, 272, 528)]


def test_no_width_is_below_eight_channels():
    layout = NetworkConfig(VGG19, 2, 16, 0.001)
    assert {layout.shared_channels(level) for level in LEVELS[:-1]} == {8}
    assert {layout.rfb_channels(level) for level in (3, 4, 5)} == {8}
    assert layout.shared_channels(5) == 512, "the encoder's own map keeps its width"


@pytest.mark.parametrize("normalisation", ["batch", "landmark", "none"])
def test_a_layout_survives_json(normalisation):
    layout = NetworkConfig((294,) * 5, 7, 4, 0.25, 32, normalisation)
    text = json.dumps(layout.to_json())
    assert NetworkConfig.from_json(json.loads(text)) == layout


@pytest.mark.parametrize(
    ("changed", "word"),
    [
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
    content = {**NetworkConfig(VGG19, 2).to_json(), **changed}
    with pytest.raises(UsageError, match=word):
        NetworkConfig.from_json(content)


def test_a_missing_entry_is_named():
    content = NetworkConfig(VGG19, 2).to_json()
    del content["landmarks"]
    with pytest.raises(UsageError, match="landmarks"):
        NetworkConfig.from_json(content)


def test_parameters_are_named_after_landmark_part_and_level():
    names = set(built(NetworkConfig(VGG19, 3)).state_dict())
    assert {
        "decoder.level4.convs.first.conv.weight",
        "rfbs.level5.dilated7.norm.norms.0.running_mean",
        "heads.level1.bias",
        "adapters.2.convs.level1.second.conv.weight",
        "adapters.2.rfbs.level3.join.conv.weight",
    } <= names
