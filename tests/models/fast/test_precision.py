"""Rounding errors of the fused way: no larger than those of the network of the paper."""

import random
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from tiramisu.models import FCDenseNet
from tiramisu.models.fast import fused
from tiramisu.models.reference import ReferenceFCDenseNet

TRIALS = 9
"""Random networks for each case. The median counts: where rounding turns the sign of a single value
before a ReLU, the error of a gradient is a thousand times larger, for all implementations."""


def random_networks(
    trial: int, *, mean: float, training: bool
) -> tuple[FCDenseNet, ReferenceFCDenseNet, Tensor]:
    """Two networks with the same weights in double precision, and images for them.

    Args:
        mean: mean of the channels after the first convolution, in standard deviations.
    """
    chosen = random.Random(trial)
    torch.manual_seed(trial)
    layers = [chosen.randint(1, 4) for _ in range(5)]
    sizes = {"growth_rate": chosen.randint(2, 9), "stem_width": chosen.randint(3, 20)}
    network = FCDenseNet(
        down_blocks=layers[:2],
        bottleneck_layers=layers[2],
        up_blocks=layers[3:],
        num_classes=4,
        dropout=0.0,
        **sizes,
    ).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.momentum = 1.0
    stem = network.features["conv0"]
    nn.init.normal_(stem.weight, std=27**-0.5)  # so the outputs have a deviation of 1
    signs = torch.randint(0, 2, [sizes["stem_width"]]) * 2 - 1
    stem.bias.data = (mean * signs).double()
    images = torch.randn(chosen.randint(1, 3), 3, chosen.randint(20, 60), chosen.randint(20, 60))
    with torch.no_grad():
        network(images.double())  # sets the running statistics
    reference = ReferenceFCDenseNet(block_layers=layers, num_classes=4, dropout=0.0, **sizes)
    with torch.no_grad():
        reference.double().copy_weights(network)
    if chosen.random() < 0.5:
        images = images.contiguous(memory_format=torch.channels_last)
    if chosen.random() < 0.5:
        images = images[:, :, 1:, :-1]
    return network.train(training), reference.train(training), images


def logits_and_gradients(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradients of images and of the parameters, of which the bias of a convolution
    before a batch norm has none and is left out."""
    images = images.detach().clone().requires_grad_()
    logits = network(images)
    torch.manual_seed(0)
    loss = (logits * torch.randn(logits.shape, dtype=torch.double)).sum()
    parameters = [p for p in network.parameters() if p.ndim > 1]
    gradients = torch.autograd.grad(loss, [images, *parameters])
    return logits.detach(), torch.cat([gradient.flatten() for gradient in gradients])


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mean", [0, 3, 8, 30])
def test_errors_are_at_most_three_times_the_plain_networks(mean: int, training: bool) -> None:
    ratios: list[list[float]] = [[], [], []]
    for trial in range(TRIALS):
        network, reference, images = random_networks(trial, mean=mean, training=training)
        exact = logits_and_gradients(reference, images.double())
        # In double precision both are exact.
        for found, right in zip(logits_and_gradients(network, images.double()), exact, strict=True):
            assert error(found, right) < 1e-11
        # Channels-first, because PyTorch itself rounds far more in channels-last.
        plain = logits_and_gradients(reference.float(), images.contiguous())
        ours = logits_and_gradients(network.float(), images)
        for i in range(2):
            ratios[i].append(error(ours[i], exact[i]) / error(plain[i], exact[i]))
        with torch.no_grad():
            ratios[2].append(error(network(images), exact[0]) / error(plain[0], exact[0]))
    assert max(median(each) for each in ratios) < 3


def test_the_fused_way_is_the_one_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = fused.dense_block

    def counted(*args) -> Tensor:
        calls.append(args)
        return original(*args)

    network, _, images = random_networks(0, mean=0, training=True)
    monkeypatch.setattr(fused, "dense_block", counted)
    network.float()(images)
    assert len(calls) == 5
