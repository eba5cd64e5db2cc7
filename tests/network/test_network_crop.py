"""The network of the fine stage: layouts of cells of one pixel and of several."""

import pytest
import torch
from pydantic import ValidationError

from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.crop_config import STRIDE, CropNetworkConfig
from napari_oneshot_lmk.network.crop_network import CropNetwork
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
