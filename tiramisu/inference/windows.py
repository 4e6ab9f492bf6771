"""Images that are read piece by piece, and how the network sees them."""

from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from tiramisu.data.dataset import as_tensor
from tiramisu.data.resizing import by_bands, resize_image
from tiramisu.inference.predictor import MIN_SIDE

Values = npt.NDArray[Any]
"""A piece of an image in the file's own type and with all its bands, (H, W, C)."""

_MOST_PIXELS = 1 << 23
"""Pixels that are shrunk at a time: their sums are float32, three bands of them 100 MB."""
_LEAST_SHARE = 1e-3
"""OpenCV leaves pixels out of a mean that count less."""


class Windows(Protocol):
    """An image of which only pieces are in memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of bands."""

    def read(self, rows: slice, columns: slice) -> Values:
        """The piece (H, W, C). Raises ValueError if the file is damaged there."""


class SeenTiles:
    """An image as the network sees it, read by tiles: shrunk, and a small one padded.

    The tiles are equal to pieces of the whole image, shrunk and padded: also where a pixel of the
    shrunken image starts inside one of the image.

    Args:
        windows: the image.
        seen: height and width to which the whole image is shrunk.
        convert: makes the bands and the type that the network takes of those of the file.
    """

    def __init__(
        self, windows: Windows, *, seen: tuple[int, int], convert: Callable[[Values], Values]
    ) -> None:
        self._windows = windows
        self._seen = seen
        self._convert = convert
        down, across = (Shrinking(*axis) for axis in zip(windows.shape[:2], seen, strict=True))
        self._down, self._across = down, across
        self.height, self.width = max(seen[0], MIN_SIDE), max(seen[1], MIN_SIDE)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """The tile (1, C, h, w). An axis with padding has to be read whole."""
        inside = slice(rows.start, min(rows.stop, self._seen[0]))
        across = slice(columns.start, min(columns.stop, self._seen[1]))
        piece = self._read_seen(inside, across)  # (h, w, C)
        below, right = rows.stop - inside.stop, columns.stop - across.stop
        if below or right:
            # By its mirror image, several times where needed.
            sides = (0, below, 0, right, cv2.BORDER_REFLECT_101)
            piece = by_bands(lambda bands: cv2.copyMakeBorder(bands, *sides), piece)
        return as_tensor(piece)[None]

    def _read_seen(self, rows: slice, columns: slice) -> Values:
        if self._seen == self._windows.shape[:2]:
            return self._convert(self._windows.read(rows, columns))
        down, across = self._down, self._across
        source = across.source_of(columns)
        step = max(1, int(_MOST_PIXELS / (source.stop - source.start) / down.factor))
        parts = []
        for top in range(rows.start, rows.stop, step):
            part = slice(top, min(top + step, rows.stop))
            values = self._convert(self._windows.read(down.source_of(part), source))
            parts.append(shrink(values, down, part, across, columns))
        return np.concatenate(parts)


class Shrinking:
    """One axis of an image that is shrunk by the mean of the pixels, as OpenCV's INTER_AREA.

    Args:
        length: of the axis, in pixels.
        seen: length of the shrunken axis.
    """

    def __init__(self, length: int, seen: int) -> None:
        self.factor = 1 / (seen / length)  # as OpenCV computes it
        self.is_whole = length % seen == 0
        start = np.arange(seen) * self.factor
        first = np.floor(start).astype(np.int64)[:, None]
        pixels = first + np.arange(int(np.ceil(self.factor)) + 1)  # (seen, pixels of each)
        shares = np.minimum(pixels + 1, (start + self.factor)[:, None])
        shares -= np.maximum(pixels, start[:, None])
        shares[(shares <= _LEAST_SHARE) | (pixels >= length)] = 0
        # In place of a pixel without a share stands one that has one: it might be NaN, or outside.
        largest = np.take_along_axis(pixels, shares.argmax(axis=1)[:, None], axis=1)
        self._pixels = np.where(shares == 0, largest, pixels)
        cells = np.minimum(self.factor, length - start)
        self._weights = (shares / cells[:, None]).astype(np.float32)

    def source_of(self, seen: slice) -> slice:
        """The pixels from which a part of the shrunken axis is made."""
        return slice(
            int(self._pixels[seen.start].min()), int(self._pixels[seen.stop - 1].max()) + 1
        )

    def __call__(self, values: Values, seen: slice, *, axis: int) -> npt.NDArray[np.float32]:
        """Shrink `source_of(seen)` along an axis."""
        pixels = self._pixels[seen] - self.source_of(seen).start
        weights = self._weights[seen].reshape(*pixels.shape, *[1] * (2 - axis))
        total: npt.NDArray[np.float32] | None = None
        for number in range(pixels.shape[1]):
            part = np.take(values, pixels[:, number], axis=axis).astype(np.float32, copy=False)
            part = part * weights[:, number]
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None, "a pixel has a share in itself"
        return total


def shrink(
    values: Values, down: Shrinking, rows: slice, across: Shrinking, columns: slice
) -> Values:
    """A piece of an image, shrunk: equal to that piece of the whole image shrunk by OpenCV.

    Args:
        values: `down.source_of(rows)` and `across.source_of(columns)` of the image, (H, W, C).
        down, across: the axes.
        rows, columns: the piece of the shrunken image.
    """
    if down.is_whole and across.is_whole:
        # OpenCV rounds otherwise here, and no pixel lies in two others.
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return resize_image(values, height=height, width=width)
    shrunk = down(across(values, columns, axis=1), rows, axis=0)
    if np.issubdtype(values.dtype, np.integer):
        return np.rint(shrunk).astype(values.dtype)
    return shrunk.astype(values.dtype, copy=False)
