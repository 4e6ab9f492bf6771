"""The transposed convolution on the CPU: equal to PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from paths import by_modules
from torch import Tensor, nn

from tiramisu.models.blocks import TransitionUp
from tiramisu.models.fast import choice
from tiramisu.models.fast.transposed import transposed_conv


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients(bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(5, 4, 3, stride=2, bias=bias).double()
    features = torch.randn(3, 5, 6, 9).double().requires_grad_()
    inputs = [features, *conv.parameters()]
    found = transposed_conv(features, conv)
    expected = F.conv_transpose2d(features, conv.weight, conv.bias, stride=2)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
    )


@pytest.mark.parametrize("frozen", ["features", "weight", "bias"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    conv = nn.ConvTranspose2d(5, 4, 3, stride=2)
    inputs = {"features": torch.randn(3, 5, 6, 9).requires_grad_(), **dict(conv.named_parameters())}
    inputs[frozen].requires_grad_(False)
    transposed_conv(inputs["features"], conv).sum().backward()
    assert [name for name, tensor in inputs.items() if tensor.grad is None] == [frozen]


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="the features have 4 channels; expected 8"):
        TransitionUp(8)(torch.randn(2, 4, 6, 9), torch.zeros(2, 3, 12, 18))


def test_second_derivatives() -> None:
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 2, 3, stride=2).double()
    features = torch.randn(1, 3, 4, 3).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: transposed_conv(x, conv).square(), features)


@pytest.mark.parametrize("size", [(12, 18), (13, 19)])
def test_in_bf16_it_is_as_exact_as_pytorch(size: tuple[int, int], monkeypatch) -> None:
    monkeypatch.setattr(choice, "_computes_in_bf16", lambda: True)
    torch.manual_seed(0)
    block, skip = TransitionUp(8), torch.zeros(2, 3, *size)
    features = torch.randn(2, 10, 6, 9)

    def run(block: nn.Module, *, bf16: bool = True) -> list[Tensor]:
        given = features.to(next(block.parameters()).dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            made = block(given, skip)
        made.float().square().sum().backward()
        return [made, given.grad, *(p.grad for p in block.parameters())]

    plain = by_modules(block)
    exact = run(by_modules(block).double(), bf16=False)
    for ours, expected, right in zip(run(block), run(plain), exact, strict=True):
        assert ours.dtype == expected.dtype
        assert ours.shape == expected.shape
        assert (ours - right).norm() < 1.5 * (expected - right).norm() + 1e-3 * right.norm()


def test_another_transposed_convolution_is_left_to_pytorch() -> None:
    block = TransitionUp(4).double()
    ways = []
    for stride in (2, 3):
        block.conv.stride = (stride, stride)
        ways.append(choice.choose_way(block, [torch.randn(1, 4, 5, 5).double()] * 2))
    assert ways == ["fused", "plain"]
