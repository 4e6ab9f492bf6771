"""RMSprop as in the paper, which parameters decay, and the shape of every schedule."""

import pytest
import torch
from torch import nn

from tiramisu.models import build_model
from tiramisu.training.config import TrainConfig
from tiramisu.training.optim import PaperRMSprop, build_optimizer, lr_factor, split_parameters


def test_rmsprop_has_epsilon_inside_the_root() -> None:
    weight = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = PaperRMSprop([weight], lr=0.1, rho=0.9, eps=1e-6)
    expected, mean_square = [2.0, -1.0], [0.0, 0.0]
    for gradient in ([1e-5, 0.5], [2e-5, -0.25]):
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        for i, g in enumerate(gradient):
            mean_square[i] = 0.9 * mean_square[i] + 0.1 * g * g
            expected[i] -= 0.1 * g / (mean_square[i] + 1e-6) ** 0.5
    assert weight.tolist() == pytest.approx(expected, rel=1e-6)


def test_rmsprop_moves_like_gradient_descent_on_tiny_gradients() -> None:
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.tensor([1e-7])
    PaperRMSprop([weight], lr=1.0).step()
    # sqrt(eps) is 1e-3; torch's RMSprop would move by about 3 here.
    assert weight.item() == pytest.approx(-1e-4, rel=1e-3)


def test_rmsprop_adds_decay_to_the_gradient() -> None:
    decayed, plain = (nn.Parameter(torch.tensor([3.0])) for _ in range(2))
    decayed.grad, plain.grad = torch.tensor([0.0]), torch.tensor([3.0 * 2e-4])
    PaperRMSprop([decayed], weight_decay=2e-4).step()
    PaperRMSprop([plain]).step()
    assert decayed.item() == plain.item() < 3


@pytest.mark.parametrize("decay_norms", [False, True])
def test_only_weights_and_if_asked_norm_scales_decay(decay_norms: bool) -> None:
    network = build_model("fc56", num_classes=3)
    decayed, plain = split_parameters(network, decay_norms=decay_norms)
    assert len(decayed) + len(plain) == len(list(network.parameters()))
    names = {id(p): name for name, p in network.named_parameters()}
    decayed_names = {names[id(p)] for p in decayed}
    assert "features.conv0.weight" in decayed_names
    assert ("features.denseblock1.denselayer1.norm1.weight" in decayed_names) == decay_norms
    assert not any(name.endswith("bias") for name in decayed_names)


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "adamw"])
def test_every_optimiser_learns(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    optimizer = build_optimizer(network, TrainConfig(optimizer=name, lr=0.01))
    x = torch.randn(64, 4)
    y = x.sum(dim=1, keepdim=True)
    losses = []
    for _ in range(200):
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def factors(epochs: int = 10, **changes) -> list[float]:
    config = TrainConfig(**changes)
    return [lr_factor(config, epoch=e, epochs=epochs) for e in range(epochs + 1)]


def test_schedules() -> None:
    assert factors(schedule="constant") == [1.0] * 11
    assert factors(schedule="exponential", lr_decay=0.5)[:4] == [1, 0.5, 0.25, 0.125]
    assert factors(schedule="cosine")[0] == 1
    assert factors(schedule="cosine")[5] == pytest.approx(0.5)
    assert factors(schedule="cosine")[-1] == pytest.approx(0)
    assert factors(schedule="poly", poly_power=2)[5] == pytest.approx(0.25)
    onecycle = factors(schedule="onecycle")
    assert onecycle[0] == pytest.approx(1 / 25)
    assert max(onecycle) == onecycle[3] == 1
    assert onecycle[-1] == pytest.approx(0)


def test_exponential_is_a_staircase_of_epochs() -> None:
    config = TrainConfig(schedule="exponential", lr_decay=0.5)
    steps = [lr_factor(config, epoch=step / 7, epochs=3) for step in range(21)]
    assert steps == [1.0] * 7 + [0.5] * 7 + [0.25] * 7


def test_warm_up_rises_to_the_peak() -> None:
    warm = factors(schedule="cosine", warmup_epochs=4)
    assert warm[0] == pytest.approx(0.01)
    assert warm[:5] == sorted(warm[:5])
    assert warm[4] == 1
    assert warm[4:] == sorted(warm[4:], reverse=True)
