"""Windows around points against slices of whole maps."""

import pytest
import torch
from random_network import assert_same_gradients, random_maps, random_network

from napari_oneshot_lmk.network.network import SMALLEST_REGION
from napari_oneshot_lmk.network.rfb import RFB
from napari_oneshot_lmk.network.windows import Region, upsample, upsample_region

LANDMARKS = [2, 0, 3]
SIZES = [
    pytest.param(192, 192, False, id="a patch"),
    pytest.param(96, 224, False, id="wide"),
    pytest.param(100, 68, False, id="rounded down"),
    pytest.param(99, 203, True, id="rounded up"),
    pytest.param(32, 32, False, id="one cell at the end"),
]


LAYOUTS = [
    {"normalisation": "landmark"},
    {"normalisation": "landmark", "adapter_channels": 0},
    {"normalisation": "none"},
    {"adapter_channels": 0},
    {"lateral_channels": 2},
    {"lateral_channels": 2, "rfb": False},
]


def points_of(kind, height, width):
    size_yx = torch.tensor([height, width])
    if kind == "anywhere":
        generator = torch.Generator().manual_seed(height)
        return torch.rand(2, 3, 2, generator=generator) * size_yx
    if kind == "first corner":
        return torch.zeros(2, 3, 2)
    if kind == "last corner":
        return (size_yx - 1.0).expand(2, 3, 2)
    edges = torch.tensor([[0.0, 0.5], [0.5, 1.0], [0.5, 0.0]]) * (size_yx - 1)
    return edges.expand(2, 3, 2)


def slices(levels, windows):
    """Cells of the whole maps that the windows claim to hold."""
    for level, window in zip(levels, windows, strict=True):
        rows, columns = window.embeddings.shape[-2:]
        cut = [
            level[b, k, :, y : y + rows, x : x + columns]
            for b, origins in enumerate(window.origin_yx.tolist())
            for k, (y, x) in enumerate(origins)
        ]
        yield torch.stack(cut).unflatten(0, level.shape[:2])


def assert_slices(network, maps, points, side):
    with torch.no_grad():
        levels = network.embed_images(maps, LANDMARKS)
        windows = network.embed_windows(maps, LANDMARKS, points, side)
    for found, expected in zip(windows, slices(levels, windows), strict=True):
        assert found.embeddings.shape == expected.shape
        torch.testing.assert_close(found.embeddings, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["anywhere", "first corner", "last corner", "edges"])
@pytest.mark.parametrize("window", [1, 5, 22, 200])
@pytest.mark.parametrize(("height", "width", "ceil"), SIZES)
def test_windows_are_slices_of_whole_maps(height, width, ceil, window, kind):
    network = random_network()
    maps = random_maps(height, width, ceil=ceil)
    assert_slices(network, maps, points_of(kind, height, width), window)


@pytest.mark.parametrize("kind", ["anywhere", "first corner", "last corner", "edges"])
@pytest.mark.parametrize("sides", [(24, 15, 9, 5, 9), (1, 1, 1, 1, 1), (22, 3, 7, 1, 1)])
@pytest.mark.parametrize(("height", "width", "ceil"), SIZES)
def test_so_they_are_where_each_level_has_its_own_side(height, width, ceil, sides, kind):
    maps = random_maps(height, width, ceil=ceil)
    assert_slices(random_network(), maps, points_of(kind, height, width), sides)


