"""Losses: void pixels are ignored, and the formulas are the usual ones."""

import pytest
import torch
import torch.nn.functional as F

from tiramisu.training.losses import balance_classes, build_loss

NAMES = ["cross_entropy", "cross_entropy+dice", "cross_entropy+lovasz", "focal"]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 5, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)
    labels[:, :2] = 255
    return logits, labels


@pytest.mark.parametrize("name", NAMES)
def test_void_pixels_get_no_gradient(name, batch) -> None:
    logits, labels = batch
    loss = build_loss(name, ignore_index=255)
    (gradient,) = torch.autograd.grad(loss(logits, labels), logits)
    assert gradient[:, :, 2:].abs().sum() > 0
    assert gradient[:, :, :2].abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_better_logits_have_a_lower_loss(name, batch) -> None:
    _, labels = batch
    right = F.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    loss = build_loss(name, ignore_index=255)
    assert loss(4 * right, labels) < loss(0 * right, labels) < loss(-4 * right, labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0, 4.0])])
def test_cross_entropy_is_torchs(weight, smoothing, batch) -> None:
    logits, labels = batch
    loss = build_loss("cross_entropy", ignore_index=255, weight=weight, label_smoothing=smoothing)
    ours = loss(logits, labels)
    theirs = F.cross_entropy(
        logits, labels, weight=weight, ignore_index=255, label_smoothing=smoothing
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0, 4.0])])
@pytest.mark.parametrize("name", NAMES)
def test_batch_without_labels_has_loss_0(name, weight, smoothing, batch) -> None:
    logits, labels = batch
    compute = build_loss(name, ignore_index=255, weight=weight, label_smoothing=smoothing)
    loss = compute(logits, torch.full_like(labels, 255))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert gradient.abs().max() == 0


def test_two_losses_add_up(batch) -> None:
    logits, labels = batch
    both = build_loss("cross_entropy+dice", ignore_index=255)(logits, labels)
    assert both > build_loss("cross_entropy", ignore_index=255)(logits, labels) > 0


def test_median_frequency_weights() -> None:
    pixels = torch.tensor([800, 100, 0, 10])
    weights = balance_classes(pixels, capped=False)
    assert weights.tolist() == pytest.approx([0.125, 1.0, 1.0, 10.0])
    assert balance_classes(pixels, capped=True).tolist() == pytest.approx([0.5, 1.0, 1.0, 5.0])
