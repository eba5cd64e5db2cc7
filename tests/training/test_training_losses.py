"""The contrastive loss against its definition, spelled out cell by cell."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_oneshot_lmk.network.windows import Window
from napari_oneshot_lmk.training.losses import level_losses, total_loss
from napari_oneshot_lmk.training.preset import LossSettings

STRIDE = 8
PUBLISHED = LossSettings()
SOFT = LossSettings(soft_sigma_cells=0.8)
both = pytest.mark.parametrize("settings", [PUBLISHED, SOFT], ids=["published", "soft"])


def window(seed: int = 0, *, rows: int = 6, columns: int = 5) -> Window:
    """Two images, three landmarks, windows that begin somewhere."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(2, 3, 4, rows, columns, generator=generator)
    origin = torch.tensor([[[2, 1], [0, 0], [3, 4]], [[1, 1], [5, 2], [2, 0]]])
    return Window(embeddings, origin, (12, 12))


def points_in(one: Window) -> Tensor:
    """A point of each landmark, off the centres of its window's middle cell."""
    middle = one.origin_yx + torch.tensor([3, 2])
    return (middle + 0.5) * STRIDE - 0.5 + torch.tensor([1.5, -2.25])


def anchors() -> Tensor:
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(9))


def plain(b: int, k: int, one: Window, settings: LossSettings) -> float:
    """Cross-entropy of one landmark on one image, from the formula alone."""
    anchor, point = anchors()[b, k], points_in(one)[b, k].tolist()
    top, left = one.origin_yx[b, k].tolist()
    soft = settings.soft_sigma_cells > 0
    exact = [(value + 0.5) / STRIDE - 0.5 for value in point]
    right = exact if soft else [math.floor((value + 0.5) / STRIDE) for value in point]
    logits, targets = [], []
    for row in range(one.embeddings.shape[3]):
        for column in range(one.embeddings.shape[4]):
            cell = one.embeddings[b, k, :, row, column]
            cosine = float(anchor @ cell / (anchor.norm() * cell.norm()))
            away = math.hypot(top + row - right[0], left + column - right[1])
            logits.append(10 * cosine + min(0.7 * away, 8.0))
            width = 2 * settings.soft_sigma_cells**2
            targets.append(math.exp(-(away**2) / width) if soft else float(away == 0))
    total = math.log(sum(math.exp(logit) for logit in logits))
    share = sum(targets)
    return sum(t / share * (total - x) for t, x in zip(targets, logits, strict=True))


@both
def test_the_loss_is_its_definition(settings):
    one = window()
    losses = level_losses(anchors(), one, points_in(one), STRIDE, settings)
    expected = [[plain(b, k, one, settings) for k in range(3)] for b in range(2)]
    assert losses.tolist() == [pytest.approx(row, 1e-5) for row in expected]


@both
def test_gradients_are_those_of_the_formula(settings):
    one, own = window(), anchors().requires_grad_()
    one.embeddings.requires_grad_()
    losses = level_losses(own, one, points_in(one), STRIDE, settings)
    found = torch.autograd.grad(losses.sum(), (own, one.embeddings))

    units = F.normalize(own, dim=-1)
    cosine = (F.normalize(one.embeddings, dim=2) * units[..., None, None]).sum(2)
    cells = torch.stack(torch.meshgrid(torch.arange(6), torch.arange(5), indexing="ij"), -1)
    right = (points_in(one) + 0.5) / STRIDE
    right = right - 0.5 if settings.soft_sigma_cells > 0 else right.floor()
    away = (one.origin_yx[:, :, None, None] + cells - right[:, :, None, None]).norm(dim=-1)
    if settings.soft_sigma_cells > 0:
        target = (-(away**2) / (2 * settings.soft_sigma_cells**2)).flatten(2).softmax(-1)
    else:
        target = (away == 0).float().flatten(2)
    logits = 10 * cosine + (0.7 * away).clamp(max=8.0)
    expected = -(target * logits.flatten(2).log_softmax(-1)).sum()
    for one_gradient, its_formula in zip(
        found, torch.autograd.grad(expected, (own, one.embeddings)), strict=True
    ):
        torch.testing.assert_close(one_gradient, its_formula, rtol=1e-4, atol=1e-6)


@both
def test_a_point_outside_of_its_window_teaches_nothing(settings):
    one = window()
    one.embeddings.requires_grad_()
    away = points_in(one)
    away[0, 1] += 20 * STRIDE
    losses = level_losses(anchors(), one, away, STRIDE, settings)
    assert losses[0, 1] == 0
    losses.sum().backward()
    assert (one.embeddings.grad[0, 1] == 0).all()
    assert (one.embeddings.grad[0, 0] != 0).any()


def test_weights_are_relative_and_may_all_be_zero():
    one = window()
    each = level_losses(anchors(), one, points_in(one), STRIDE, PUBLISHED)

    def total(weights: Tensor) -> Tensor:
        return total_loss((anchors(),), (one,), points_in(one), weights, (STRIDE,), PUBLISHED)

    weights = torch.tensor([[1.0, 0.5, 0.0], [0.25, 1.0, 1.0]])
    torch.testing.assert_close(total(weights), (each * weights).sum() / weights.sum())
    torch.testing.assert_close(total(weights / 2), total(weights))
    assert total(torch.zeros(2, 3)) == 0
