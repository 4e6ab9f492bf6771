"""Overlapping tiles that cover an image, and the weights that blend them without seams."""

import math

import numpy as np
import torch
from torch import Tensor


def place_tiles(length: int, *, tile: int, overlap: float) -> list[tuple[int, Tensor]]:
    """Cover one axis of an image with tiles of equal length.

    A tile near its inner edges saw only half of what surrounds a pixel. So a quarter of the
    overlap is context alone (weight 0), and over the rest one tile fades into the next.

    Args:
        length: length of the axis, in pixels.
        tile: length of a tile; one tile covers a shorter axis whole.
        overlap: part of a tile that it shares with the next, at least: 0 to 0.5.

    Returns:
        (start, weights (tile,)) for each tile, in order. At every pixel of the axis, the weights
        of the tiles that cover it sum to one. The last tile ends with the axis.
    """
    tile = min(tile, length)
    shared = min(round(tile * overlap), tile // 2)
    context = shared // 4
    num_tiles = math.ceil((length - tile) / (tile - shared)) + 1
    starts = np.linspace(0, length - tile, num_tiles).round().astype(int).tolist()

    windows = []
    offsets = torch.arange(tile) + 0.5
    for start in starts:
        window = torch.ones(tile)
        # The image's own border is no seam: nothing fades there.
        if start > 0:
            window *= _fade(offsets, context=context, shared=shared)
        if start + tile < length:
            window *= _fade(offsets, context=context, shared=shared).flip(0)
        windows.append(window)
    total = torch.zeros(length)
    for start, window in zip(starts, windows, strict=True):
        total[start : start + tile] += window
    return [
        (start, window / total[start : start + tile])
        for start, window in zip(starts, windows, strict=True)
    ]


def _fade(offsets: Tensor, *, context: int, shared: int) -> Tensor:
    """Rise from 0 to 1 along a quarter of a sine's square, whose mirror image adds up to 1."""
    rise = ((offsets - context) / max(shared - 2 * context, 1)).clamp(0, 1)
    return torch.sin(rise * (math.pi / 2)) ** 2
