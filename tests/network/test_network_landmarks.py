"""Several landmarks in one pass against one at a time, and whose gradient is whose."""

import copy

import pytest
import torch
from random_network import assert_same_gradients, gradients, random_maps, random_network

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.network.blocks import DoubleConv
from napari_oneshot_lmk.network.config import NetworkConfig
from napari_oneshot_lmk.network.network import LandmarkNetwork
from napari_oneshot_lmk.network.rfb import RFB
from napari_oneshot_lmk.network.windows import upsample

NORMALISATIONS = ["batch", "landmark", "none"]
LANDMARKS = [2, 0, 3]


def one_at_a_time(network, maps, landmarks):
    """Plain reference: the paper's network, once for each landmark."""
    single = [network(maps, landmark) for landmark in landmarks]
    return [torch.stack(level, dim=1) for level in zip(*single, strict=True)]


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def statistics(network):
    return {name: value.clone() for name, value in network.named_buffers()}


def norms_of(block):
    return [part for part in block.modules() if isinstance(part, torch.nn.BatchNorm2d)]


KINDS = [
    *({"normalisation": norm, "adapter_channels": c} for norm in NORMALISATIONS for c in (3, 0)),
    *({"lateral_channels": 2}, {"rfb": False}),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("height", "width", "ceil"), [(64, 96, False), (100, 68, False), (99, 71, True)]
)
def test_together_is_one_at_a_time(kind, height, width, ceil):
    network = random_network(**kind)
    maps = random_maps(height, width, ceil=ceil)
    with torch.no_grad():
        found = network.embed_images(maps, LANDMARKS)
        assert_close(found, one_at_a_time(network, maps, LANDMARKS))
    for level, embeddings in enumerate(found):
        assert embeddings.shape == (2, 3, 5, *maps[level].shape[-2:])
        if network.adapters and (level < 4 or network.config.rfb):
            assert (embeddings[:, 0] - embeddings[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_gradients_together_are_the_sum_of_those_one_at_a_time(normalisation):
    network = random_network(normalisation)
    maps = random_maps(64, 32)
    together = network.embed_images(maps, LANDMARKS)
    assert_same_gradients(network, together, one_at_a_time(network, maps, LANDMARKS))


def test_in_training_norms_of_their_own_see_their_landmark_alone():
    """Values and running statistics are then those of one landmark at a time."""
    together = random_network("landmark").train()
    alone = copy.deepcopy(together)
    maps = random_maps(64, 64)
    assert_close(together.embed_images(maps, LANDMARKS), one_at_a_time(alone, maps, LANDMARKS))
    expected = statistics(alone)
    # The decoder's coarsest block reads the same for every landmark.
    for name, value in statistics(together).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9)


def test_in_training_a_shared_norm_sees_all_landmarks_as_one_batch():
    network = random_network("batch").train()
    block = network.rfbs.at(3)
    maps = torch.randn(2, 3, block.layer("point").conv.in_channels, 6, 5).double()
    found = copy.deepcopy(block).forward_landmarks([maps], LANDMARKS)
    expected = block(maps.flatten(0, 1)).reshape(found.shape)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_landmark_touches_no_other_adapter(normalisation):
    network = random_network(normalisation).train()
    before = statistics(network)
    maps = random_maps(64, 64)
    points = torch.full((2, 2, 2), 31.0)
    for passed in (
        lambda: network(maps, 2)[0].sum(),
        lambda: sum(level.sum() for level in network.embed_images(maps, [2, 1])),
        lambda: sum(w.embeddings.sum() for w in network.embed_windows(maps, [2, 1], points, 5)),
    ):
        network.zero_grad(set_to_none=True)
        passed().backward()
        assert any(name.startswith("adapters.2.") for name in gradients(network))
        for idle in (0, 3):
            assert all(p.grad is None for p in network.adapter(idle).parameters())
    for name, value in statistics(network).items():
        if name.startswith(("adapters.0.", "adapters.3.")):
            assert torch.equal(value, before[name])
        elif name.startswith("adapters.2."):
            assert not torch.equal(value, before[name])


def test_feature_maps_stay_as_they_are_and_take_no_gradient():
    network = random_network().train()
    maps = random_maps(64, 64)
    kept = [one_map.clone() for one_map in maps]
    points = torch.full((2, 3, 2), 20.0)
    windows = network.embed_windows(maps, LANDMARKS, points, 5)
    sum(window.embeddings.sum() for window in windows).backward()
    assert all(m.grad is None and not m.requires_grad for m in maps)
    assert all(torch.equal(one, other) for one, other in zip(maps, kept, strict=True))


def test_maps_kept_in_half_precision_are_read():
    network = random_network().float()
    maps = [one_map.half() for one_map in random_maps(64, 64)]
    with torch.no_grad():
        found = network.embed_images(maps, [1])
        expected = network([one_map.float() for one_map in maps], 1)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one[:, 0], other, rtol=1e-4, atol=1e-4)


