"""An image in overlapping tiles, blended without seams, and its logits some rows at a time.

The logits of all classes of a large image take much more memory than the image. So they are made
from the top down, and whoever uses them keeps only what is needed of each part. The image itself
need not be in memory either: it is read tile by tile.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.devices import is_out_of_memory
from tiramisu.inference.predictor import Predictor

Tile = int | Literal["auto"] | None
"""Side of a tile in pixels; "auto" is `DEFAULT_TILE`, None predicts every image whole."""
DEFAULT_TILE = 1024
SMALLEST_TILE = 128
ROWS = 256
"""Rows of the image whose logits are resized at a time."""

Rows = tuple[int, Tensor]
"""The first row of a part of the image, and its logits (C, rows, W), float32, on the CPU. They may
be changed in place, and are valid until the next part is asked for."""
T = TypeVar("T")

log = logging.getLogger(__name__)


class TileSource(Protocol):
    """An image as the network takes it, in memory or in a file."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def width(self) -> int:
        """In pixels."""

    def read(self, rows: slice, columns: slice) -> Tensor:
        """A tile (1, C, h, w)."""


@dataclasses.dataclass(frozen=True, eq=False)
class TensorTiles:
    """The tiles of an image in memory, (1, C, H, W)."""

    images: Tensor

    @property
    def height(self) -> int:
        return self.images.shape[-2]

    @property
    def width(self) -> int:
        return self.images.shape[-1]

    def read(self, rows: slice, columns: slice) -> Tensor:
        return self.images[..., rows, columns]


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
    model: Predictor, images: Tensor | TileSource, *, tile: int | None, overlap: float
) -> Iterator[Rows]:
    """Logits of an image, from the top down: rows are handed on when no further tile reaches them.

    Args:
        model: predicts a tile.
        images: the image, (1, C, H, W) with the values of files, or a source of its tiles.
        tile: side of the tiles; an image that is not larger goes whole, and with None every image.
        overlap: part of a tile that it shares with the next, 0 to 0.5.
    """
    source = TensorTiles(images) if isinstance(images, Tensor) else images
    height, width = source.height, source.width
    if tile is None or tile >= max(height, width):
        whole = source.read(slice(0, height), slice(0, width))
        yield 0, model(whole.to(model.device))[0].float().cpu()
        return
    rows = place_tiles(height, tile=tile, overlap=overlap)
    columns = place_tiles(width, tile=tile, overlap=overlap)
    tops = [top for top, _ in rows]
    logits = torch.zeros(len(model.info.class_names), len(rows[0][1]), width)
    for (top, row_weights), next_top in zip(rows, [*tops[1:], height], strict=True):
        for left, column_weights in columns:
            across = slice(left, left + len(column_weights))
            part = source.read(slice(top, top + len(row_weights)), across)
            predicted = model(part.to(model.device))[0].float().cpu()  # (C, tile, tile)
            weights = row_weights[:, None] * column_weights
            logits[..., across].addcmul_(predicted, weights)
        finished = next_top - top
        yield top, logits[:, :finished]
        # The rows below move up; those that the next tiles reach first start from zero. The logits
        # stay where they are: those of a wide image take gigabytes.
        rest = logits[:, finished:].clone()
        logits[:, : rest.shape[1]] = rest
        logits[:, rest.shape[1] :] = 0


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
    # Bilinear interpolation down and across, one after the other, so that it works by rows too.
    centers = ((torch.arange(size[0]) + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)
    above = centers.long()
    below = (above + 1).clamp(max=height - 1)
    share = (centers - above)[:, None]
    done = first = 0  # rows of the image that are done; the first of the logits that are kept
    kept: Tensor | None = None
    for top, logits in parts:
        logits = logits[:, : height - top, :width]
        kept = logits if kept is None else torch.cat([kept, logits], dim=1)
        ready = int((below < first + kept.shape[1]).sum())
        for start in range(done, ready, ROWS):
            rows = slice(start, min(start + ROWS, ready))
            part = torch.lerp(
                kept[:, above[rows] - first], kept[:, below[rows] - first], share[rows]
            )
            yield start, F.interpolate(part[None], (part.shape[1], size[1]), mode="bilinear")[0]
        if ready == size[0]:
            return
        # Of logits that are made smaller, some rows are used by none; the next come from below.
        done, unused = ready, min(int(above[ready]) - first, kept.shape[1])
        kept, first = kept[:, unused:].clone(), first + unused


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
