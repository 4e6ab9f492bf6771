"""Dense blocks for inference: batch norm is fixed, and no gradient is needed.

As in `fused`, layers write into one channels-last buffer, piece by piece. In addition, the second
BN of a bottleneck becomes part of its first convolution, and the features between its two
convolutions stay in the cache.

Tensors here are (B, H, W, C): the order of channels-last memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.fast.stages import Stage, new_stack, split_pieces, uses_batch


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
    """The stack (B, H, W, C + L * k) of a dense block; arguments as for `fused.dense_block`."""
    stack, width = new_stack(features, layers)
    scales_and_shifts = _fold([stage.norm for layer in layers for stage in layer])
    for layer in layers:
        end = width + layer[-1].conv.out_channels
        folded = [next(scales_and_shifts) for _ in layer]
        _run_layer(layer, folded, stack[..., :width], out=stack[..., width:end])
        width = end
    return stack


def _run_layer(
    layer: Sequence[Stage], folded: Sequence[tuple[Tensor, Tensor]], source: Tensor, *, out: Tensor
) -> None:
    """Compute the new features (B, H, W, k) of a layer from the stack so far."""
    scale, shift = folded[0]
    conv = layer[-1].conv
    if len(layer) == 2:
        narrowing = layer[0].conv
        scale_narrow, shift_narrow = folded[1]
        weight = narrowing.weight * scale_narrow[:, None, None, None]
        if narrowing.bias is not None:
            shift_narrow = torch.addcmul(shift_narrow, narrowing.bias, scale_narrow)
    margin = conv.kernel_size[0] // 2
    height = source.shape[1]
    for images, rows in split_pieces(source):
        top, bottom = max(rows.start - margin, 0), min(rows.stop + margin, height)
        seen = source[images, top:bottom]
        piece = torch.addcmul(shift, seen, scale, out=seen.new_empty(seen.shape)).relu_()
        piece = piece.permute(0, 3, 1, 2)
        if len(layer) == 2:
            piece = F.conv2d(piece, weight, shift_narrow).relu_()
        # Zeros only beyond the border of the image; elsewhere the piece has more rows around it.
        above, below = top - (rows.start - margin), rows.stop + margin - bottom
        if above != below:
            piece = F.pad(piece, (0, 0, above, below))
        padding = (above if above == below else 0, margin)
        new = F.conv2d(piece, conv.weight, conv.bias, padding=padding)
        out[images, rows] = new.permute(0, 2, 3, 1)


def _fold(norms: Sequence[nn.BatchNorm2d]) -> Iterator[tuple[Tensor, Tensor]]:
    """Scale and shift, (C,) each, that stand for a batch norm with its running statistics.

    All norms are computed together, because for small images each operation on such small tensors
    takes noticeable time.
    """
    weight, bias, mean, variance = (
        torch.cat([getattr(norm, name) for norm in norms])
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight * torch.rsqrt(variance + norms[0].eps)
    shift = torch.addcmul(bias, mean, scale, value=-1)
    widths = [norm.num_features for norm in norms]
    return zip(torch.split(scale, widths), torch.split(shift, widths), strict=True)
