"""NumPy's `.npy` files as images."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from tiramisu.data.readers.raster import MAX_BANDS, Header, Raster, damaged
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import show_path

MAGIC = b"\x93NUMPY"


def read_array_header(path: Path, stream: BinaryIO) -> Header:
    """The header of a `.npy` file. Raises ValueError if it holds no image."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        read = read if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # of many kinds: the header is Python source
        raise damaged(path) from error
    if dtype.hasobject or dtype.names or dtype.kind not in "buif":
        raise ValueError(
            f"{show_path(path)} holds values of type {show_path(str(dtype))}; expected integers or "
            "floats of 8 or 16 bits, or floats of 32"
        )
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] > MAX_BANDS):
        raise ValueError(
            f"{show_path(path)} holds an array of shape {shape}; expected (H, W), or (H, W, bands) "
            f"with at most {MAX_BANDS} bands: the bands come last"
        )
    height, width, bands = (*shape, 1)[:3]
    if len(shape) == 3 and height <= 16 < min(width, bands):
        raise ValueError(
            f"{show_path(path)} holds an array of shape {shape}, which seems to be (bands, H, W); "
            "expected (H, W, bands): save np.moveaxis(array, 0, -1)"
        )
    check_size(path, height=height, width=width, pixel_bytes=bands * dtype.itemsize)
    return Header(height=height, width=width, bands=bands, type=dtype.name)


def read_array(path: Path, stream: BinaryIO) -> Raster:
    """The content of a `.npy` file; nothing in it is run as code."""
    header = read_array_header(path, stream)
    stream.seek(0)
    try:
        values = np.load(stream, allow_pickle=False)
    except Exception as error:  # such as too few bytes
        raise damaged(path) from error
    # A file may have another byte order.
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return Raster(header=header, values=values.reshape(header.height, header.width, header.bands))
