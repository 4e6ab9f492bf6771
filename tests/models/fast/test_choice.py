"""The choice of a way through a block: unusual blocks give what their `forward` gives."""

import copy
from collections.abc import Callable

import pytest
import torch
from paths import by_modules, memory_efficient
from tiny_networks import tiny_fcdensenet
from torch import Tensor, nn
from torch.func import functional_call

from tiramisu.models import DenseBlock, DenseNet, LayerStyle, TransitionDown
from tiramisu.models.blocks import DenseLayer
from tiramisu.models.fast import choice
from tiramisu.models.fcdensenet import UpsamplingPath

STYLE = LayerStyle(bias=True, eps=1e-4, dropout=0.0)


class Halved(nn.AvgPool2d):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) / 2


class SilentBlock(DenseBlock):
    def forward(self, stack: Tensor) -> Tensor:
        return super().forward(stack) * 0


class SilentPath(UpsamplingPath):
    def forward(self, stack: Tensor, skips: list[Tensor]) -> Tensor:
        return super().forward(stack, skips) * 0


def block() -> DenseBlock:
    return DenseBlock(4, num_layers=2, growth_rate=3, style=STYLE)


def transition() -> TransitionDown:
    return TransitionDown(4, pooling="average", style=STYLE)


def changed(module: nn.Module, **parts: nn.Module) -> nn.Module:
    for name, part in parts.items():
        module.set_submodule(name.replace("__", "."), part)
    return module


def norm_without(*names: str) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    for name in names:
        setattr(norm, name, None)
    return norm


def extended(module: nn.Module, part: nn.Module) -> nn.Module:
    module.add_module("more", part)
    return module


UNUSUAL: dict[str, Callable[[], nn.Module]] = {
    "a subclass": lambda: SilentBlock(4, num_layers=2, growth_rate=3, style=STYLE),
    "an added part": lambda: extended(transition(), nn.Tanh()),
    "a part added to a layer": lambda: changed(
        block(), denselayer1=extended(block().denselayer1, nn.Tanh())
    ),
    "no shift": lambda: changed(block(), denselayer1__norm1=norm_without("bias")),
    "no count": lambda: changed(block(), denselayer1__norm1=norm_without("num_batches_tracked")),
    "a wide convolution": lambda: changed(transition(), conv=nn.Conv2d(4, 4, 3, padding=1)),
    "another pooling": lambda: changed(transition(), pool=Halved(2)),
    "padded pooling": lambda: changed(transition(), pool=nn.AvgPool2d(3, 2, 1)),
    "another divisor": lambda: changed(transition(), pool=nn.AvgPool2d(2, divisor_override=3)),
    "two stages": lambda: changed(transition(), pool=nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())),
    "another order": lambda: changed(
        block(), denselayer1__norm1=nn.Conv2d(4, 4, 1), denselayer1__conv1=nn.Conv2d(4, 3, 1)
    ),
    "random slopes": lambda: changed(block(), denselayer1__relu1=nn.RReLU()),
}


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_blocks(name: str, training: bool, saving: bool) -> None:
    torch.manual_seed(0)
    module = UNUSUAL[name]().train(training)
    module.memory_efficient = saving
    plain = by_modules(module)
    results = []
    for network in (module, plain):
        torch.manual_seed(1)
        features = torch.randn(2, 4, 6, 8, requires_grad=True)
        out = network(features)
        out.square().sum().backward()
        results.append([out, features.grad, dict(network.named_buffers())])
    torch.testing.assert_close(*results)


def test_unusual_ways_up() -> None:
    stack, skips = torch.randn(2, 6, 4, 4), [torch.randn(2, 11, 16, 16), torch.randn(2, 14, 8, 8)]
    usual = tiny_fcdensenet().decoder.eval()
    silent = SilentPath(memory_efficient=False)
    longer = copy.deepcopy(usual)
    longer["more"] = DenseBlock(
        usual(stack, skips).shape[1], num_layers=1, growth_rate=3, style=STYLE
    )
    for name, part in usual.items():
        silent[name] = part
    for path in (usual, silent.eval(), longer.eval()):
        torch.testing.assert_close(path(stack, skips), path.forward(stack, skips))
        torch.testing.assert_close(path(stack, skips=skips), path.forward(stack, skips))
    with pytest.raises(RuntimeError):
        usual(stack, [skip.double() for skip in skips])


