"""Mask files, from any source: opened as all images, and decoded to class indices."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import NAN_CODE, UNKNOWN, Encoding, LabelTable
from tiramisu.data.readers.image_file import read_raster
from tiramisu.text import show_path

_LARGEST = 2**31 - 1  # a float beyond it, such as a map's value for no data, is cut to it


class ColorMaskError(ValueError):
    """A mask holds colors where class numbers were expected."""


def codes_of(
    values: npt.NDArray[Any], palette: npt.NDArray[np.uint8] | None, encoding: Encoding
) -> npt.NDArray[Any]:
    """The codes of a mask from the values in its file.

    With `index`, a code is the number of a pixel: that of a single channel (whole numbers, also as
    floats; NaN is NAN_CODE), of grey with alpha, or of three equal channels, with or without alpha.
    In a palette image it is the place in the palette. With `rgb` it is the color, 0xRRGGBB.
    Alpha is ignored.

    Args:
        values: (H, W) or (H, W, C) of any type.
        palette: uint8 (N, 3), the colors that the values stand for; None if they are no places in
            a palette.
        encoding: what the pixels of the mask are.

    Returns:
        Integers (H, W).

    Raises:
        ColorMaskError: the encoding is `index`, and the channels differ.
        ValueError: the values are no codes for another reason.
    """
    if values.ndim == 2:
        values = values[..., None]
    channels = values.shape[2]
    if channels > 4:
        raise ValueError(f"a mask of {channels} bands; expected one band, or a color")
    if encoding == "rgb":
        return _pack_colors(values, palette)
    if palette is None and channels >= 3:
        red, green, blue = (values[..., i] for i in range(3))
        differs = ((red != green) | (red != blue)) & (red == red)  # NaN differs from itself
        if differs.any():
            color = " ".join(str(value) for value in values[differs][0, :3])
            raise ColorMaskError(
                f"a mask of colors, such as {color}, cannot hold `encoding: index` labels. Write "
                "`encoding: rgb` in the data set's YAML, or save the masks again"
            )
    return _whole_numbers(values[..., 0])


def _whole_numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind != "f":
        return values
    missing = np.isnan(values)
    whole = np.where(missing, 0, values).clip(-_LARGEST, _LARGEST)
    codes = whole.astype(np.int64)
    if (odd := whole[codes != whole]).size:
        raise ValueError(
            f"a mask with the value {odd[0]:.6g}; expected whole numbers. If masks were resized, "
            "resize them without interpolation"
        )
    return np.where(missing, NAN_CODE, codes)


def _pack_colors(
    values: npt.NDArray[Any], palette: npt.NDArray[np.uint8] | None
) -> npt.NDArray[Any]:
    if palette is not None:
        values = palette[values[..., 0]]
    elif values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    if values.dtype != np.uint8:
        raise ValueError(
            f"a mask of {values.dtype} values cannot hold `encoding: rgb` labels. Write "
            "`encoding: index` in the data set's YAML, or save the masks again"
        )
    last = min(values.shape[2] - 1, 2) if values.shape[2] != 2 else 0
    red, green, blue = (values[..., min(i, last)].astype(np.uint32) for i in range(3))
    packed: npt.NDArray[Any] = red << 16 | green << 8 | blue
    return packed


def read_mask(path: Path, encoding: Encoding) -> npt.NDArray[Any]:
    """The codes of a mask file, integers (H, W); see `codes_of`.

    Args:
        path: the mask.
        encoding: `index` for numbers (the colors of a palette are ignored, but for a GIF of greys,
            whose numbers are the greys), `rgb` for any 8-bit image (transparency is ignored).

    Raises:
        FileNotFoundError: there is no such file.
        ColorMaskError: the encoding is `index`, and the file holds colors.
        ValueError: the file cannot be read or does not fit the encoding.
    """
    raster = read_raster(path)
    bands, palette = raster.header.bands, raster.palette
    if bands not in (1, 3):
        raise ValueError(
            f"{show_path(path)}: a mask of {bands} bands; expected one band, or a color"
        )
    values = raster.values[..., : 1 if palette is not None else bands]
    if palette is not None:
        size = 1 << 16 if values.dtype.itemsize > 1 else 256
        palette = np.pad(palette, ((0, max(0, size - len(palette))), (0, 0)))  # the rest is black
        if path.suffix.lower() == ".gif" and not np.ptp(palette, 1).any():
            # Each GIF has its own palette, of the values that occur in it.
            values, palette = palette[values[..., 0]][..., :1], None
    try:
        return codes_of(values, palette, encoding)
    except ValueError as error:
        raise type(error)(f"{show_path(path)}: {error}") from None


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
