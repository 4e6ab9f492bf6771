"""The logits of an image in bands of rows, from the top down: all at once they take much memory."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tiramisu.inference.predictor import MIN_SIDE, Predictor
from tiramisu.inference.tiles import place_tiles

BAND = 256
"""Rows of the image whose logits are resized at a time."""


def run_tiles(
    model: Predictor, images: Tensor, *, tile: int, overlap: float
) -> Iterator[tuple[int, Tensor]]:
    """Logits of an image (1, 3, H, W) in bands: the first row and (C, rows, W), float32, CPU.

    A band is finished, and handed on, when no further tile reaches it.
    """
    height, width = images.shape[-2:]
    if tile >= max(height, width):
        yield 0, model(images.to(model.device))[0].float().cpu()
        return
    rows = place_tiles(height, tile=tile, overlap=overlap)
    columns = place_tiles(width, tile=tile, overlap=overlap)
    tops = [top for top, _ in rows]
    logits = torch.zeros(len(model.info.class_names), len(rows[0][1]), width)
    for (top, row_weights), following in zip(rows, [*tops[1:], height], strict=True):
        for left, column_weights in columns:
            part = images[..., top : top + len(row_weights), left : left + len(column_weights)]
            seen = model(part.to(model.device))[0].float().cpu()  # (C, tile, tile)
            weights = row_weights[:, None] * column_weights
            logits[..., left : left + len(column_weights)].addcmul_(seen, weights)
        finished = following - top
        yield top, logits[:, :finished]
        # The rows below it move up, and those that the next tiles reach first begin at zero.
        logits = F.pad(logits[:, finished:], (0, 0, 0, finished))


def run_whole(model: Predictor, images: Tensor, *, tile: int, overlap: float) -> Tensor:
    """Logits (1, C, H, W) of an image (1, 3, H, W), all bands together."""
    bands = run_tiles(model, images, tile=tile, overlap=overlap)
    return _collect(bands, height=images.shape[-2])[None]


def _collect(bands: Iterator[tuple[int, Tensor]], *, height: int) -> Tensor:
    """Bands as one tensor (C, height, W)."""
    _, first = next(bands)
    if first.shape[1] == height:
        return first
    logits = first.new_empty(len(first), height, first.shape[2])
    logits[:, : first.shape[1]] = first
    for top, band in bands:
        logits[:, top : top + band.shape[1]] = band
    return logits


def fit_bands(
    bands: Iterator[tuple[int, Tensor]], *, small: tuple[int, int], size: tuple[int, int]
) -> Iterator[tuple[int, Tensor]]:
    """Cut padding off the logits, and resize them to the image where the network saw it smaller."""
    height, width = small
    if small == size:
        for top, logits in bands:
            yield top, logits[:, : height - top, :width]
        return
    logits = _collect(bands, height=max(height, MIN_SIDE))[:, :height, :width]
    # Down and across are interpolated one after the other, so that it goes in bands as well.
    centers = ((torch.arange(size[0]) + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)
    above = centers.long()
    share = (centers - above)[:, None]
    for top in range(0, size[0], BAND):
        rows = slice(top, top + BAND)
        below = (above[rows] + 1).clamp(max=height - 1)
        band = torch.lerp(logits[:, above[rows]], logits[:, below], share[rows])
        yield top, F.interpolate(band[None], size=(band.shape[1], size[1]), mode="bilinear")[0]
