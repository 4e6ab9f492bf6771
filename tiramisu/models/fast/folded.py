"""Dense blocks for inference: batch norm is fixed, and no gradient is needed.

As in `fused`, layers write into one channels-last buffer, piece by piece. In addition, the second
BN of a bottleneck becomes part of its first convolution, and the features between its two
convolutions stay in the cache. For torch.compile a block is one operation, which it does not look
into: what it would make of the layers is slower.

Tensors here are (B, H, W, C): the order of channels-last memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.models.fast.buffers import convert, new_stack, split_pieces, type_of_convolutions
from tiramisu.models.fast.stages import Stage, uses_batch


def suits(layers: Sequence[Sequence[Stage]]) -> bool:
    """Whether this path can be used: no gradient, no batch statistics, no active dropout."""
    if torch.is_grad_enabled():
        return False
    # The 1x1 convolution of a bottleneck may have been replaced by a larger one.
    if any(stage.conv.kernel_size != (1, 1) for layer in layers for stage in layer[:-1]):
        return False
    stages = [stage for layer in layers for stage in layer]
    return len({stage.norm.eps for stage in stages}) == 1 and not any(
        uses_batch(norm) or (dropout.training and dropout.p > 0) for norm, _, _, dropout in stages
    )


def run_layers(features: Sequence[Tensor], layers: Sequence[Sequence[Stage]]) -> Tensor:
    """The stack (B, C + L * k, H, W) of a dense block; arguments as for `fused.dense_block`."""
    tensors = [
        tensor
        for layer in layers
        for norm, _, conv, _ in layer
        for tensor in (
            norm.weight,
            norm.bias,
            norm.running_mean,
            norm.running_var,
            conv.weight,
            conv.bias,
        )
    ]
    run = _as_one_operation if torch.compiler.is_compiling() else _run_layers
    return run(features, tensors, len(layers[0]), layers[0][0].norm.eps)


class _Weights(NamedTuple):
    """The tensors of a stage."""

    norm_weight: Tensor
    norm_bias: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor
    """Of the convolution, (K, C, 1, 1) or (K, C, 3, 3)."""
    bias: Tensor | None


def _run_layers(
    features: Sequence[Tensor], tensors: Sequence[Tensor | None], depth: int, eps: float
) -> Tensor:
    """The stack; `tensors` are those of `_Weights`, for each stage of each layer.

    Args:
        depth: number of stages of a layer.
    """
    stages = [_Weights._make(tensors[i : i + 6]) for i in range(0, len(tensors), 6)]
    layers = [stages[i : i + depth] for i in range(0, len(stages), depth)]
    new_channels = sum(len(layer[-1].weight) for layer in layers)
    dtype = type_of_convolutions(stages[0].weight)
    stack, width = new_stack(features, new_channels, dtype)
    scales_and_shifts = _fold(stages, eps)
    for layer in layers:
        end = width + len(layer[-1].weight)
        folded = [next(scales_and_shifts) for _ in layer]
        _run_layer(layer, folded, stack[..., :width], out=stack[..., width:end])
        width = end
    return stack.permute(0, 3, 1, 2)


@torch.library.custom_op("tiramisu::dense_block", mutates_args=())
def _as_one_operation(
    features: Sequence[Tensor], tensors: Sequence[Tensor | None], depth: int, eps: float
) -> Tensor:
    return _run_layers(features, tensors, depth, eps)


@_as_one_operation.register_fake
def _(features: Sequence[Tensor], tensors: Sequence[Tensor], depth: int, eps: float) -> Tensor:
    new_channels = sum(weight.shape[0] for weight in tensors[6 * depth - 2 :: 6 * depth])
    return new_stack(features, new_channels, features[0].dtype)[0].permute(0, 3, 1, 2)


def _run_layer(
    layer: Sequence[_Weights],
    folded: Sequence[tuple[Tensor, Tensor]],
    source: Tensor,
    *,
    out: Tensor,
) -> None:
    """Compute the new features (B, H, W, k) of a layer from the stack so far."""
    scale, shift = folded[0]
    last = layer[-1]
    dtype = type_of_convolutions(last.weight)
    last_weight, last_bias = convert(last.weight, last.bias, dtype)
    if len(layer) == 2:
        narrowing = layer[0]
        scale_narrow, shift_narrow = folded[1]
        weight = narrowing.weight * scale_narrow[:, None, None, None]
        if narrowing.bias is not None:
            shift_narrow = torch.addcmul(shift_narrow, narrowing.bias, scale_narrow)
        weight, bias = convert(weight, shift_narrow, dtype)
    margin = last.weight.shape[2] // 2
    height = source.shape[1]
    for images, rows in split_pieces(source):
        top, bottom = max(rows.start - margin, 0), min(rows.stop + margin, height)
        seen = source[images, top:bottom]
        piece = torch.addcmul(shift, seen, scale).relu_().to(dtype).permute(0, 3, 1, 2)
        if len(layer) == 2:
            piece = F.conv2d(piece, weight, bias).relu_()
        # Zeros only beyond the border of the image; elsewhere the piece has more rows around it.
        above, below = top - (rows.start - margin), rows.stop + margin - bottom
        if above != below:
            piece = F.pad(piece, (0, 0, above, below))
        padding = (above if above == below else 0, margin)
        new = F.conv2d(piece, last_weight, last_bias, padding=padding)
        out[images, rows] = new.permute(0, 2, 3, 1)


def _fold(stages: Sequence[_Weights], eps: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Scale and shift, (C,) each, that stand for a batch norm with its running statistics.

    All norms are computed together, because for small images each operation on such small tensors
    takes noticeable time.
    """
    weight, bias, mean, variance = (
        torch.cat(tensors) for tensors in list(zip(*stages, strict=True))[:4]
    )
    scale = weight * torch.rsqrt(variance + eps)
    shift = torch.addcmul(bias, mean, scale, value=-1)
    widths = [len(stage.norm_weight) for stage in stages]
    return zip(torch.split(scale, widths), torch.split(shift, widths), strict=True)