@pytest.mark.parametrize("kind", ["anywhere", "first corner", "last corner", "edges"])
@pytest.mark.parametrize("normalisation", ["batch", "none"])
@pytest.mark.parametrize(("height", "width", "ceil"), SIZES)
def test_a_block_takes_apart_what_is_shared(height, width, ceil, normalisation, kind, monkeypatch):
    """Wide blocks of which each landmark reads few channels: as in the paper's network."""
    taken, real = [], RFB._lengthened_apart

    def spy(block, *arguments):
        taken.append(block)
        return real(block, *arguments)

    monkeypatch.setattr(RFB, "_lengthened_apart", spy)
    network = random_network(normalisation, adapter_channels=2, width=0.05)
    maps = random_maps(height, width, ceil=ceil)
    assert_slices(network, maps, points_of(kind, height, width), (24, 15, 9, 5, 9))
    whole = min(maps[3].shape[-2:]) <= 5
    assert whole or set(taken) == {network.rfbs.at(4)}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_what_is_recorded_holds_for_points_anywhere():
    network = random_network().requires_grad_(False)
    maps = random_maps(192, 224, batch=1)

    class Windows(torch.nn.Module):
        def forward(self, points):
            windows = network.embed_windows(maps, LANDMARKS, points, (16, 11, 7, 5, 7))
            return tuple(window.embeddings for window in windows)

    with torch.no_grad():
        # In the middle no window needs padding, in the corner all do.
        middle = torch.full((1, 3, 2), 100.0)
        recorded = torch.jit.trace(Windows(), (middle,), check_trace=False)
        for points in (middle, torch.zeros(1, 3, 2), torch.full((1, 3, 2), 191.0)):
            for found, expected in zip(recorded(points), Windows()(points), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_so_they_are_for_every_kind_of_network(layout):
    network = random_network(**layout)
    maps = random_maps(160, 192)
    assert_slices(network, maps, points_of("edges", 160, 192), 7)


@pytest.mark.parametrize("side", [1, 4, 7])
def test_a_window_lies_around_its_point(side):
    network = random_network()
    points = torch.tensor([[[63.9, 64.0], [0.0, 255.9], [-5.0, 300.0]]])
    maps = random_maps(256, 256, batch=1)
    with torch.no_grad():
        windows = network.embed_windows(maps, LANDMARKS, points, side)
    for level, window in enumerate(windows[:-1], start=1):
        cells, size = 256 // 2**level, 2**level
        assert window.full_shape_yx == (cells, cells)
        assert window.embeddings.shape[-2:] == (side, side)
        assert window.origin_yx.dtype == torch.long
        last = cells - side
        corner = [0, min(cells - 1 - side // 2, last)]
        inside = [int(63.9 // size) - side // 2, 64 // size - side // 2]
        wanted = torch.tensor([[inside, corner, corner]]).clamp(0, last)
        assert torch.equal(window.origin_yx, wanted)
    assert windows[-1].embeddings.shape == (1, 3, 5, 8, 8), "level 5 is always whole"
    assert not windows[-1].origin_yx.any()
    with torch.no_grad():
        windows = network.embed_windows(random_maps(64, 192), [1], torch.full((2, 1, 2), 60.0), 20)
    shapes = [tuple(window.embeddings.shape[-2:]) for window in windows]
    assert shapes == [(20, 20), (16, 20), (8, 20), (4, 12), (2, 6)], "short axes are whole"


@pytest.mark.parametrize("layout", [{}, LAYOUTS[0], LAYOUTS[2], LAYOUTS[5]])
def test_gradients_near_points_are_those_of_the_whole_maps(layout):
    network = random_network(**layout)
    maps = random_maps(128, 160)
    points = points_of("edges", 128, 160)
    windows = network.embed_windows(maps, LANDMARKS, points, 9)
    whole = slices(network.embed_images(maps, LANDMARKS), windows)
    assert_same_gradients(network, [w.embeddings for w in windows], whole)


@pytest.mark.parametrize("normalisation", ["batch", "landmark"])
def test_in_training_every_batch_norm_that_works_keeps_statistics(normalisation):
    network = random_network(normalisation).train()
    maps = random_maps(192, 192)
    points = points_of("anywhere", 192, 192)
    for window in network.embed_windows(maps, LANDMARKS, points, 1):
        assert window.embeddings.isfinite().all()
    buffers = network.named_buffers()
    tracked = {name: int(value) for name, value in buffers if name.endswith("batches_tracked")}
    idle = {name for name, steps in tracked.items() if steps == 0}
    assert all(name.startswith("adapters.1.") or ".norms.1." in name for name in idle)
    assert set(tracked.values()) <= {0, 1}


def test_one_image_and_a_window_of_one_cell_can_be_trained():
    """A batch norm refuses a batch of one value: the region is larger than that."""
    network = random_network().train()
    maps = random_maps(192, 192, batch=1)
    windows = network.embed_windows(maps, [1], torch.full((1, 1, 2), 95.0), 1)
    sum(w.embeddings.sum() for w in windows).backward()
    assert [tuple(w.embeddings.shape[-2:]) for w in windows[:3]] == [(1, 1)] * 3


def test_where_none_has_an_adapter_one_landmark_may_be_asked_at_many_points():
    network = random_network(adapter_channels=0)
    maps = random_maps(96, 96)
    points = points_of("edges", 96, 96)
    with torch.no_grad():
        found = network.embed_windows(maps, [1, 1, 1], points, 7)
        expected = network.embed_windows(maps, LANDMARKS, points, 7)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.embeddings, other.embeddings)


@pytest.mark.parametrize("side", [SMALLEST_REGION, 17, 22, 40])
@pytest.mark.parametrize("full", [20, 47, 96, 97])
def test_the_coarser_region_holds_all_that_the_finer_one_reads(side, full):
    """At every point of an axis, also where the finer map is one cell longer or
    shorter than twice the coarser.
    """
    for finer in (2 * full - 1, 2 * full, 2 * full + 1):
        points = torch.arange(0, 2 * finer).float()
        points_yx = torch.stack([points, points], dim=-1)[None]
        coarse = Region.around(points_yx, 4, side, (full, full))
        fine = Region.around(points_yx, 2, side, (finer, finer)).grow(2)
        ones = torch.ones(1, len(points), 1, *coarse.size_yx, dtype=torch.float64)
        found = upsample_region(ones, coarse, fine)
        whole = upsample(torch.ones(1, 1, full, full).double(), (finer, finer))
        expected = fine.crop(whole[:, None].expand(-1, len(points), -1, -1, -1))
        torch.testing.assert_close(found, expected)


def test_interpolating_and_cutting_have_the_right_gradients():
    torch.manual_seed(0)
    points = torch.tensor([[[3.0, 9.0], [11.0, 0.0]]])
    held = Region.around(points, 4, 4, (5, 6))
    wanted = Region.around(points, 2, 3, (11, 12)).grow(1)
    maps = torch.randn(1, 2, 2, *held.size_yx).double().requires_grad_()
    whole = torch.randn(1, 1, 2, 11, 12).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: upsample_region(m, held, wanted), maps)
    assert torch.autograd.gradcheck(wanted.crop, whole)
