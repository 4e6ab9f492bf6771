"""The transposed 3x3 convolution of stride 2 on the CPU: the same numbers in less time.

It is the gradient of a convolution by its input, for which oneDNN has faster code, above all in
bf16. Its own gradients are then a convolution, and the gradient of one by its weight.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.fast.buffers import check_width, convert, type_of_convolutions
from tiramisu.models.fast.plain_gradients import differentiate, is_differentiated
from tiramisu.models.fast.stages import undo_conv

STRIDE_2 = ([2, 2], [0, 0], [1, 1], False, [0, 0], 1)
"""A convolution of stride 2: not `F.conv2d`, which profilers take for a part of the network."""


def transposed_conv(features: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """(B, C, H, W) -> (B, K, 2H + 1, 2W + 1), channels-last."""
    check_width([features], conv.in_channels)
    made: Tensor = _TransposedConv.apply(features, conv.weight, conv.bias)
    return made


class _TransposedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, weight, bias)
        ctx.dtype = type_of_convolutions(weight)
        batch, _, height, width = features.shape
        shape = batch, weight.shape[1], 2 * height + 1, 2 * width + 1
        like = torch.empty(shape, dtype=ctx.dtype, memory_format=torch.channels_last)
        read, (kernel, constant) = features.to(ctx.dtype), convert(weight, bias, ctx.dtype)
        made, _ = undo_conv(read, like, kernel, stride=2, wanted=(True, False))
        return made if constant is None else made.add_(constant[:, None, None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = inputs = ctx.saved_tensors
        if is_differentiated(gradient):

            def run(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                weight, bias = convert(weight, bias, ctx.dtype)
                return F.conv_transpose2d(features.to(ctx.dtype), weight, bias, stride=2)

            return tuple(differentiate(run, inputs, gradient))
        values = gradient.to(ctx.dtype, memory_format=torch.channels_last)
        kernel = weight.to(ctx.dtype)
        of_features = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_features = torch.convolution(values, kernel, None, *STRIDE_2).to(features.dtype)
        if ctx.needs_input_grad[1]:
            read = features.to(ctx.dtype)
            _, of_kernel = undo_conv(read, values, kernel, stride=2, wanted=(False, True))
            of_weight = of_kernel.to(weight.dtype)
        if bias is not None and ctx.needs_input_grad[2]:
            of_bias = values.sum(dim=(0, 2, 3), dtype=bias.dtype)
        return of_features, of_weight, of_bias
