"""Mask files, from any source: opened as all images, and decoded to class indices."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import UNKNOWN, Encoding, LabelTable
from tiramisu.data.readers.image_file import read_raster
from tiramisu.text import show_path


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
    raster = read_raster(path)
    values = raster.values[..., : 3 if raster.header.bands == 3 else 1]
    if encoding == "rgb" and raster.palette is not None:
        values = raster.palette[values[..., 0]]
    if encoding == "rgb" and values.shape[2] == 3:
        rgb = values.astype(np.uint32)  # (H, W, 3)
        packed: npt.NDArray[Any] = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
        return packed
    if encoding == "index" and values.shape[2] == 1:
        codes = values[..., 0]
        return codes.astype(np.uint8) if codes.dtype == np.bool_ else codes
    mode = f"{raster.header.bands} bands"
    other = "rgb" if encoding == "index" else "index"
    raise ValueError(
        f"{show_path(path)}: a mask with {mode} cannot hold `encoding: {encoding}` labels. "
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
