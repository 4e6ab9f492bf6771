import pytest
import torch
from torch import nn

from tiramisu.models import DenseBlock, DenseLayer, LayerStyle, TransitionDown, TransitionUp

PLAIN = LayerStyle(bias=True, eps=1e-4, dropout=0.0)


def names(module: nn.Module) -> list[str]:
    return [name for name, child in module.named_children() if not isinstance(child, nn.Dropout)]


def test_dense_layer_has_torchvisions_names() -> None:
    plain = DenseLayer(8, growth_rate=4, style=PLAIN)
    assert names(plain) == ["norm1", "relu1", "conv1"]
    bottleneck = DenseLayer(8, growth_rate=4, bottleneck=4, style=PLAIN)
    assert names(bottleneck) == ["norm1", "relu1", "conv1", "norm2", "relu2", "conv2"]
    assert bottleneck.conv1.out_channels == 16


@pytest.mark.parametrize("bottleneck", [None, 4])
def test_dense_block_returns_its_input_then_each_layers_features(bottleneck: int | None) -> None:
    block = DenseBlock(6, num_layers=3, growth_rate=4, bottleneck=bottleneck, style=PLAIN)
    assert (block.in_channels, block.new_channels, block.out_channels) == (6, 12, 18)
    x = torch.randn(2, 6, 5, 7)
    out = block.eval()(x)
    assert out.shape == (2, 18, 5, 7)
    assert torch.equal(out[:, :6], x)
    # Each layer reads exactly what is stacked before its own features.
    for i, layer in enumerate(block.children()):
        before = 6 + 4 * i
        torch.testing.assert_close(out[:, before : before + 4], layer(out[:, :before]))


def test_dense_block_leaves_its_input_alone() -> None:
    x = torch.randn(2, 6, 4, 4)
    before = x.clone()
    DenseBlock(6, num_layers=2, growth_rate=4, style=PLAIN)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("pooling", "pool"), [("max", nn.functional.max_pool2d), ("average", nn.functional.avg_pool2d)]
)
def test_transition_down_pools_and_compresses(pooling, pool) -> None:
    transition = TransitionDown(9, compression=0.5, pooling=pooling, style=PLAIN).eval()
    assert transition.out_channels == 4
    x = torch.randn(2, 9, 7, 10)
    out = transition(x)
    assert out.shape == (2, 4, 3, 5)
    expected = pool(transition.conv(torch.relu(transition.norm(x))), 2)
    torch.testing.assert_close(out, expected)


def test_transition_down_leaves_a_channel() -> None:
    with pytest.raises(ValueError, match=r"compression is 0\.1.* none of 9 .*above 1 / 9, or give"):
        TransitionDown(9, compression=0.1, pooling="average", style=PLAIN)
    assert TransitionDown(9, compression=0.12, pooling="average", style=PLAIN).out_channels == 1


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 8), (6, 9), (7, 9)])
def test_transition_up_meets_the_skip(height: int, width: int) -> None:
    transition = TransitionUp(5)
    skip = torch.randn(2, 3, height, width)
    stack = torch.randn(2, 8, height // 2, width // 2)
    out = transition(stack, skip)
    assert out.shape == (2, 5, height, width)
    assert torch.equal(out, transition.conv(stack[:, 3:])[:, :, :height, :width])


def test_dropout_drops_single_elements() -> None:
    torch.manual_seed(0)
    style = LayerStyle(bias=True, eps=1e-4, dropout=0.5)
    transition = TransitionDown(4, pooling="max", style=style)
    transition.pool = nn.Identity()  # the maximum would hide the zeros
    for part in (
        DenseLayer(4, growth_rate=8, style=style),
        DenseLayer(4, growth_rate=8, bottleneck=4, style=style),
        transition,
    ):
        x = torch.randn(2, 4, 16, 16)
        dropped = (part.train()(x) == 0).float().mean(dim=(2, 3))
        # Dropout2d would make every channel's share exactly 0 or 1.
        assert dropped.min() > 0.3
        assert dropped.max() < 0.7
        assert not (part.eval()(x) == 0).any()


def test_style_sets_bias_and_epsilon() -> None:
    for bias, eps in ((True, 1e-4), (False, 1e-5)):
        style = LayerStyle(bias=bias, eps=eps, dropout=0.0)
        block = DenseBlock(4, num_layers=2, growth_rate=4, bottleneck=4, style=style)
        transition = TransitionDown(4, pooling="average", style=style)
        for module in (*block.modules(), *transition.modules()):
            if isinstance(module, nn.BatchNorm2d):
                assert module.eps == eps
            if isinstance(module, nn.Conv2d):
                assert (module.bias is not None) == bias


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 20])
def test_style_refuses_an_impossible_dropout(dropout: float) -> None:
    with pytest.raises(ValueError, match="expected at least 0 and below 1"):
        LayerStyle(bias=True, eps=1e-4, dropout=dropout)
