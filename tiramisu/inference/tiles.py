"""An image in overlapping tiles, blended without seams, and its logits some rows at a time.

The logits of all classes of a large image take much more memory than the image. So they are made
from the top down, and whoever uses them keeps only what is needed of each part.
"""

import logging
import math
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.devices import is_out_of_memory
from tiramisu.inference.predictor import MIN_SIDE, Predictor

Tile = int | Literal["auto"] | None
"""Side of a tile in pixels; "auto" is `DEFAULT_TILE`, None predicts every image whole."""
DEFAULT_TILE = 1024
SMALLEST_TILE = 128
ROWS = 256
"""Rows of the image whose logits are resized at a time."""

Rows = tuple[int, Tensor]
"""The first row of a part of the image, and its logits (C, rows, W), float32, on the CPU."""
T = TypeVar("T")

log = logging.getLogger(__name__)


def with_smaller_tiles(run: Callable[[int | None], T], *, tile: Tile, longest_side: int) -> T:
    """Call `run(tile)`; where memory runs out, call it again with tiles of half the side.

    Args:
        run: predicts an image in tiles of this side.
        tile: the first side to try.
        longest_side: longest side of the image as the network sees it, in pixels.

    Raises:
        RuntimeError, MemoryError: memory ran out with the smallest tiles too, or with `tile=None`.
    """
    side = DEFAULT_TILE if tile == "auto" else tile
    while True:
        try:
            return run(side)
        except (RuntimeError, MemoryError) as error:
            if side is None or not is_out_of_memory(error):
                raise
            smaller = max(SMALLEST_TILE, min(side, longest_side) // 2)
            if smaller >= min(side, longest_side):
                raise
        torch.cuda.empty_cache()
        log.warning("out of memory with tiles of %d pixels; going on with %d", side, smaller)
        side = smaller


def logits_by_rows(
    model: Predictor, images: Tensor, *, tile: int | None, overlap: float
) -> Iterator[Rows]:
    """Logits of an image, from the top down: rows are handed on when no further tile reaches them.

    Args:
        model: predicts a tile.
        images: (1, 3, H, W) RGB in 0..255.
        tile: side of the tiles; an image that is not larger goes whole, and with None every image.
        overlap: part of a tile that it shares with the next, 0 to 0.5.
    """
    height, width = images.shape[-2:]
    if tile is None or tile >= max(height, width):
        yield 0, model(images.to(model.device))[0].float().cpu()
        return
    rows = place_tiles(height, tile=tile, overlap=overlap)
    columns = place_tiles(width, tile=tile, overlap=overlap)
    tops = [top for top, _ in rows]
    logits = torch.zeros(len(model.info.class_names), len(rows[0][1]), width)
    for (top, row_weights), next_top in zip(rows, [*tops[1:], height], strict=True):
        for left, column_weights in columns:
            part = images[..., top : top + len(row_weights), left : left + len(column_weights)]
            predicted = model(part.to(model.device))[0].float().cpu()  # (C, tile, tile)
            weights = row_weights[:, None] * column_weights
            logits[..., left : left + len(column_weights)].addcmul_(predicted, weights)
        finished = next_top - top
        yield top, logits[:, :finished]
        # The rows below move up; those that the next tiles reach first start from zero.
        logits = F.pad(logits[:, finished:], (0, 0, 0, finished))


def join_rows(parts: Iterator[Rows], *, height: int) -> Tensor:
    """Logits (C, height, W) of all rows together."""
    _, first = next(parts)
    if first.shape[1] == height:
        return first
    logits = first.new_empty(len(first), height, first.shape[2])
    logits[:, : first.shape[1]] = first
    for top, part in parts:
        logits[:, top : top + part.shape[1]] = part
    return logits


def resize_rows(
    parts: Iterator[Rows], *, seen: tuple[int, int], size: tuple[int, int]
) -> Iterator[Rows]:
    """Cut padding off, and resize the logits to the image where the network saw it smaller.

    Args:
        parts: logits from the top down.
        seen: height and width of the image as the network saw it, without padding.
        size: height and width of the image itself.
    """
    height, width = seen
    if seen == size:
        for top, logits in parts:
            yield top, logits[:, : height - top, :width]
        return
    logits = join_rows(parts, height=max(height, MIN_SIDE))[:, :height, :width]
    # Bilinear interpolation down and across, one after the other, so that it works by rows too.
    centers = ((torch.arange(size[0]) + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)
    above = centers.long()
    share = (centers - above)[:, None]
    for top in range(0, size[0], ROWS):
        rows = slice(top, top + ROWS)
        below = (above[rows] + 1).clamp(max=height - 1)
        part = torch.lerp(logits[:, above[rows]], logits[:, below], share[rows])
        yield top, F.interpolate(part[None], size=(part.shape[1], size[1]), mode="bilinear")[0]


def place_tiles(length: int, *, tile: int, overlap: float) -> list[tuple[int, Tensor]]:
    """Cover one axis of an image with tiles of equal length.

    Near an inner edge, a tile has seen only half of the surroundings of a pixel. So a quarter of
    the overlap gets weight 0 and is context only; over the rest one tile fades into the next.

    Args:
        length: length of the axis, in pixels.
        tile: length of a tile; one tile covers a shorter axis whole.
        overlap: smallest part of a tile that it shares with the next, 0 to 0.5.

    Returns:
        (start, weights (tile,)) for each tile, in order. At every pixel of the axis, the weights
        of the tiles that cover it sum to one. The last tile ends with the axis.
    """
    tile = min(tile, length)
    shared = min(round(tile * overlap), tile // 2)
    context = shared // 4
    num_tiles = math.ceil((length - tile) / (tile - shared)) + 1
    starts = np.linspace(0, length - tile, num_tiles).round().astype(int).tolist()

    rise = ((torch.arange(tile) + 0.5 - context) / max(shared - 2 * context, 1)).clamp(0, 1)
    fade = torch.sin(rise * (math.pi / 2)) ** 2  # with its mirror image it adds up to 1
    windows = torch.ones(num_tiles, tile)
    # Nothing fades at the border of the image.
    windows[1:] *= fade
    windows[:-1] *= fade.flip(0)
    total = torch.zeros(length)
    for start, window in zip(starts, windows, strict=True):
        total[start : start + tile] += window
    return [
        (start, w / total[start : start + tile]) for start, w in zip(starts, windows, strict=True)
    ]
