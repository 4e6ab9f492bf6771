"""Masks as the lengths of their runs, and how the formats write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BRUSH_CHANNELS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class RunLengths:
    """A mask, whose pixels are off, on, off, ... for so many pixels each.

    Raises:
        ValueError: the counts do not give height x width pixels.
    """

    height: int
    width: int
    counts: npt.NDArray[np.int64]
    """(N,), the first of pixels that are off."""
    by_columns: bool = False
    """Whether pixels are counted down the columns, as COCO does, and not along the rows."""

    def __post_init__(self) -> None:
        pixels = self.height * self.width
        # A sum of huge counts could overflow and be right by chance.
        wrong = bool(((self.counts < 0) | (self.counts > pixels)).any())
        if wrong or int(self.counts.sum()) != pixels:
            raise ValueError(
                f"its run lengths do not give {self.height} x {self.width} pixels "
                "(height x width); the file is damaged"
            )

    def decode(self) -> npt.NDArray[np.uint8]:
        """uint8 (height, width), 0 or 1."""
        values = (np.arange(len(self.counts)) % 2).astype(np.uint8)
        flat = np.repeat(values, self.counts)
        if self.by_columns:
            return np.ascontiguousarray(flat.reshape(self.width, self.height).T)
        return flat.reshape(self.height, self.width)


def as_counts(values: Sequence[int]) -> npt.NDArray[np.int64]:
    """Counts of a file as an array; ValueError if one is no count of pixels."""
    if any(not 0 <= value < 2**31 for value in values):
        raise ValueError("a run length below 0 or above 2,147,483,647; the file is damaged")
    return np.array(values, np.int64)


def from_mask(mask: npt.NDArray[np.bool_]) -> RunLengths:
    """The run lengths of a mask (H, W)."""
    flat = np.concatenate([[False], mask.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return RunLengths(height=mask.shape[0], width=mask.shape[1], counts=counts)


def read_coco_counts(text: str) -> npt.NDArray[np.int64]:
    """The counts of COCO's compressed form.

    Each character holds five bits of a number, lowest first, and whether more follow; its highest
    bit is the sign. From the fourth number on they are differences to the last but one. pycocotools
    reads it too, but for a string that is cut off it returns memory that was never written.

    Raises:
        ValueError: the text is no such form.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        codes = np.array([-1])
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("its counts are no run lengths in COCO's compressed form")
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > 7:  # 35 bits, more than any count needs
        raise ValueError("its counts are no run lengths in COCO's compressed form")
    places = np.arange(len(codes)) - np.repeat(first, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * places), first)
    numbers -= np.where(codes[last] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def read_brush(values: Sequence[int], *, height: int, width: int) -> RunLengths:
    """The mask of a stroke of Label Studio's brush.

    It is the alpha channel of an image of four channels, packed as a stream of bits: 32 bits for
    the number of values, 5 for the bits of a value (less one), and four times 4 for the bits of
    lengths (less one). Blocks follow: 1 bit, whether the values of the block are equal, 2 bits,
    which of the four sizes its length has, the length (less one), and the value or values.

    Raises:
        ValueError: the stream is damaged, or of another size.
    """
    if any(not 0 <= value <= 255 for value in values):
        raise ValueError("its rle is damaged: a byte is below 0 or above 255")
    bits = _Bits(np.unpackbits(np.array(values, np.uint8)))
    total = bits.read(32)
    if total != height * width * _BRUSH_CHANNELS:
        raise ValueError(
            f"its rle holds {total} values; expected {_BRUSH_CHANNELS} for each of {height} x "
            f"{width} pixels (height x width)"
        )
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    out = np.zeros(total, np.bool_)
    end = 0
    while end < total:
        start, equal = end, bits.read(1)
        end += bits.read(sizes[bits.read(2)]) + 1
        if end > total:
            raise ValueError("its rle is damaged: it holds too many values")
        out[start:end] = bits.read(word) > 0 if equal else bits.read_words(end - start, word)
    return from_mask(out.reshape(height, width, _BRUSH_CHANNELS)[..., -1])


class _Bits:
    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self.bits = bits
        self.place = 0

    def take(self, count: int) -> npt.NDArray[np.uint8]:
        taken = self.bits[self.place : self.place + count]
        if len(taken) < count:
            raise ValueError("its rle is damaged: it ends too early")
        self.place += count
        return taken

    def read(self, count: int) -> int:
        """A number of so many bits."""
        number = 0
        for bit in self.take(count).tolist():
            number = number << 1 | bit
        return number

    def read_words(self, number: int, count: int) -> npt.NDArray[Any]:
        """Whether each of some numbers of `count` bits is above zero."""
        return np.asarray(self.take(number * count).reshape(number, count).any(axis=1))
