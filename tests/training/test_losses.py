"""Losses: void pixels are ignored, and the formulas are the usual ones."""

import typing

import pytest
import torch
import torch.nn.functional as F

from tiramisu.training.config import Loss
from tiramisu.training.losses import balance_classes, build_loss

NAMES = typing.get_args(Loss)


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


@pytest.mark.parametrize("name", [name for name in NAMES if "+" in name])
def test_two_losses_add_up(name, batch) -> None:
    def value(name) -> torch.Tensor:
        return build_loss(name, ignore_index=255)(*batch)

    first, second = name.split("+")
    assert min(value(first), value(second)) > 0
    torch.testing.assert_close(value(name), value(first) + value(second))


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_pixels_of_a_class_of_weight_0_do_not_count(name, batch) -> None:
    logits, labels = batch
    compute = build_loss(name, ignore_index=255, weight=torch.tensor([0.0, 2.0, 2.0]))
    as_void = build_loss(name, ignore_index=255)
    expected = as_void(logits, labels.where(labels != 0, 255))
    torch.testing.assert_close(compute(logits, labels), expected)
    # Also where all pixels are of such a class: torch's own loss is NaN there.
    loss = compute(logits, labels.where(labels == 255, 0))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert gradient.abs().max() == 0


def test_bce_is_that_of_each_class(batch) -> None:
    logits, labels = batch
    known = labels != 255
    target = F.one_hot(labels.where(known, 0), 3).permute(0, 3, 1, 2).float()
    weight = torch.tensor([0.5, 1.0, 4.0])
    plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)[known]
    torch.testing.assert_close(build_loss("bce", ignore_index=255)(logits, labels), plain.mean())
    weights = weight[labels[known]]
    weighted = build_loss("bce", ignore_index=255, weight=weight)(logits, labels)
    torch.testing.assert_close(weighted, (plain * weights).sum() / weights.sum())
    images = build_loss("bce", ignore_index=-1)(logits[..., 0, 0], torch.tensor([1, -1]))
    torch.testing.assert_close(
        images, F.binary_cross_entropy_with_logits(logits[0, :, 0, 0], torch.tensor([0.0, 1, 0]))
    )


def test_tversky_weighs_missed_pixels_more_than_false_ones() -> None:
    labels = torch.tensor([[[0] * 5 + [1] * 5]])
    values = []
    for predicted in ([0] * 7 + [1] * 3, [0] * 3 + [1] * 7):  # two pixels of class 1 missed, false
        logits = 50 * F.one_hot(torch.tensor([[predicted]]), 2).movedim(-1, 1).float()
        values.append(
            [float(build_loss(n, ignore_index=255)(logits, labels)) for n in ("tversky", "dice")]
        )
    (missed, _), (false, _) = values
    of_class_1 = 1 - 3 / (3 + 0.7 * 2), 1 - 5 / (5 + 0.3 * 2)
    # What class 1 misses is false for class 0.
    assert missed == pytest.approx((of_class_1[0] + 1 - 5 / (5 + 0.3 * 2)) / 2, abs=1e-4)
    assert false == pytest.approx((of_class_1[1] + 1 - 3 / (3 + 0.7 * 2)) / 2, abs=1e-4)
    only = torch.tensor([[[1] * 5 + [255] * 5]])  # class 0 is absent from these labels
    logits = 50 * F.one_hot(torch.tensor([[[0] * 2 + [1] * 8]]), 2).movedim(-1, 1).float()
    tversky, dice = (build_loss(n, ignore_index=255)(logits, only) for n in ("tversky", "dice"))
    assert tversky > dice  # two of five pixels are missed


def test_median_frequency_weights() -> None:
    pixels = torch.tensor([800, 100, 0, 10])
    weights = balance_classes(pixels, capped=False)
    assert weights.tolist() == pytest.approx([0.125, 1.0, 1.0, 10.0])
    assert balance_classes(pixels, capped=True).tolist() == pytest.approx([0.5, 1.0, 1.0, 5.0])
