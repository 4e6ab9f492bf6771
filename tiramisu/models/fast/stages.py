"""One stage of a dense layer, forward and backward, in pieces that fit into the cache.

Tensors here are (B, H, W, C): the order of channels-last memory. Under autocast, convolutions run
in bf16 and their outputs are kept in it; what lies between them, and all sums, are in fp32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiramisu.models.fast.buffers import (
    Features,
    Gradients,
    convert,
    split_pieces,
    sum_pixels,
    type_of_convolutions,
)

SMALLEST = 0.5
"""Weight of batch norm, for a bias of 0, that makes its gradient precise if it is divided by it."""


class Stage(NamedTuple):
    """BN, ReLU, convolution and dropout: the modules with their weights and settings."""

    norm: nn.BatchNorm2d
    relu: nn.Module
    conv: nn.Conv2d
    dropout: nn.Dropout

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The parameters, in the order in which `undo_stage` returns their gradients."""
        return self.norm.weight, self.norm.bias, self.conv.weight, self.conv.bias


def split_stages(parts: Iterable[nn.Module]) -> list[Stage]:
    """The modules of a dense layer as one stage, or two with a bottleneck."""
    modules = list(parts)
    return [Stage._make(modules[i : i + 4]) for i in range(0, len(modules), 4)]


class Step(NamedTuple):
    """What the backward pass of a stage needs."""

    source: Tensor
    """Input of the stage, (B, H, W, C)."""
    scale: Tensor
    """(C,); BN is (source - mean) * scale + bias."""
    bias: Tensor
    mean: Tensor
    """(C,), of the batch or the running average."""
    inverse_std: Tensor
    weight: Tensor
    """Weight of the convolution, (K, C, 1, 1) or (K, C, 3, 3), in the type it was computed in."""
    kept: Tensor | None
    """1 for the new features that dropout has kept, otherwise 0: uint8 (B, H, W, K)."""
    from_batch: bool
    """Whether mean and standard deviation are those of the batch."""
    dropout: float
    """Probability of dropout."""


def run_stage(stage: Stage, features: Features, width: int) -> tuple[Tensor, Step]:
    """Compute new features (B, H, W, K) from the first `width` channels of others."""
    norm, _, conv, dropout = stage
    source = features.values[..., :width]
    from_batch = uses_batch(norm)
    if from_batch:
        mean, variance = features.mean[:width], features.variance[:width]
        _update_running_statistics(norm, mean, variance, source[..., 0].numel())
    else:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    inverse_std = torch.rsqrt(variance + norm.eps)
    scale = norm.weight * inverse_std
    shift = _shift(norm.bias, mean, scale)

    dtype = type_of_convolutions(conv.weight)
    weight, bias = convert(conv.weight, conv.bias, dtype)
    out = weight.new_empty(*source.shape[:3], conv.out_channels)
    kept = _draw(out.shape, dropout.p) if dropout.training and dropout.p > 0 else None
    margin = conv.kernel_size[0] // 2
    for images, rows in split_pieces(source):
        # A piece of an image has more rows around it; a whole image is padded with zeros.
        beyond = 0 if rows == slice(0, source.shape[1]) else margin
        piece = _activate(source, images, rows, scale, shift, margin=beyond).to(dtype)
        padding = (margin - beyond, margin)
        new = F.conv2d(piece.permute(0, 3, 1, 2), weight, bias, padding=padding)
        new = new.permute(0, 2, 3, 1)
        if kept is not None:
            new = _drop(new, kept[images, rows], dropout.p)
        out[images, rows] = new
    step = Step(source, scale, norm.bias, mean, inverse_std, weight, kept, from_batch, dropout.p)
    return out, step


def undo_stage(
    stage: Stage, step: Step, gradient: Tensor, into: Gradients
) -> tuple[Tensor | None, ...]:
    """The backward pass of a stage.

    Args:
        step: what its forward pass has kept.
        gradient: gradient of the new features, (B, H, W, K).
        into: gradients of the features that the stage has read; its own are added here.

    Returns:
        The gradients of its parameters, in the order of `Stage.parameters`.
    """
    source, scale, bias, mean, inverse_std, weight, kept, from_batch, p = step
    shift = _shift(bias, mean, scale)
    if kept is not None:
        gradient = _drop(gradient, kept, p)
    windows, taps = _as_pointwise(gradient.to(weight.dtype), weight)
    of_taps = torch.zeros_like(taps, dtype=scale.dtype)
    width = source.shape[3]
    total, total_product = scale.new_zeros(2, width)
    norm_weight = scale / inverse_std
    by_taps = weight.dtype == scale.dtype and _is_precise_by_taps(norm_weight, bias)
    for images, rows in split_pieces(source):
        piece = _activate(source, images, rows, scale, shift, margin=0)
        window = windows[images, rows].reshape(*piece.shape[:3], len(taps)).permute(0, 3, 1, 2)
        read = piece.to(taps.dtype).permute(0, 3, 1, 2)
        of_piece, of_taps_here = undo_conv(window, read, taps)
        of_taps += of_taps_here
        passed = of_piece.permute(0, 2, 3, 1).to(scale.dtype)
        torch.ops.aten.threshold_backward.grad_input(passed, piece, 0, grad_input=passed)
        into.values[images, rows, :, :width].addcmul_(passed, scale)
        total += sum_pixels(passed)
        if not by_taps:
            product = torch.sub(source[images, rows], mean, out=piece).mul_(passed)
            total_product += sum_pixels(product)

    if by_taps:
        # The sum of gradient times BN's output, over pixels, is that of weights times gradients.
        of_output = (taps * of_taps).sum(dim=(0, 2, 3))
        of_norm_weight = (of_output - bias * total) / norm_weight
    else:
        of_norm_weight = total_product * inverse_std
    if from_batch:
        count = source[..., 0].numel()
        into.mean[:width] = mean  # of the batch, so the same for all stages
        into.slope[:width] -= scale * of_norm_weight * inverse_std / count
        into.constant[:width] -= scale * total / count
    of_bias = None if stage.conv.bias is None else sum_pixels(gradient)
    return of_norm_weight, total, _from_pointwise(of_taps, weight), of_bias


