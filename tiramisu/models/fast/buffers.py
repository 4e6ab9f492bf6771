"""The buffers of a dense block: its features, their gradients, and the pieces they are computed in.

Tensors here are (B, H, W, C): the order of channels-last memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

PIECE_BYTES = 4 * 2**20
"""Size of the activations that are computed at a time: a part of the cache of two cores."""

PIXELS_IN_ROW = 32
"""Pixels whose few channels form one row of numbers: operations on short rows take longer."""


def check_width(features: Sequence[Tensor], expected: int) -> None:
    """Refuse another number of channels, which operations on a buffer might broadcast."""
    width = sum(part.shape[1] for part in features)
    if width != expected:
        raise ValueError(f"the features have {width} channels; expected {expected}")


def new_stack(
    features: Sequence[Tensor], new_channels: int, dtype: torch.dtype
) -> tuple[Tensor, int]:
    """A buffer (B, H, W, C + new_channels) that begins with the input of a dense block, and C.

    Args:
        dtype: type of the new channels.
    """
    batch, _, *size = features[0].shape
    width = sum(part.shape[1] for part in features)
    for part in features:
        dtype = torch.promote_types(dtype, part.dtype)
    stack = features[0].new_empty(batch, *size, width + new_channels, dtype=dtype)
    torch.cat([part.permute(0, 2, 3, 1) for part in features], 3, out=stack[..., :width])
    return stack, width


class Features:
    """Features (B, H, W, C), with mean and variance of each channel if BN needs them."""

    def __init__(self, values: Tensor, *, measured: bool) -> None:
        self.values = values
        self.measured = measured
        self.mean, self.variance = values.new_empty(2, values.shape[3], dtype=type_of_sums(values))

    def add(self, new: Tensor, start: int) -> None:
        """Write new features (B, H, W, K) to the channels from `start` on."""
        self.values[..., start : start + new.shape[3]] = new
        self.measure(new, start)

    def measure(self, new: Tensor, start: int) -> None:
        """Compute the statistics of features (B, H, W, K), the channels from `start` on."""
        if self.measured:
            end = start + new.shape[3]
            count = new[..., 0].numel()
            # Sums of distances from a value near the mean: sums of the values themselves would
            # round off the differences between them where the mean is large.
            near = new[:, new.shape[1] // 2].mean(dim=(0, 1), dtype=self.mean.dtype)
            total, total_square = near.new_zeros(2, len(near))
            for images, rows in split_pieces(new):
                piece = new[images, rows]
                values = as_rows(piece)
                distances = values - near.repeat(values.shape[1] // len(near))
                distances = distances.view(piece.shape)
                total += sum_pixels(distances)
                total_square += sum_pixels(distances.square_())
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
        gradient = self.values.new_empty(*self.values.shape[:3], end - start)
        for images, rows in split_pieces(gradient):
            features = as_rows(self.features[images, rows, :, start:end])
            mean, constant, slope = (
                numbers[start:end].repeat(features.shape[1] // (end - start))
                for numbers in (self.mean, self.constant, self.slope)
            )
            through_statistics = (features - mean).mul_(slope).add_(constant)
            piece = gradient[images, rows]
            torch.add(
                self.values[images, rows, :, start:end],
                through_statistics.view(piece.shape),
                out=piece,
            )
        return gradient


def split_pieces(features: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of images and rows of about PIECE_BYTES: some whole images, or some rows of one."""
    batch, height, width, channels = features.shape
    row_bytes = width * channels * type_of_sums(features).itemsize
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


def type_of_convolutions(weight: Tensor) -> torch.dtype:
    """The type in which a convolution is computed: autocast's, or that of its weight."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    return weight.dtype


def convert(
    weight: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution in the type in which it is computed."""
    return weight.to(dtype), None if bias is None else bias.to(dtype)


def type_of_sums(values: Tensor) -> torch.dtype:
    """The type in which numbers are summed: fp32 for those in bf16, otherwise their own."""
    return torch.promote_types(values.dtype, torch.float32)


def as_rows(values: Tensor) -> Tensor:
    """(B, H, W, C) -> (N, P * C) without gaps, in the type of sums: P pixels in each row."""
    num_pixels = values[..., 0].numel()
    in_row = math.gcd(num_pixels, PIXELS_IN_ROW)
    rows = values.reshape(num_pixels // in_row, in_row * values.shape[3])
    return rows.to(type_of_sums(values))


def sum_pixels(values: Tensor) -> Tensor:
    """The sum of each channel: (B, H, W, C) -> (C,)."""
    return as_rows(values).sum(dim=0).view(-1, values.shape[3]).sum(dim=0)
