"""Label images: from the values in a mask file to class indices, by lookup table."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

IGNORE_INDEX = 255  # void, after decoding: in no loss, in no score
UNKNOWN = 254  # a value that the label table does not name; never leaves tiramisu.data
MAX_CLASSES = 254

Encoding = Literal["index", "rgb"]

_INDEX_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """Which raw mask values mean which class.

    A raw value is one integer, a *code*: the pixel's id for `index` masks (0..65535), and
    0xRRGGBB for `rgb` masks.
    """

    encoding: Encoding
    raw: tuple[tuple[int, ...], ...]
    """The codes of each class, in class order."""
    ignore: tuple[int, ...] | Literal["others"]
    """The codes that are void; "others" makes every code void that no class names."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (H, W) of any integer type -> class indices uint8 (H, W), void IGNORE_INDEX.

        Codes that the table does not name become UNKNOWN.
        """
        table = _lookup_table(self)
        if codes.dtype.itemsize > 2:
            # The table's last entry stands for every code beyond its range.
            last = len(table) - 1
            codes = np.where((codes < 0) | (codes > last), last, codes)
        return table[codes]

    def show(self, code: int) -> str:
        """A code as people write it: `7`, or `128 64 0` for a colour."""
        if self.encoding == "index":
            return str(code)
        return f"{code >> 16} {code >> 8 & 255} {code & 255}"


def read_mask(path: Path, encoding: Encoding) -> np.ndarray:
    """The codes of a mask file, integers (H, W).

    `index` masks are grey or palette images (1, 8, 16 or 32 bits; a palette's colours do not
    count), `rgb` masks any 8-bit image (transparency is dropped). Raises ValueError if the file
    cannot be read or does not fit the encoding.
    """
    try:
        with Image.open(path) as file:
            if encoding == "rgb" and file.mode not in _INDEX_MODES - {"1", "L", "P"}:
                rgb = np.asarray(file.convert("RGB")).astype(np.uint32)  # (H, W, 3)
                return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
            if encoding == "index" and file.mode in _INDEX_MODES:
                codes = np.asarray(file)
                return codes.astype(np.uint8) if codes.dtype == bool else codes
            mode = file.mode
    except (OSError, SyntaxError, ValueError) as error:  # PIL raises all three for a broken file
        raise ValueError(f"{path}: cannot read this mask ({error}).") from error
    other = "rgb" if encoding == "index" else "index"
    raise ValueError(
        f"{path}: a mask in mode {mode} cannot hold `encoding: {encoding}` labels. "
        f"Write `encoding: {other}` in the data set's YAML, or save the masks anew."
    )


def read_label(path: Path, table: LabelTable) -> np.ndarray:
    """Class indices uint8 (H, W) of a mask file, void IGNORE_INDEX.

    Raises ValueError if it cannot be read or has a value that the table does not name.
    """
    codes = read_mask(path, table.encoding)
    label = table.decode(codes)
    unknown = label == UNKNOWN
    if unknown.any():
        code = int(codes[unknown][0])
        raise ValueError(
            f"{path}: the label value {table.show(code)} belongs to no class and is not ignored. "
            "Run `tiramisu check` on the data set to see every such value."
        )
    return label


@lru_cache(maxsize=8)
def _lookup_table(table: LabelTable) -> np.ndarray:
    # 64 KiB for ids, 16 MiB for colours: one gather decodes a mask, whatever the class count.
    # Cached here and not in LabelTable, which workers get by pickle.
    default = IGNORE_INDEX if table.ignore == "others" else UNKNOWN
    lookup = np.full((1 << 16 if table.encoding == "index" else 1 << 24) + 1, default, np.uint8)
    if table.ignore != "others":
        lookup[list(table.ignore)] = IGNORE_INDEX
    for index, codes in enumerate(table.raw):
        lookup[list(codes)] = index
    return lookup
