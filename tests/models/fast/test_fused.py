"""The CPU's fused path and the memory-efficient one: equal to the modules run one by one."""

from collections.abc import Callable

import pytest
import torch
from paths import by_modules, memory_efficient
from tiny_networks import tiny_fcdensenet
from torch import Tensor, nn

from tiramisu.models import DenseNet, LayerStyle, build_model
from tiramisu.models.blocks import DenseBlock, DenseLayer, TransitionDown
from tiramisu.models.fast import buffers, choice, fused


def classifier() -> nn.Module:
    return DenseNet(growth_rate=4, block_config=(2, 3), stem_width=6, num_classes=5)


@pytest.fixture(params=[tiny_fcdensenet, classifier])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    network = request.param().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Gammas of both signs, and a running mean and variance that are not the batch's.
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def two_steps(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Logits, all gradients and all buffers after two passes there and back."""
    images = images.clone().requires_grad_()
    for _ in range(2):
        logits = network(images)
        logits.square().mean().backward()
    found = {"logits": logits.detach(), "images": images.grad}
    found |= {name: parameter.grad for name, parameter in network.named_parameters()}
    return found | dict(network.named_buffers())


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fused functions' calls, as they come."""
    calls: list[str] = []
    for name in ("dense_block", "norm_relu_conv"):
        original = getattr(fused, name)

        def counted(*args: object, name: str = name, original: Callable = original) -> Tensor:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(fused, name, counted)
    return calls


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("piece_bytes", [2000, 2**22])
def test_fused_equals_modules(network, training, piece_bytes, monkeypatch) -> None:
    monkeypatch.setattr(buffers, "PIECE_BYTES", piece_bytes)
    calls = count_calls(monkeypatch)
    images = torch.randn(3, 3, 37, 42).double()
    network.train(training)
    expected = two_steps(by_modules(network), images)
    assert not calls
    torch.testing.assert_close(two_steps(network, images), expected)
    # DenseNet's transitions pool first when they only predict, and have no stage to run then.
    pools_first = isinstance(network, DenseNet) and not training
    assert set(calls) == {"dense_block", *([] if pools_first else ["norm_relu_conv"])}


@pytest.mark.parametrize("training", [True, False])
def test_fused_in_bf16_equals_modules(network, training, monkeypatch) -> None:
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    calls = count_calls(monkeypatch)
    images = torch.randn(3, 3, 37, 42)
    network.float().train(training)
    plain, exact = by_modules(network), by_modules(network).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = two_steps(plain, images)
        assert not calls
        found = two_steps(network, images)
    assert calls
    right = two_steps(exact, images.double())
    for name, value in found.items():
        assert value.dtype == expected[name].dtype
        # A bias before a batch norm has no gradient, only noise.
        size = right[name].double().norm() + 1e-3
        difference = (value.double() - expected[name].double()).norm() / size
        noise = (expected[name].double() - right[name].double()).norm() / size
        assert difference < 0.02 + 3 * noise, name


@pytest.mark.parametrize("build", [tiny_fcdensenet, classifier])
def test_autocast_around_the_backward_pass_is_as_with_plain_modules(build) -> None:
    torch.manual_seed(0)
    network = build().eval()
    images = torch.randn(1, 3, 20, 24, requires_grad=True)
    slopes = []
    for either in (network, by_modules(network)):
        value = either(images).square().sum()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            slopes += torch.autograd.grad(value, images, create_graph=True)
    torch.testing.assert_close(*slopes)


def test_second_derivatives_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    torch.manual_seed(0)
    network = tiny_fcdensenet(dropout=0).eval()
    images = torch.randn(2, 3, 20, 24)

    def penalty(network: nn.Module) -> list[Tensor]:
        given = images.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = network(given).float().square().mean()
        (slope,) = torch.autograd.grad(value, given, create_graph=True)
        weights = [p for p in network.parameters() if p.ndim > 1]
        return list(torch.autograd.grad(slope.square().sum(), weights))

    for ours, plain in zip(penalty(network), penalty(by_modules(network)), strict=True):
        assert (ours - plain).norm() < 0.1 * plain.norm()


@pytest.fixture
def not_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, the memory-efficient way is taken only where the fused one is not."""
    monkeypatch.setattr(choice, "_suits_fused", lambda features: False)


@pytest.mark.usefixtures("not_fused")
@pytest.mark.parametrize("training", [True, False])
def test_memory_efficient_equals_modules(network, training) -> None:
    images = torch.randn(2, 3, 37, 42).double()
    network.train(training)
    expected = two_steps(by_modules(network), images)
    torch.testing.assert_close(two_steps(memory_efficient(network), images), expected)


@pytest.mark.usefixtures("not_fused")
def test_memory_efficient_honours_a_replaced_activation() -> None:
    network = tiny_fcdensenet(dropout=0)
    for layer in network.modules():
        if isinstance(layer, DenseLayer):
            layer.relu1 = nn.SiLU()
    images = torch.randn(2, 3, 37, 42)
    expected = network(images)
    torch.testing.assert_close(memory_efficient(network)(images), expected)


@pytest.mark.usefixtures("not_fused")
def test_memory_efficient_recomputes_no_convolution(monkeypatch) -> None:
    network = memory_efficient(tiny_fcdensenet(dropout=0))
    count = 0
    original = nn.Conv2d._conv_forward  # `forward` itself, if replaced, keeps this way off

    def counted(self: nn.Conv2d, *args: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return original(self, *args)

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", counted)
    logits = network(torch.randn(2, 3, 20, 20))
    in_forward = count
    logits.sum().backward()
    # Recomputation reaches each convolution's door, and stops there.
    tried = sum(isinstance(m, DenseLayer | TransitionDown) for m in network.modules())
    assert 0 < count - in_forward <= tried
    assert in_forward == sum(isinstance(m, nn.Conv2d) for m in network.modules())


@pytest.mark.usefixtures("not_fused")
@pytest.mark.parametrize("compiled", [False, True])
def test_memory_efficient_in_bfloat16(compiled: bool) -> None:
    torch.manual_seed(0)
    network = tiny_fcdensenet(dropout=0)
    ordinary, efficient = by_modules(network), memory_efficient(network)
    if compiled:
        efficient.compile(backend="aot_eager")
    images = torch.randn(2, 3, 20, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, found = two_steps(ordinary, images), two_steps(efficient, images)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.01)
    steps = [value for name, value in found.items() if "num_batches" in name]
    assert steps
    assert all(value == 2 for value in steps)


def test_memory_efficient_is_an_option_of_every_network() -> None:
    for arch in ("fc56", "densenet121"):
        for chosen in (False, True):
            network = build_model(arch, num_classes=3, memory_efficient=chosen)
            parts = [m for m in network.modules() if isinstance(m, DenseBlock | TransitionDown)]
            assert {part.memory_efficient for part in parts} == {chosen}


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_statistics_follow_the_momentum(momentum: float | None) -> None:
    network = tiny_fcdensenet(dropout=0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    slow = by_modules(network)
    for _ in range(3):
        images = torch.randn(2, 3, 21, 24)
        network(images), slow(images)
    torch.testing.assert_close(dict(network.named_buffers()), dict(slow.named_buffers()))


def test_frozen_batch_norm_among_learning_layers(network) -> None:
    for name, module in network.named_modules():
        if name.endswith(("denselayer1.norm1", "denselayer2.norm2")):
            module.eval()
    images = torch.randn(2, 3, 33, 40).double()
    expected = two_steps(by_modules(network), images)
    torch.testing.assert_close(two_steps(network, images), expected)


def test_batch_statistics_without_running_ones(network) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    network.eval()
    images = torch.randn(2, 3, 33, 40).double()
    torch.testing.assert_close(network(images), by_modules(network)(images))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_bottleneck_with_biases_without_gradients(training: bool, wide: bool) -> None:
    style = LayerStyle(bias=True, eps=1e-4, dropout=0)
    block = DenseBlock(4, num_layers=3, growth_rate=3, bottleneck=4, style=style).double()
    if wide:
        block.denselayer2.conv1 = nn.Conv2d(7, 12, 3, padding=1).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    block.train(training)
    features = torch.randn(2, 4, 9, 7).double()
    expected = by_modules(block)(features)
    with torch.no_grad():
        torch.testing.assert_close(block(features), expected)


def test_each_norm_keeps_its_epsilon_without_gradients(network) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for index, norm in enumerate(norms):
        norm.eps = 0.1 * (index + 1)
    network.eval()
    images = torch.randn(1, 3, 40, 40).double()
    with torch.no_grad():
        torch.testing.assert_close(network(images), by_modules(network)(images))


def test_dropout_scales_what_it_keeps() -> None:
    torch.manual_seed(0)
    style = LayerStyle(bias=True, eps=1e-4, dropout=0.3)
    block = DenseBlock(4, num_layers=1, growth_rate=8, style=style)
    features = torch.randn(2, 4, 64, 64)
    layer = block.denselayer1
    without = block.eval()(features)[:, 4:]
    layer.dropout1.train()
    new = block(features)[:, 4:]
    kept = new != 0
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)
    torch.testing.assert_close(new[kept], without[kept] / 0.7)
    # What was dropped passes no gradient back.
    layer.conv1.bias.grad = None
    new.sum().backward()
    torch.testing.assert_close(layer.conv1.bias.grad, kept.sum(dim=(0, 2, 3)) / 0.7)


def test_weights_changed_before_the_backward_pass_are_noticed(network) -> None:
    logits = network(torch.randn(2, 3, 33, 40).double())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.sum().backward()


def test_graph_may_be_walked_twice(network) -> None:
    logits = network(torch.randn(2, 3, 33, 40).double())
    weight = next(network.parameters())
    first = torch.autograd.grad(logits.sum(), weight, retain_graph=True)
    second = torch.autograd.grad(logits.sum(), weight)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    "reason",
    [
        "hook",
        "hook on a layer",
        "replaced",
        "replaced layer",
        "dilated",
        "fp16",
        "one value",
    ],
)
def test_the_fused_path_steps_aside(reason: str, monkeypatch) -> None:
    calls = count_calls(monkeypatch)
    style = LayerStyle(bias=True, eps=1e-4, dropout=0)
    block = DenseBlock(4, num_layers=2, growth_rate=3, style=style).eval()
    features = torch.randn(1, 4, 1 if reason == "one value" else 6, 1)
    block(features.expand(1, 4, -1, 5))
    assert calls == ["dense_block"]
    seen = []
    if reason == "hook":
        block.denselayer2.relu1.register_forward_hook(lambda *_: seen.append(1))
    if reason == "hook on a layer":
        block.denselayer2.register_forward_hook(lambda *_: seen.append(1))
    if reason == "replaced":
        block.denselayer2.relu1 = nn.SiLU()
    if reason == "replaced layer":
        block.denselayer2 = nn.Conv2d(7, 3, 1)
        block.denselayer2.forward = lambda *stack: torch.cat(stack, 1)[:, :3]
    if reason == "dilated":
        block.denselayer2.conv1.dilation = block.denselayer2.conv1.padding = (2, 2)
    with torch.autocast("cpu", dtype=torch.float16, enabled=reason == "fp16"):
        block(features)
    assert calls == ["dense_block"]
    assert bool(seen) == reason.startswith("hook")


@pytest.mark.parametrize("piece_bytes", [2000, 2**22])
def test_inference_mode_and_odd_layouts(network, piece_bytes, monkeypatch) -> None:
    monkeypatch.setattr(buffers, "PIECE_BYTES", piece_bytes)
    images = torch.randn(2, 3, 45, 38).double()
    network.eval()
    expected = by_modules(network)(images)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), expected)
        flipped = images.flip(3).contiguous(memory_format=torch.channels_last).flip(3)
        torch.testing.assert_close(network(flipped), expected)
