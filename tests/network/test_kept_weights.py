"""Weights that are kept between images are those of the network as it is now."""

import copy

import pytest
import torch
from random_network import random_maps, random_network

from napari_oneshot_lmk.network import kept_weights

LANDMARKS = [2, 0, 3]
LAYOUTS = [{}, {"normalisation": "landmark"}, {"normalisation": "none"}, {"lateral_channels": 2}]


def embed(network):
    with torch.inference_mode():
        return network.embed_images(random_maps(64, 64), LANDMARKS)


def embed_with_gradients(network):
    return [level.detach() for level in network.embed_images(random_maps(64, 64), LANDMARKS)]


def assert_fresh(network):
    """What the network returns now is what weights made for this image alone give."""
    for found, expected in zip(embed(network), embed_with_gradients(network), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_of_the_weights_is_seen(layout):
    network = random_network(**layout)
    assert_fresh(network)
    before = embed(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    sum(level.square().sum() for level in network.embed_images(random_maps(64, 64), [0])).backward()
    optimiser.step()
    assert_fresh(network)
    assert any(
        (old - new).abs().max() > 1e-6 for old, new in zip(before, embed(network), strict=True)
    )
    other = random_network(**layout)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    network.load_state_dict(other.state_dict())
    assert_fresh(network)
    network.load_state_dict(random_network(**layout).state_dict(), assign=True)
    assert_fresh(network)


def test_a_step_in_training_changes_the_statistics_that_are_included():
    network = random_network()
    embed(network)
    with torch.no_grad():
        network.train().embed_images(random_maps(64, 64, seed=5), LANDMARKS)
    network.eval()
    assert_fresh(network)


def test_another_type_and_a_copy_have_their_own():
    network = random_network()
    embed(network)
    copied = copy.deepcopy(network)
    assert_fresh(copied)
    network.float()
    maps = [level.float() for level in random_maps(64, 64)]
    with torch.inference_mode():
        found = network.embed_images(maps, LANDMARKS)
    for one, other in zip(found, embed(copied), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


def test_they_are_made_once_and_go_with_the_network(monkeypatch):
    network = random_network()
    made = []
    original = kept_weights._made
    monkeypatch.setattr(kept_weights, "_made", lambda *args: made.append(1) or original(*args))
    embed(network)
    once = len(made)
    assert once > 20
    embed(network)
    assert len(made) == once
    network.embed_images(random_maps(64, 64), LANDMARKS)
    assert len(made) == 2 * once, "with gradients nothing is kept"
    kept = len(kept_weights._KEPT)
    del network
    assert len(kept_weights._KEPT) < kept
