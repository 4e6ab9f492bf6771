"""The transposed 3x3 convolution of stride 2 on the CPU: the same numbers in less time.

It is the gradient of a convolution by its input, for which oneDNN has faster code, above all in
bf16. In the backward pass, the 3x3 gradients that a pixel has contributed to are gathered into one
row, piece by piece. Then both gradients are large matrix products.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.fast.plain_gradients import differentiate, is_differentiated
from tiramisu.models.fast.stages import (
    as_rows,
    split_pieces,
    sum_pixels,
    type_of_convolutions,
    undo_conv,
)

POINTWISE = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
"""A convolution of stride 1: not `F.conv2d`, which profilers take for a part of the network."""


def transposed_conv(features: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """(B, C, H, W) -> (B, K, 2H + 1, 2W + 1), channels-last."""
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
        read = features.to(ctx.dtype)
        made, _ = undo_conv(read, like, weight.to(ctx.dtype), stride=2, wanted=(True, False))
        return made if bias is None else made.add_(bias.to(ctx.dtype)[:, None, None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = inputs = ctx.saved_tensors
        if is_differentiated(gradient):

            def run(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                bias = None if bias is None else bias.to(ctx.dtype)
                read, weight = features.to(ctx.dtype), weight.to(ctx.dtype)
                return F.conv_transpose2d(read, weight, bias, stride=2)

            return tuple(differentiate(run, inputs, gradient))
        values = gradient.permute(0, 2, 3, 1).to(ctx.dtype)
        windows = values.unfold(1, 3, 2).unfold(2, 3, 2).permute(0, 1, 2, 4, 5, 3)
        read = features.permute(0, 2, 3, 1).to(ctx.dtype)  # (B, H, W, C)
        # (C, K, 3, 3) -> (C, 9 K, 1, 1)
        taps = weight.to(ctx.dtype).permute(0, 2, 3, 1).flatten(1)[..., None, None].contiguous()
        of_features = torch.empty_like(read, memory_format=torch.contiguous_format)
        of_taps = torch.zeros_like(taps, dtype=weight.dtype)
        for images, rows in split_pieces(read, channels=taps.shape[1]):
            piece = read[images, rows].permute(0, 3, 1, 2)
            window = windows[images, rows].flatten(3).permute(0, 3, 1, 2)
            of_piece = torch.convolution(window, taps, None, *POINTWISE)
            of_features[images, rows] = of_piece.permute(0, 2, 3, 1)
            _, of_taps_here = undo_conv(piece, window, taps, wanted=(False, True))
            of_taps += of_taps_here
        of_weight = of_taps.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        of_bias = None if bias is None else sum_pixels(as_rows(values), len(bias))
        return of_features.permute(0, 3, 1, 2).to(features.dtype), of_weight, of_bias
