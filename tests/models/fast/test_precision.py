"""Rounding errors of the fused way: no larger than those of the network of the paper."""

import random
from collections.abc import Sequence
from statistics import median

import pytest
import torch
from paths import by_modules
from torch import Tensor, nn

from tiramisu.models import FCDenseNet, LayerStyle
from tiramisu.models.blocks import TransitionDown
from tiramisu.models.fast import choice, fused
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


def logits_and_gradients(
    network: nn.Module, images: Tensor, *, bf16: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, the gradients of images and of the weights of convolutions, and those of batch norms.

    The bias of a convolution before a batch norm has no gradient and is left out.
    """
    images = images.detach().clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = network(images)
    torch.manual_seed(0)
    loss = (logits * torch.randn(logits.shape, dtype=torch.double)).sum()
    weights = [p for p in network.parameters() if p.ndim > 1]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    of_norms = [p for module in norms for p in module.parameters()]
    gradients = torch.autograd.grad(loss, [images, *weights, *of_norms])
    first = len(weights) + 1
    return logits.detach(), join(gradients[:first]), join(gradients[first:])


def join(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mean", [0, 3, 8, 30])
def test_errors_are_at_most_three_times_the_plain_networks(mean: int, training: bool) -> None:
    ratios: list[list[float]] = [[], [], [], []]
    for trial in range(TRIALS):
        network, reference, images = random_networks(trial, mean=mean, training=training)
        exact = logits_and_gradients(reference, images.double())
        # In double precision both are exact.
        for found, right in zip(logits_and_gradients(network, images.double()), exact, strict=True):
            assert error(found, right) < 1e-11
        # Channels-first, because PyTorch itself rounds far more in channels-last.
        plain = logits_and_gradients(reference.float(), images.contiguous())
        ours = logits_and_gradients(network.float(), images)
        for i in range(3):
            ratios[i].append(error(ours[i], exact[i]) / error(plain[i], exact[i]))
        with torch.no_grad():
            ratios[3].append(error(network(images), exact[0]) / error(plain[0], exact[0]))
    assert max(median(each) for each in ratios) < 3


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("weight", "bias"), [(1, 0), (1, 0.9), (1, 3), (0.3, 1), (0.02, 1), (0.6, 5), (0, 1)]
)
def test_the_gradient_of_a_scale_is_precise_for_any_scale_and_bias(
    weight: float, bias: float, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean of the gradient that is not 0 makes the two sums large whose difference counts."""
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    style = LayerStyle(bias=True, eps=1e-4, dropout=0)
    ratios = []
    for trial in range(TRIALS):
        torch.manual_seed(trial)
        block = TransitionDown(8, pooling="max", style=style).double()
        nn.init.constant_(block.norm.weight, weight)
        nn.init.constant_(block.norm.bias, bias)
        features = torch.randn(2, 8, 24, 20)

        def of_scale(block: nn.Module, *, bf16: bool, features: Tensor = features) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                made = block(features.to(next(block.parameters()).dtype))
            gradient = 1 + torch.linspace(-1, 1, made.numel()).view(made.shape)
            made.backward(gradient.to(made.dtype))
            return block.norm.weight.grad

        exact = of_scale(by_modules(block), bf16=False)
        block.float()
        plain = error(of_scale(by_modules(block), bf16=bf16), exact)
        ratios.append(error(of_scale(block, bf16=bf16), exact) / plain)
    assert median(ratios) < 4


@pytest.mark.parametrize("training", [False, True])
def test_in_bf16_errors_are_those_of_plain_modules(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    ratios: list[list[float]] = [[], [], [], []]
    for trial in range(TRIALS):
        network, _, images = random_networks(trial, mean=1, training=training)
        exact = logits_and_gradients(network, images.double())
        network.float()
        plain = logits_and_gradients(by_modules(network), images, bf16=True)
        ours = logits_and_gradients(network, images, bf16=True)
        for i in range(3):
            assert ours[i].dtype == plain[i].dtype
            ratios[i].append(error(ours[i], exact[i]) / error(plain[i], exact[i]))
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        assert logits.dtype == plain[0].dtype
        ratios[3].append(error(logits, exact[0]) / error(plain[0], exact[0]))
    assert max(median(each) for each in ratios) < 1.5


@pytest.mark.parametrize("bf16", [False, True])
def test_the_fused_way_is_the_one_that_is_tested(
    bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = fused.dense_block

    def counted(*args) -> Tensor:
        calls.append(args)
        return original(*args)

    network, _, images = random_networks(0, mean=0, training=True)
    monkeypatch.setattr(fused, "dense_block", counted)
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        network.float()(images)
    assert len(calls) == 5
