"""ImageFormat: which bands of an image the network sees, and the type of their values.

One rule for each kind of image, the same in training and in prediction:

- Transparency is left out. The last band of a TIFF that is declared to be transparency is one of
  the bands if `bands` names it.
- Palette and CMYK images are RGB. Grey images have one band.
- Where images in colors are expected, a grey one is repeated three times; where grey ones are
  expected, RGB is converted to its luminance (ITU-R BT.601).
- Values stay as they are in the file. Images of 1 bit have 0 and 255.
- Images whose files declare a no-data value are float32, but for those of 8 bits, and NaN where
  they have it. A network sees 0 there, the mean of the training images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tiramisu.data.readers.raster import Header, Raster
from tiramisu.text import show_path

PixelType = Literal["uint8", "uint16", "int16", "float32"]
"""Types of the values of images. Others are converted to one that holds them without loss."""
Bands = Literal["rgb", "grey"] | tuple[int, ...] | None
"""The bands to use: as RGB, as grey, by their numbers from 1, or None for all."""

_STORED: dict[str, PixelType] = {
    "bool": "uint8",
    "uint8": "uint8",
    "int8": "int16",
    "uint16": "uint16",
    "int16": "int16",
}
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_EXACT = 2**24
"""Whole numbers up to this are exact in float32."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """The bands of images, and the type of their values."""

    channels: int = 3
    """Number of bands that the network sees."""
    pixel_type: PixelType = "uint8"
    bands: tuple[int, ...] | None = None
    """Their numbers in the files, from 1; None for all."""


RGB = ImageFormat()


def find_format(
    headers: Iterable[tuple[Path, Header]], bands: Bands, *, what: str = "the images"
) -> ImageFormat:
    """The format of the images of a data set.

    Args:
        headers: of the images, with their files.
        bands: the bands to use.
        what: whose images, for messages.

    Raises:
        ValueError: the images differ in their bands or in their types; the message counts them.
    """
    listed = list(headers)
    types: dict[PixelType, list[Path]] = {}
    counts: dict[int, list[Path]] = {}
    for path, header in listed:
        types.setdefault(stored_type(header.type), []).append(path)
        if bands is not None and not isinstance(bands, str):
            check_bands(header, bands, what=show_path(path))
        counts.setdefault(header.bands, []).append(path)
    if "uint8" in types and len(types) > 1:
        raise ValueError(
            f"{what} have values of different types: {_count(types)}; expected one type, because a "
            "value of 8 bits and the same value of another type mean different things: convert them"
        )
    pixel_type: PixelType = "float32" if len(types) > 1 else next(iter(types), "uint8")
    if pixel_type != "uint8" and any(header.has_no_data for _, header in listed):
        pixel_type = "float32"  # which has NaN for no data
    if isinstance(bands, tuple):
        return ImageFormat(channels=len(bands), pixel_type=pixel_type, bands=bands)
    if bands == "grey":
        if odd := [number for number in counts if number not in (1, 3)]:
            raise ValueError(
                f"{show_path(counts[odd[0]][0])} has {odd[0]} bands, and `bands` is grey; expected "
                "1 or 3: give the number of one band, such as [1]"
            )
        return ImageFormat(channels=1, pixel_type=pixel_type)
    most = max(counts, default=3)
    if bands == "rgb":
        if odd := [number for number in counts if number not in (1, 3) and number < 3]:
            raise ValueError(
                f"{show_path(counts[odd[0]][0])} has {odd[0]} bands, and `bands` is rgb; "
                "expected 1, 3 or more"
            )
        # Of four bands and more, the first three.
        first = (1, 2, 3) if most > 3 else None
        return ImageFormat(channels=3, pixel_type=pixel_type, bands=first)
    if len(counts) > 1 and set(counts) != {1, 3}:
        named = {f"{number} bands": paths for number, paths in sorted(counts.items())}
        raise ValueError(
            f"{what} differ in their number of bands: {_count(named)}. Choose some by --bands "
            "(`bands` in the YAML), such as rgb or [1,2,3], or remove the images that do not belong"
        )
    return ImageFormat(channels=most, pixel_type=pixel_type)


def _count(groups: dict[Any, list[Path]]) -> str:
    return ", ".join(
        f"{name} ({len(paths)}, the first is {show_path(paths[0])})"
        for name, paths in groups.items()
    )


def stored_type(name: str) -> PixelType:
    """The type in which values of a NumPy type are kept."""
    return _STORED.get(name, "float32")


def check_bands(header: Header, bands: Sequence[int], *, what: str) -> None:
    """Raise ValueError if an image lacks one of these bands, counted from 1."""
    there = header.bands + header.has_alpha
    if max(bands) > there:
        raise ValueError(
            f"{what} has {there} bands; expected one with the number {max(bands)}, "
            "which `bands` names"
        )


def as_format(raster: Raster, format: ImageFormat, *, what: str) -> npt.NDArray[Any]:
    """The content of an image in a format: (H, W, channels).

    Args:
        raster: the content.
        format: the bands and the type that are expected.
        what: the image, for messages: its path.

    Raises:
        ValueError: the image has other bands or another type.
    """
    image = _find_colors(raster)
    header = raster.header
    is_wider = format.pixel_type == "float32" and image.dtype != np.uint8
    if raster.no_data is not None and is_wider:
        # float64 holds integers of 32 bits too; it becomes float32 below.
        image = np.where(image == raster.no_data, np.nan, image.astype(np.float64))
    if format.bands is not None and not (format.bands == (1, 2, 3) and header.bands == 1):
        check_bands(header, format.bands, what=what)
        # Arrays have no transparency: the bands may be fewer than the header says.
        image = image[..., [number - 1 for number in format.bands]]
    else:
        image = image[..., : header.bands]
        image = _convert_colors(image, format, what=what)
    image = convert_type(image, format.pixel_type, what=what)
    if image.dtype == np.float32 and np.isinf(image).any():
        raise ValueError(f"{what} holds infinity; expected numbers, or NaN for no data")
    return np.ascontiguousarray(image)


def no_data_pixels(raster: Raster) -> npt.NDArray[np.bool_] | None:
    """Pixels that are not part of an image, bool (H, W); None if the file declares none."""
    values = raster.values[..., : raster.header.bands]
    if raster.no_data is not None and raster.palette is None:
        found: npt.NDArray[np.bool_] = (values == raster.no_data).all(axis=2)
        if values.dtype.kind == "f":
            found |= np.isnan(values).all(axis=2)
        return found
    if values.dtype.kind == "f":
        missing: npt.NDArray[np.bool_] = np.isnan(values).all(axis=2)
        return missing if missing.any() else None
    return None


def _find_colors(raster: Raster) -> npt.NDArray[Any]:
    """The values, with the colors of a palette in place of its entries."""
    values = raster.values
    colors = values
    if raster.palette is not None:
        table = np.zeros((1 << 16 if values.dtype.itemsize > 1 else 256, 3), np.uint8)
        table[: len(raster.palette)] = raster.palette
        colors = table[values[..., 0]]
    elif values.dtype == np.bool_:
        colors = values * np.uint8(255)
    return colors


def _convert_colors(image: npt.NDArray[Any], format: ImageFormat, *, what: str) -> npt.NDArray[Any]:
    """Grey to RGB or RGB to grey where a network sees the other."""
    found, wanted = image.shape[2], format.channels
    if found == wanted:
        return image
    if (found, wanted) == (1, 3):
        return np.repeat(image, 3, axis=2)
    if (found, wanted) == (3, 1):
        grey = image.astype(np.float32) @ _LUMINANCE[:, None]
        return np.asarray(grey if image.dtype.kind == "f" else grey.round(), image.dtype)
    raise ValueError(
        f"{what} has {found} {'band' if found == 1 else 'bands'}; expected {wanted}, as "
        "the images that the network is trained on"
    )


def convert_type(image: npt.NDArray[Any], wanted: PixelType, *, what: str) -> npt.NDArray[Any]:
    """Values in another type, without loss.

    Raises:
        ValueError: values of 8 bits are expected and others came, or the other way round; or a
            value does not fit.
    """
    if image.dtype == wanted:
        return image
    if (stored_type(image.dtype.name) == "uint8") != (wanted == "uint8"):
        raise ValueError(
            f"{what} holds values of the type {image.dtype}; expected {wanted}, as the images that "
            "the network is trained on: convert it"
        )
    if image.dtype.kind in "iu" and wanted == "float32":
        fits = image.dtype.itemsize <= 2 or (image.min() >= -_EXACT and image.max() <= _EXACT)
    elif wanted == "float32":
        fits = True  # only digits beyond the seventh are lost
    else:
        info = np.iinfo(wanted)
        whole = image.dtype.kind in "iu" or bool((image == np.round(image)).all())
        fits = bool(whole and info.min <= image.min() and image.max() <= info.max)
    if not fits:
        low, high = image.min(), image.max()
        raise ValueError(
            f"{what} holds values of the type {image.dtype} from {low:g} to {high:g}, which "
            f"{wanted} does not hold without loss; expected values of {' or '.join(_choices())}"
        )
    return image.astype(wanted)


def _choices() -> tuple[str, ...]:
    return get_args(PixelType)


def describe_bands(format: ImageFormat) -> str:
    """The bands in words: `3 (RGB)`, `1 (grey)`, `4`, or `3 (4, 2, 1)`."""
    if format.bands is not None:
        return f"{format.channels} ({', '.join(map(str, format.bands))})"
    words = {1: "1 (grey)", 3: "3 (RGB)"}
    return words.get(format.channels, str(format.channels))
