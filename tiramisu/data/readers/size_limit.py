"""The size of the largest image that is read: a header may declare more than the memory holds."""

import os
import re
from pathlib import Path

from tiramisu.text import show_path

LIMIT_VARIABLE = "TIRAMISU_MAX_MEGAPIXELS"
DEFAULT_MEGAPIXELS = 200
"""A frame of the largest cameras; decoded, it takes 0.6 GB."""
BYTES_PER_PIXEL = 8
"""The most of an image with as many pixels as the limit: RGBA of 16 bits. An image with more bands
may have fewer pixels."""
_MOST_MEGAPIXELS = 1073  # OpenCV decodes up to 2**30 pixels
_LONGEST_SIDE = 1_000_000  # of libpng, and nearly that of OpenCV


def check_size(path: str | Path, *, height: int, width: int, pixel_bytes: int = 3) -> None:
    """Raise ValueError if an image, or a frame of a video, declares more than is read.

    Args:
        path: the file, for the message.
        height, width: in pixels.
        pixel_bytes: bytes of a pixel, all bands together.
    """
    if max(height, width) > _LONGEST_SIDE:
        raise ValueError(
            f"{show_path(path)} declares {height} x {width} pixels (height x width); at most "
            f"{_LONGEST_SIDE:,} are read on a side"
        )
    limit = most_megapixels()
    what = ""
    if height * width * pixel_bytes > limit * 1_000_000 * BYTES_PER_PIXEL:
        what = f"{height * width * pixel_bytes / 1e9:,.1f} GB; at most {limit} megapixels of "
        what += f"{BYTES_PER_PIXEL} bytes are read"
    elif height * width > limit * 1_000_000:
        what = f"{height * width / 1e6:,.0f} megapixels; at most {limit} are read"
    if what:
        raise ValueError(
            f"{show_path(path)} declares {height} x {width} pixels (height x width), {what}. If "
            f"this is true, set the environment variable {LIMIT_VARIABLE} to more"
        )


def most_megapixels() -> int:
    """The size of the largest image that is read; ValueError if the user's limit is no size."""
    given = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_MEGAPIXELS)
    number = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
    if not 1 <= number <= _MOST_MEGAPIXELS:
        raise ValueError(
            f"the environment variable {LIMIT_VARIABLE} is {given!r}; expected the size of the "
            f"largest image to read, in megapixels: a whole number from 1 to {_MOST_MEGAPIXELS}"
        )
    return number
