"""What the fine stage makes of a map and of the point that was there before."""

import pytest
import torch

from napari_oneshot_lmk.detection.fine_card import FineCard
from napari_oneshot_lmk.detection.fine_stage import FineStage
from napari_oneshot_lmk.geometry import Geometry
from napari_oneshot_lmk.network.crop_config import CropNetworkConfig

SIDE, CENTRE = 32, 15.5


class FixedMap(torch.nn.Module):
    """Sees the same around every point."""

    def __init__(self, seen: torch.Tensor) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, crops: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return self.seen.expand(len(crops), SIDE, SIDE)


def found(seen: torch.Tensor, coarse_sd_px: float, looks: int = 1) -> list[float]:
    """Return what one look finds around pixel (40, 50) of an empty image."""
    card = FineCard(
        landmarks=("tip",),
        shares=(1.0,),
        pixel=1.0,
        side=SIDE,
        looks=looks,
        coarse_sd_px=coarse_sd_px,
        network=CropNetworkConfig(landmarks=1, width=4),
    )
    stage = FineStage(card, FixedMap(seen), Geometry((100, 100), None))
    image, point = torch.zeros(1, 1, 100, 100), torch.tensor([[40.0, 50.0]])
    return stage(image, point, torch.tensor([0]))[0].tolist()


def peak(offset_yx: tuple[float, float], height: float, sd_px: float = 2.0) -> torch.Tensor:
    steps = torch.arange(SIDE) - CENTRE
    rows, columns = ((steps - each) ** 2 for each in offset_yx)
    return height * torch.exp((rows[:, None] + columns) / (-2 * sd_px**2))


def test_of_two_peaks_the_nearer_one_counts_unless_the_other_is_far_better():
    near, far = peak((2.0, 0.0), 6.0), peak((-11.0, 4.0), 8.0)
    assert found(near + far, coarse_sd_px=0.0) == pytest.approx([29, 54], abs=0.3)
    assert found(near + far, coarse_sd_px=4.0) == pytest.approx([42, 50], abs=0.3)
    # Ten times of its own sigma away, but e^60 times as probable.
    assert found(near + 8 * far, coarse_sd_px=4.0) == pytest.approx([29, 54], abs=0.5)


def test_two_gaussians_give_the_point_of_their_product():
    steps = torch.arange(SIDE) - CENTRE
    seen = ((steps - 3.0) ** 2)[:, None] + ((steps + 1.5) ** 2)
    at = found(seen / (-2 * 2.0**2), coarse_sd_px=4.0)
    weight = 4.0**2 / (4.0**2 + 2.0**2)
    # The mean of nine cells around the peak, not of all.
    assert at == pytest.approx([40 + 3.0 * weight, 50 - 1.5 * weight], abs=0.05)


def test_where_nothing_is_seen_the_point_stays():
    assert found(torch.zeros(SIDE, SIDE), coarse_sd_px=4.0) == pytest.approx([40, 50], abs=0.6)


def test_a_second_look_is_weighed_about_the_point_before_as_well():
    # Each look sees a peak three pixels further down: without a weight they add up.
    seen = peak((3.0, 0.0), 60.0)
    once = found(seen, coarse_sd_px=4.0)[0] - 40
    twice = found(seen, coarse_sd_px=4.0, looks=2)[0] - 40
    assert found(seen, coarse_sd_px=0.0, looks=2)[0] == pytest.approx(46, abs=0.1)
    assert once < twice < 5.9


def test_a_card_from_before_is_not_weighed():
    network = '{"landmarks": 1, "width": 4}'
    card = f'{{"landmarks": ["a"], "shares": [0.5], "pixel": 1, "side": 32, "network": {network}}}'
    older = FineCard.model_validate_json(card)
    assert (older.coarse_sd_px, older.looks) == (0, 2)
