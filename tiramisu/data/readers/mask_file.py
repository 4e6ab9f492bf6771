"""Mask files, from any source: opened as all images, and decoded to class indices."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import UNKNOWN, Encoding, LabelTable
from tiramisu.data.readers.image_file import open_image
from tiramisu.text import show_path

_INDEX_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}


def read_mask(path: Path, encoding: Encoding) -> npt.NDArray[Any]:
    """The codes of a mask file, integers (H, W).

    Args:
        path: the mask.
        encoding: `index` for grey or palette images of 1, 8, 16 or 32 bits (the colors of a palette
            are ignored), `rgb` for any 8-bit image (transparency is ignored).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read or does not fit the encoding.
    """
    with open_image(path) as file:
        if encoding == "rgb" and file.mode not in _INDEX_MODES - {"1", "L", "P"}:
            rgb = np.asarray(file.convert("RGB")).astype(np.uint32)  # (H, W, 3)
            packed: npt.NDArray[Any] = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
            return packed
        if encoding == "index" and file.mode in _INDEX_MODES:
            codes = np.asarray(file)
            return codes.astype(np.uint8) if codes.dtype == np.bool_ else codes
        mode = file.mode
    other = "rgb" if encoding == "index" else "index"
    raise ValueError(
        f"{show_path(path)}: a mask in mode {mode} cannot hold `encoding: {encoding}` labels. "
        f"Write `encoding: {other}` in the data set's YAML, or save the masks again"
    )


def read_label(path: Path, table: LabelTable) -> npt.NDArray[np.uint8]:
    """Class indices uint8 (H, W) of a mask file; void is IGNORE_INDEX.

    Raises:
        ValueError: the file cannot be read, or has a value that is not in the table.
    """
    codes = read_mask(path, table.encoding)
    label = table.decode(codes)
    unknown = label == UNKNOWN
    if unknown.any():
        code = int(codes[unknown][0])
        raise ValueError(
            f"{show_path(path)}: the label value {table.show(code)} belongs to no class and is not "
            "ignored. `tiramisu check` lists all such values"
        )
    return label
