"""The search in windows reads of each level what the finest level's window needs, no less."""

import pytest
import torch
from random_network import random_maps, random_network

from napari_oneshot_lmk.matching import embeddings
from napari_oneshot_lmk.matching.embeddings import local_log_similarity

LANDMARKS = [2, 0, 3]


@pytest.mark.parametrize("cells", [1, 2, 7, 16, 23, 24])
@pytest.mark.parametrize(("height", "width", "ceil"), [(192, 160, False), (199, 235, True)])
def test_narrower_windows_of_the_coarse_levels_change_nothing(
    monkeypatch, height, width, ceil, cells
):
    network = random_network()
    maps = random_maps(height, width, ceil=ceil, batch=1)
    generator = torch.Generator().manual_seed(cells)
    anchors = [torch.rand(2, 3, 5, generator=generator) for _ in maps]
    size_yx = torch.tensor([height, width])
    for trial in range(12):
        # Some beyond the image, where the windows are moved inwards.
        points = (torch.rand(3, 2, generator=generator) * 1.2 - 0.1) * size_yx
        if trial == 0:
            points = torch.stack([torch.zeros(2), size_yx - 1.0, size_yx * torch.tensor([0, 1])])
        found = local_log_similarity(network, maps, LANDMARKS, anchors, points, cells)
        with monkeypatch.context() as patched:
            patched.setattr(embeddings, "cells_around", lambda cells, stride: 400)
            expected = local_log_similarity(network, maps, LANDMARKS, anchors, points, cells)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