def _activate(
    source: Tensor, images: slice, rows: slice, scale: Tensor, shift: Tensor, *, margin: int
) -> Tensor:
    """BN and ReLU of some rows and of `margin` rows on either side; zeros beyond the image."""
    if margin == 0:
        return torch.addcmul(shift, source[images, rows], scale).relu_()
    height = source.shape[1]
    top, bottom = max(rows.start - margin, 0), min(rows.stop + margin, height)
    seen = source[images, top:bottom]
    num_images, _, width, channels = seen.shape
    piece = scale.new_empty(num_images, rows.stop - rows.start + 2 * margin, width, channels)
    above = top - (rows.start - margin)
    below = above + seen.shape[1]
    piece[:, :above] = 0
    piece[:, below:] = 0
    torch.addcmul(shift, seen, scale, out=piece[:, above:below])
    return piece.relu_()


def undo_conv(
    gradient: Tensor,
    read: Tensor,
    weight: Tensor,
    *,
    stride: int = 1,
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Tensor, Tensor]:
    """The gradients of a convolution without padding: by what it has read, and by its weight."""
    of_read, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        read,
        weight,
        None,
        (stride, stride),
        (0, 0),
        (1, 1),
        False,
        (0, 0),
        1,
        (*wanted, False),
    )
    return of_read, of_weight


def _as_pointwise(gradient: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Write the transpose of a 3x3 convolution as that of a 1x1 convolution.

    Returns:
        The gradients (B, H, W, 3, 3, K) that contribute to each pixel, as a view, and their weights
        (9 K, C, 1, 1).
    """
    if weight.shape[2] == 1:
        return gradient, weight
    padded = F.pad(gradient, (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 1, 2, 4, 5, 3)
    # The weight left of the centre belongs to the gradient of the pixel on the right.
    taps = weight.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2)
    return windows, taps[..., None, None].contiguous()


def _from_pointwise(taps: Tensor, weight: Tensor) -> Tensor:
    """The inverse for gradients of weights: (9 K, C, 1, 1) -> (K, C, 3, 3)."""
    if weight.shape[2] == 1:
        return taps
    return taps.view(3, 3, len(weight), -1).permute(2, 3, 0, 1).flip(2, 3)


def _shift(bias: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """(C,), for BN as source * scale + shift."""
    return torch.addcmul(bias, mean, scale, value=-1)


def _is_precise_by_taps(weight: Tensor, bias: Tensor) -> bool:
    """Whether the gradient of BN's weight may be found from those of the convolution's.

    This saves two passes over the features, but subtracts what comes from BN's bias, and divides
    by BN's weight. In bf16 it is never precise.
    """
    return bool((weight.abs() > SMALLEST * (1 + bias.abs())).all())


def _drop(values: Tensor, kept: Tensor, p: float) -> Tensor:
    """Dropout with a given mask, uint8."""
    return (values * kept.to(values.dtype)).div_(1 - p)


def _draw(shape: torch.Size, p: float) -> Tensor:
    """Keep each element with probability 1 - p, in 16 bits: ten times faster than `bernoulli_`."""
    count = shape.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[:count].view(shape) >= round(p * 2**16) - 2**15
    return kept.view(torch.uint8)


def uses_batch(norm: nn.BatchNorm2d) -> bool:
    """Whether batch norm uses the statistics of the batch, not its running averages."""
    return norm.training or norm.running_mean is None


def _update_running_statistics(
    norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int
) -> None:
    """Update the running averages as `nn.BatchNorm2d` does, with the unbiased variance."""
    if not (norm.training and norm.track_running_stats and norm.running_mean is not None):
        return
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = norm.momentum
    if momentum is None:
        momentum = 1 / int(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