@pytest.mark.parametrize("kind", [DenseLayer, DenseBlock, TransitionDown, UpsamplingPath])
def test_a_replaced_forward_of_our_classes(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_fcdensenet().eval()
    images = torch.randn(1, 3, 16, 16)
    before = network(images)
    original = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, *inputs: original(self, *inputs) * 0.5)
    assert not torch.allclose(network(images), before)
    torch.testing.assert_close(network(images), by_modules(network)(images))


def test_another_number_of_channels_is_refused() -> None:
    for module in (block(), transition()):
        for training in (False, True):
            with pytest.raises((ValueError, RuntimeError)):
                module.train(training)(torch.randn(2, 1, 6, 6))


def test_dropout_changed_before_the_backward_pass() -> None:
    module = DenseBlock(
        4, num_layers=2, growth_rate=3, style=LayerStyle(bias=True, eps=1e-4, dropout=0.5)
    )
    gradients = []
    for later in (0.5, 0.0):
        torch.manual_seed(0)
        features = torch.ones(1, 4, 6, 6).cumsum(3).requires_grad_()
        out = module(features)
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = later
        out.sum().backward()
        gradients.append(features.grad)
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.5
    torch.testing.assert_close(*gradients)


class TestSavingMemory:
    """Networks that take the recomputing way on a CPU: not the fused one, because of SiLU."""

    @pytest.fixture
    def networks(self, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        network = tiny_fcdensenet(activation="silu").double()
        calls = []
        chosen = choice.choose_way

        def noted(*args) -> str:
            calls.append(chosen(*args))
            return calls[-1]

        monkeypatch.setattr(choice, "choose_way", noted)
        memory_efficient(network)(torch.randn(1, 3, 16, 16).double())
        assert set(calls) == {"recomputing", "fused"}  # fused: the transposed convolutions
        return memory_efficient(network), by_modules(network)

    def test_second_derivatives(self, networks) -> None:
        results = []
        for network in networks:
            images = torch.linspace(-1, 1, 3 * 256).double().view(1, 3, 16, 16).requires_grad_()
            (first,) = torch.autograd.grad(
                network(images).square().sum(), images, create_graph=True
            )
            results.append(
                torch.autograd.grad(first.square().sum(), [images, *network.parameters()])
            )
        torch.testing.assert_close(*results)

    def test_the_graph_may_be_walked_twice(self, networks) -> None:
        network = networks[0]
        out = network(torch.randn(1, 3, 16, 16).double()).sum()
        weights = list(network.parameters())
        first = torch.autograd.grad(out, weights, retain_graph=True)
        torch.testing.assert_close(torch.autograd.grad(out, weights), first)
        counts = [b for name, b in network.named_buffers() if name.endswith("num_batches_tracked")]
        assert set(map(int, counts)) == {1}

    def test_weights_of_the_call(self, networks) -> None:
        results = []
        for network in networks:
            weights = {
                name: (2 * p + 0.1).detach().requires_grad_()
                for name, p in network.named_parameters()
            }
            images = torch.linspace(-1, 1, 3 * 256).double().view(1, 3, 16, 16)
            out = functional_call(network, weights, images).square().sum()
            network.eval()  # what is repeated must not depend on it
            results.append(torch.autograd.grad(out, list(weights.values())))
        torch.testing.assert_close(*results)


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_compiled_networks_keep_hooks_and_subclasses(saving: bool, gradients: bool) -> None:
    torch.manual_seed(0)
    hooked = DenseNet(growth_rate=4, block_config=(2, 2), stem_width=6, num_classes=3)
    hooked.features.denseblock1.register_forward_hook(lambda module, inputs, out: out * 0)
    subclassed = DenseNet(growth_rate=4, block_config=(2, 2), stem_width=6, num_classes=3)
    subclassed.features.denseblock1 = SilentBlock(
        6, num_layers=2, growth_rate=4, bottleneck=4, style=STYLE
    )
    images = torch.randn(2, 3, 40, 40)
    for network in (hooked.eval(), subclassed.eval()):
        expected = by_modules(network)(images)
        network = memory_efficient(network) if saving else network
        torch._dynamo.reset()
        with torch.set_grad_enabled(gradients):
            compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
            torch.testing.assert_close(compiled(images), expected)
    torch._dynamo.reset()
