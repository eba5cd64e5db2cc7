"""The network of the fine stage: layouts of cells of one pixel and of several."""

import pytest
import torch
from pydantic import ValidationError

from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.crop_config import NORM_GROUPS, STRIDE, CropNetworkConfig
from napari_oneshot_lmk.network.crop_network import CropNetwork
from napari_oneshot_lmk.network.meta_device import on_meta_device
from napari_oneshot_lmk.network.unet_blocks import NEGATIVE_SLOPE, Down, TwoConv, UpCat
from napari_oneshot_lmk.training.preset import Preset


def network_of(cell: int) -> CropNetwork:
    torch.manual_seed(0)
    return CropNetwork(CropNetworkConfig(landmarks=3, width=4, cell=cell))


@pytest.mark.parametrize("cell", [1, 2, 3])
def test_a_map_has_the_pixels_of_its_crop(cell):
    crops = torch.rand(2, 2, STRIDE * cell, 2 * STRIDE * cell)
    assert network_of(cell)(crops, torch.tensor([0, 2])).shape == (2, *crops.shape[-2:])


@pytest.mark.parametrize("cell", [1, 2])
def test_each_pixel_of_a_crop_is_seen(cell):
    crops = torch.rand(1, 2, STRIDE * cell, STRIDE * cell, requires_grad=True)
    network_of(cell)(crops, torch.tensor([1])).square().sum().backward()
    assert (crops.grad != 0).all()


MONAI = {
    "act": ("leakyrelu", {"negative_slope": NEGATIVE_SLOPE, "inplace": True}),
    "norm": ("group", {"num_groups": NORM_GROUPS}),
    "bias": False,
}


@pytest.mark.parametrize(
    ("ours", "name", "channels", "shapes"),
    [
        (TwoConv, "TwoConv", (2, 8), [(2, 6, 10)]),
        (Down, "Down", (4, 8), [(4, 6, 10)]),
        (UpCat, "UpCat", (8, 4, 4), [(8, 3, 5), (4, 6, 10)]),
    ],
)
def test_blocks_are_those_of_monai(ours, name, channels, shapes):
    from monai.networks.nets import basic_unet

    torch.manual_seed(3)
    mine = ours(*channels)
    torch.manual_seed(3)
    theirs = getattr(basic_unet, name)(2, *channels, **MONAI)
    assert mine.state_dict().keys() == theirs.state_dict().keys()
    for parameter, value in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[parameter], value), parameter
    maps = [torch.randn(2, *shape) for shape in shapes]
    outputs = []
    for block in (mine, theirs):
        inputs = [each.clone().requires_grad_() for each in maps]
        out = block(*inputs)
        out.square().sum().backward()
        outputs.append((out, *(each.grad for each in inputs)))
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one, other)


def test_a_layout_on_meta_device_has_their_shapes_and_draws_none():
    config = CropNetworkConfig(landmarks=3, width=4, cell=2)
    before = torch.get_rng_state()
    with on_meta_device():
        empty = CropNetwork(config).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    full = CropNetwork(config).state_dict()
    assert {k: v.shape for k, v in empty.items()} == {k: v.shape for k, v in full.items()}
    assert {v.device.type for v in empty.values()} == {"meta"}
    # Outside of it numbers are drawn again.
    assert torch.nn.Linear(2, 2).weight.abs().sum() > 0


def test_layouts_from_before_cells_have_cells_of_one_pixel():
    older = CropNetworkConfig.model_validate_json('{"landmarks": 3, "scales": 2, "width": 4}')
    assert older.cell == 1


def test_crops_that_are_no_whole_cells_are_refused():
    with pytest.raises(ValidationError, match="fit together"):
        FineCard(
            landmarks=("a",),
            shares=(0.5,),
            pixel=1.0,
            side=3 * STRIDE,
            factors=(1, 3),
            looks=1,
            window=9,
            network=CropNetworkConfig(landmarks=1, cell=2),
        )
    with pytest.raises(UsageError, match="side"):
        Preset.load("laptop").changed({"fine.side": 3 * STRIDE})