def test_networks_work_under_autocast():
    """In bfloat16 the embeddings point the same way, and gradients arrive."""
    network = random_network().float().train()
    maps = [one_map.float() for one_map in random_maps(64, 64)]
    points = torch.full((2, 3, 2), 20.0)
    with torch.no_grad():
        expected = copy.deepcopy(network).embed_windows(maps, LANDMARKS, points, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = network.embed_windows(maps, LANDMARKS, points, 5)
    sum(window.embeddings.float().sum() for window in found).backward()
    for one, other in zip(found, expected, strict=True):
        a, b = one.embeddings.detach().float(), other.embeddings
        assert torch.cosine_similarity(a, b, dim=2).mean() > 0.95
    assert all(g.isfinite().all() for g in gradients(network).values())


def test_without_adapters_the_shared_maps_are_computed_once(monkeypatch):
    network = random_network("batch", 0)
    sizes = []
    plain = torch.nn.functional.conv2d

    def watched(maps, *rest):
        sizes.append(len(maps))
        return plain(maps, *rest)

    monkeypatch.setattr(torch.nn.functional, "conv2d", watched)
    with torch.no_grad():
        levels = network.embed_images(random_maps(64, 64), LANDMARKS)
        network.embed_windows(random_maps(64, 64), LANDMARKS, torch.zeros(2, 3, 2), 40)
    assert set(sizes) == {2}
    for level in levels:
        assert level.shape[1] == 3
        assert level.stride(1) == 0


def test_what_no_landmark_owns_is_computed_once():
    """Level 5's block and level 4's shared convolutions read the image alone."""
    network = random_network().train()
    shared = (network.rfbs.at(5), network.decoder.at(4).convs)
    batches = {}
    for block in (*shared, network.rfbs.at(4)):
        for norm in norms_of(block):
            seen = batches.setdefault(id(norm), [])
            norm.register_forward_hook(lambda _, given, __, s=seen: s.append(given[0]))
    network.embed_images(random_maps(64, 64), LANDMARKS)
    for block, images in ((shared[0], 2), (shared[1], 2), (network.rfbs.at(4), 6)):
        for norm in norms_of(block):
            assert [len(maps) for maps in batches[id(norm)]] == [images]


@pytest.mark.parametrize("landmarks", [[], [4], [-1], [1, 1]])
def test_landmarks_that_the_network_has_not_are_refused(landmarks):
    network, maps = random_network(), random_maps(32, 32)
    with pytest.raises(UsageError, match="from 0 to 3"):
        network.embed_images(maps, landmarks)
    with pytest.raises(UsageError, match="from 0 to 3"):
        network.embed_windows(maps, landmarks, torch.zeros(2, len(landmarks), 2), 5)
    with pytest.raises(UsageError, match="from 0 to 3"):
        network(maps, 4)


def test_another_number_of_maps_is_refused():
    with pytest.raises(UsageError, match="5 maps, not 4"):
        random_network()(random_maps(32, 32)[:4], 0)


@pytest.mark.parametrize(("block", "cells"), [(DoubleConv, 5), (RFB, 23)])
def test_blocks_see_as_far_as_published(block, cells):
    torch.manual_seed(0)
    maps = torch.randn(1, 4, 41, 41, requires_grad=True)
    block(4, 16, "none")(maps)[0, :, 20, 20].sum().backward()
    seen = maps.grad[0].abs().sum(0) > 0
    for along in (seen.any(1).nonzero(), seen.any(0).nonzero()):
        assert int(along.max() - along.min() + 1) == cells


def test_without_a_relu_before_the_last_the_rfb_is_affine():
    torch.manual_seed(0)
    block = RFB(3, 4).double().eval()
    last = []
    block.layer("join").register_forward_hook(lambda *a: last.append(a[-1]))
    one, other = torch.randn(2, 1, 3, 9, 9).double()
    for maps in (one, other, one + other, 0 * one):
        block(maps)
    assert_close([last[2] + last[3]], [last[0] + last[1]])


def test_doubled_maps_end_at_the_corners():
    torch.manual_seed(0)
    maps = torch.randn(1, 2, 3, 4)
    doubled = upsample(maps, (6, 8))
    assert_close([doubled[..., ::5, ::7]], [maps[..., ::2, ::3]])
    padded = upsample(maps, (7, 8))
    assert torch.equal(padded[..., :6, :], doubled)
    assert not padded[..., 6, :].any()
    assert torch.equal(upsample(maps, (9, 8))[..., 1:7, :], doubled)
    assert torch.equal(upsample(maps, (5, 8)), doubled[..., 1:, :])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_signals_keep_their_size_from_the_start(normalisation):
    """Without batch norm nothing else would keep them."""
    torch.manual_seed(0)
    network = LandmarkNetwork(NetworkConfig((32,) * 5, 2, 16, 0.1, 16, normalisation)).train()
    maps = [torch.randn(2, 32, 64 >> i, 64 >> i) for i in range(5)]
    for level in network.embed_images(maps, [0, 1]):
        assert 0.1 < float(level.detach().std()) < 10
