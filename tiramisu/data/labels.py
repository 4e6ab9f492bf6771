"""Labels of pixels: from the values in a mask to class indices, by a lookup table."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IGNORE_INDEX = 255  # void after decoding; the loss and the scores ignore it
UNKNOWN = 254  # a value that is not in the label table; only used in tiramisu.data
MAX_CLASSES = 254
NAN_CODE = -(2**31) - 1
"""The code of NaN in masks of floats, which belongs to no class."""

Encoding = Literal["index", "rgb"]


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The class of each raw value in the masks.

    A raw value is one integer, a *code*: the pixel's id for `index` masks (0..65535), and
    0xRRGGBB for `rgb` masks. Codes out of these ranges are in no class.
    """

    encoding: Encoding
    raw: tuple[tuple[int, ...], ...]
    """The codes of each class, in class order."""
    ignore: tuple[int, ...] | Literal["others"]
    """The codes that are void; "others" for all codes that belong to no class."""

    def decode(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Class indices of codes.

        Args:
            codes: (H, W) of any integer type.

        Returns:
            uint8 (H, W); void is IGNORE_INDEX, a code that is not in the table UNKNOWN.
        """
        table = _lookup_table(self)
        if codes.dtype.itemsize > 2 or codes.dtype.kind == "i":
            # All codes beyond the range of the table use its last entry, which is in no class.
            last = len(table) - 1
            codes = codes.astype(np.int32) if codes.dtype.itemsize <= 2 else codes
            codes = np.where((codes < 0) | (codes > last), last, codes)
        decoded: npt.NDArray[np.uint8] = table[codes]
        return decoded

    def show(self, code: int) -> str:
        """A code for messages: `7`, or `128 64 0` for a color."""
        if self.encoding == "index":
            return "NaN" if code == NAN_CODE else str(code)
        return f"{code >> 16} {code >> 8 & 255} {code & 255}"


@lru_cache(maxsize=8)
def _lookup_table(table: LabelTable) -> npt.NDArray[np.uint8]:
    # 64 KiB for ids, 16 MiB for colors: indexing decodes a mask, whatever the number of classes.
    # Cached here and not in LabelTable, which is pickled for the workers.
    default = IGNORE_INDEX if table.ignore == "others" else UNKNOWN
    lookup = np.full((1 << 16 if table.encoding == "index" else 1 << 24) + 1, default, np.uint8)
    if table.ignore != "others":
        lookup[list(table.ignore)] = IGNORE_INDEX
    for index, codes in enumerate(table.raw):
        lookup[list(codes)] = index
    return lookup
