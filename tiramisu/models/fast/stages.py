"""One stage of a dense layer, forward and backward, in pieces that fit into the cache.

Tensors here are (B, H, W, C): the order of channels-last memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIECE_BYTES = 4 * 2**20
"""Size of the activations that are computed at a time: a part of the cache of two cores."""


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


def new_stack(features: Sequence[Tensor], new_channels: int) -> tuple[Tensor, int]:
    """A buffer (B, H, W, C + new_channels) that begins with the input of a dense block, and C."""
    batch, _, *size = features[0].shape
    width = sum(part.shape[1] for part in features)
    stack = features[0].new_empty(batch, *size, width + new_channels)
    torch.cat([part.permute(0, 2, 3, 1) for part in features], 3, out=stack[..., :width])
    return stack, width


class Features:
    """Features (B, H, W, C), with mean and variance of each channel if BN needs them."""

    def __init__(self, values: Tensor, *, measured: bool) -> None:
        self.values = values
        self.measured = measured
        self.mean = values.new_empty(values.shape[3])
        self.variance = values.new_empty(values.shape[3])

    def measure(self, start: int, end: int) -> None:
        """Compute the statistics of channels that have just been written."""
        if self.measured:
            new = self.values[..., start:end]
            count = new[..., 0].numel()
            # Sums of distances from a value near the mean: sums of the values themselves would
            # round off the differences between them where the mean is large.
            near = new[:, new.shape[1] // 2].mean(dim=(0, 1))
            total, total_square = new.new_zeros(2, end - start)
            for images, rows in split_pieces(new):
                distances = new[images, rows] - near
                total += distances.sum(dim=(0, 1, 2))
                total_square += distances.square_().sum(dim=(0, 1, 2))
            self.mean[start:end] = near + total / count
            self.variance[start:end] = total_square / count - (total / count).square()


class Gradients:
    """Gradients (B, H, W, C) of features, summed over all stages that read them.

    The part of the gradient that comes through the mean and variance of a channel is a linear
    function of the feature's distance from its mean, the same for the whole channel. So stages sum
    only its two coefficients.
    """

    def __init__(self, values: Tensor, features: Tensor) -> None:
        self.values = values
        self.features = features
        self.mean, self.constant, self.slope = values.new_zeros(3, values.shape[3])

    def settle(self, start: int, end: int) -> Tensor:
        """The gradient of some channels, after all stages that read them have added theirs."""
        gradient = self.values[..., start:end]
        for images, rows in split_pieces(gradient):
            centred = self.features[images, rows, :, start:end] - self.mean[start:end]
            gradient[images, rows].addcmul_(centred, self.slope[start:end])
            gradient[images, rows] += self.constant[start:end]
        return gradient


class Step(NamedTuple):
    """What the backward pass of a stage needs."""

    source: Tensor
    """Input of the stage, (B, H, W, C)."""
    scale: Tensor
    """(C,); BN is source * scale + shift."""
    shift: Tensor
    mean: Tensor
    """(C,), of the batch or the running average."""
    inverse_std: Tensor
    weight: Tensor
    """Weight of the convolution, (K, C, 1, 1) or (K, C, 3, 3)."""
    kept: Tensor | None
    """The new features that dropout has kept, bool (B, H, W, K)."""
    from_batch: bool
    """Whether mean and standard deviation are those of the batch."""
    dropout: float
    """Probability of dropout."""


def run_stage(stage: Stage, features: Features, width: int, *, out: Tensor) -> Step:
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
    shift = torch.addcmul(norm.bias, mean, scale, value=-1)

    kept = _draw(out.shape, dropout.p) if dropout.training and dropout.p > 0 else None
    margin = conv.kernel_size[0] // 2
    for images, rows in split_pieces(source):
        # A piece of an image has more rows around it; a whole image is padded with zeros.
        beyond = 0 if rows == slice(0, source.shape[1]) else margin
        piece = _activate(source, images, rows, scale, shift, margin=beyond)
        padding = (margin - beyond, margin)
        new = F.conv2d(piece.permute(0, 3, 1, 2), conv.weight, conv.bias, padding=padding)
        new = new.permute(0, 2, 3, 1)
        if kept is not None:
            new.mul_(kept[images, rows]).div_(1 - dropout.p)
        out[images, rows] = new
    return Step(source, scale, shift, mean, inverse_std, conv.weight, kept, from_batch, dropout.p)


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
    source, scale, shift, mean, inverse_std, weight, kept, from_batch, p = step
    if kept is not None:
        gradient = (gradient * kept).div_(1 - p)
    windows, taps = _as_pointwise(gradient, weight)
    of_taps = torch.zeros_like(taps)
    width = source.shape[3]
    # Sums of the gradient, and of the gradient times the centred source. Centring takes time; the
    # mean may be subtracted from the sum instead if that does not cancel most of its digits.
    total, total_product = source.new_zeros(2, width)
    is_centred = bool(((mean * inverse_std).abs() > 8).any())
    for images, rows in split_pieces(source):
        piece = _activate(source, images, rows, scale, shift, margin=0)
        window = windows[images, rows].reshape(*piece.shape[:3], len(taps)).permute(0, 3, 1, 2)
        read = piece.permute(0, 3, 1, 2)
        of_piece, of_taps_here, _ = torch.ops.aten.convolution_backward(
            window, read, taps, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (True, True, False)
        )
        of_taps += of_taps_here
        passed = of_piece.permute(0, 2, 3, 1)
        torch.ops.aten.threshold_backward.grad_input(passed, piece, 0, grad_input=passed)
        into.values[images, rows, :, :width].addcmul_(passed, scale)
        total += passed.sum(dim=(0, 1, 2))
        factor = source[images, rows]
        if is_centred:
            factor = torch.sub(factor, mean, out=piece)
        total_product += torch.mul(factor, passed, out=piece).sum(dim=(0, 1, 2))
    if not is_centred:
        total_product -= mean * total

    of_norm_weight = total_product * inverse_std
    if from_batch:
        count = source[..., 0].numel()
        into.mean[:width] = mean  # of the batch, so the same for all stages
        into.slope[:width] -= scale * of_norm_weight * inverse_std / count
        into.constant[:width] -= scale * total / count
    of_bias = None if stage.conv.bias is None else gradient.sum(dim=(0, 1, 2))
    return of_norm_weight, total, _from_pointwise(of_taps, weight), of_bias


def _activate(
    source: Tensor, images: slice, rows: slice, scale: Tensor, shift: Tensor, *, margin: int
) -> Tensor:
    """BN and ReLU of some rows and of `margin` rows on either side; zeros beyond the image."""
    if margin == 0:
        seen = source[images, rows]
        return torch.addcmul(shift, seen, scale, out=seen.new_empty(seen.shape)).relu_()
    height = source.shape[1]
    top, bottom = max(rows.start - margin, 0), min(rows.stop + margin, height)
    seen = source[images, top:bottom]
    num_images, _, width, channels = seen.shape
    piece = source.new_empty(num_images, rows.stop - rows.start + 2 * margin, width, channels)
    above = top - (rows.start - margin)
    below = above + seen.shape[1]
    piece[:, :above] = 0
    piece[:, below:] = 0
    torch.addcmul(shift, seen, scale, out=piece[:, above:below])
    return piece.relu_()


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


def split_pieces(features: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of images and rows of about PIECE_BYTES: some whole images, or some rows of one."""
    batch, height, width, channels = features.shape
    row_bytes = width * channels * features.element_size()
    if height * row_bytes <= PIECE_BYTES:
        num_images = PIECE_BYTES // (height * row_bytes)
        for start in range(0, batch, num_images):
            yield slice(start, min(start + num_images, batch)), slice(0, height)
        return
    num_pieces = -(-height * row_bytes // PIECE_BYTES)
    num_rows = -(-height // num_pieces)
    for image in range(batch):
        for top in range(0, height, num_rows):
            yield slice(image, image + 1), slice(top, min(top + num_rows, height))


def _draw(shape: torch.Size, p: float) -> Tensor:
    """Keep each element with probability 1 - p, in 16 bits: ten times faster than `bernoulli_`."""
    count = shape.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return bits.view(torch.int16)[:count].view(shape) >= round(p * 2**16) - 2**15


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
