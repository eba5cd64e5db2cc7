"""The estimate before a training: it counts what the network does."""

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_oneshot_lmk.encoders.shipped import shipped_encoder
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.training.config import Duration, TrainingConfig
from napari_oneshot_lmk.training.estimate import (
    START_S,
    Estimate,
    MachineSpeed,
    decoder_macs,
    estimate,
    measure,
)
from napari_oneshot_lmk.training.preset import Preset

PIXELS = 96 * 96
CHANNELS = (8, 12, 16, 24, 24)
VGG19 = (64, 128, 256, 512, 512)


def counted(layout: NetworkConfig) -> float:
    """Multiplications in one pass, as PyTorch counts them."""
    network = LandmarkNetwork(layout).eval()
    maps = [
        torch.rand(1, channels, 96 >> level, 96 >> level)
        for level, channels in enumerate(layout.encoder_channels, start=1)
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(maps, 0)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    "layout",
    [
        NetworkConfig(CHANNELS, 1, width=0.25),
        NetworkConfig(CHANNELS, 1, adapter_channels=0, width=0.5),
        NetworkConfig(CHANNELS, 1, width=0.25, lateral_channels=8, rfb=False),
    ],
)
def test_multiplications_are_those_of_the_network(layout):
    assert decoder_macs(layout, PIXELS) == pytest.approx(counted(layout), rel=1e-6)


def test_windows_and_few_landmarks_are_less_work():
    layout, one = NetworkConfig(VGG19, 19), NetworkConfig(VGG19, 1)
    pixels = math.prod(NETWORK_SHAPE_YX)
    everywhere = decoder_macs(layout, pixels)
    assert decoder_macs(layout, pixels, 26) < 0.7 * everywhere
    assert decoder_macs(one, pixels) < everywhere / 10


def test_the_estimate_follows_the_preset():
    machine = MachineSpeed(1.0, 50.0, VGG19, "cpu")
    laptop = Preset.load("laptop")

    def of(machine: MachineSpeed = machine, **changes: Any) -> Estimate:
        dotted = {f"training.{name}": value for name, value in changes.items()}
        return estimate(TrainingConfig(preset=laptop.changed(dotted)), machine, 100, 19)

    once, twice = of(), of(epochs=2 * laptop.training.epochs)
    encoding = 100 + laptop.template_copies.count + 1
    begin = START_S + encoding
    assert twice.seconds - begin == pytest.approx(2 * (once.seconds - begin))
    # Half precision, five maps: 9 MB an image of VGG19's.
    assert once.feature_bytes == pytest.approx(encoding * 9.03e6, rel=0.01)
    halved = of(MachineSpeed(0.5, 100.0, VGG19, "cpu"))
    assert halved.seconds - START_S == pytest.approx((once.seconds - START_S) / 2)
    # A patch has to go through the encoder each time; the template has not.
    assert of(anchor="patch").seconds > 2 * once.seconds


def test_a_machine_is_measured_in_a_moment():
    encoder = shipped_encoder(torch.device("cpu"))
    speed = measure(encoder)
    assert 0 < speed.encoder_pass_s < 30
    assert 0.01 < speed.gigamacs_per_s < 1e5
    assert len(speed.encoder_channels) == 5
    assert not speed.on_gpu


def test_a_longer_training_is_estimated_to_take_longer():
    speed = MachineSpeed(0.5, 40.0, VGG19, "cpu")

    def seconds(**values: Any) -> float:
        return estimate(TrainingConfig(**values), speed, 150, 19).seconds

    normal = seconds()
    assert seconds(time=Duration.QUICK) < normal < seconds(time=Duration.THOROUGH)
    one = seconds(method="single", landmarks=("menton",))
    assert one < normal < seconds(method="single")
    assert seconds(template_stage=False) < normal
    # Its finest level is computed everywhere, but once for all landmarks.
    assert one < seconds(method="student") < seconds(method="single")
