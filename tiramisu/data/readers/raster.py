"""Raster: what an image file holds, in its own type and with all its bands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.text import show_path

MAX_BANDS = 512
"""Most bands of an image."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an image file says about itself before its pixels are decoded."""

    height: int
    """In pixels, as the image is displayed: a rotation in EXIF is applied."""
    width: int
    bands: int
    """Number of bands, without transparency; a palette or CMYK counts as three, RGB."""
    type: str
    """NumPy's name of the type of its values, such as uint16."""
    has_alpha: bool = False
    """Whether one more band is transparency, which only a TIFF keeps."""
    has_no_data: bool = False
    """Whether the file declares a value of pixels that are not part of the image."""
    orientation: int = 1
    """The orientation in EXIF, 1 to 8; 1 is not turned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """The content of an image file."""

    header: Header
    values: npt.NDArray[Any]
    """(H, W, C) in the file's own type, turned as EXIF says; colors are RGB. A palette image has
    one band, the numbers of the entries. Transparency of a TIFF is the last band; that of other
    files is left out."""
    palette: npt.NDArray[np.uint8] | None = None
    """RGB (N, 3) of the entries."""
    no_data: float | None = None
    """The value of pixels that are not part of the image, if the file declares one."""


def turn(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """An array (H, W, ...) as it is displayed.

    Args:
        values: as in the file.
        orientation: of EXIF, 1 to 8; other numbers do not turn.
    """
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


def displayed_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Height and width of an image as it is displayed; see `turn`."""
    return (width, height) if is_turned_sideways(orientation) else (height, width)


def is_turned_sideways(orientation: int) -> bool:
    """Whether height and width change places."""
    return orientation in (5, 6, 7, 8)


def damaged(path: str | Path, reason: str = "") -> ValueError:
    """The error for a file that cannot be decoded."""
    return ValueError(
        f"{show_path(path)} is damaged or is no image{reason and f' ({reason})'}; expected a file "
        "such as PNG, JPEG, TIFF or .npy"
    )
