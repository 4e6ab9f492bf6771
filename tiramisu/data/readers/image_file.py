"""Image files, from any source: images, masks and frames are all opened through this file.

A header is read before anything is decoded, so a file that is no image, is cut off, or declares
more pixels than the memory may hold is refused by its name.
"""

import io
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tiramisu.data.image_format import ImageFormat, as_format, find_format
from tiramisu.data.plain_file import check_plain_file
from tiramisu.data.readers import array_file, tiff_file
from tiramisu.data.readers.array_file import read_array, read_array_header
from tiramisu.data.readers.picture_file import read_picture, read_picture_header
from tiramisu.data.readers.raster import Header, Raster
from tiramisu.data.readers.size_limit import BYTES_PER_PIXEL, LIMIT_VARIABLE, most_megapixels
from tiramisu.data.readers.tiff_file import read_tiff, read_tiff_header
from tiramisu.text import show_path

IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".npy"),
}
"""Endings of images in folders. What a file holds is read off its first bytes, not its ending."""

_METADATA_BYTES = 1 << 26


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its ending. Operating systems make files with a leading dot."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")


def read_image(path: str | Path, format: ImageFormat | None = None) -> npt.NDArray[Any]:
    """Read an image file, turned the way its EXIF orientation says.

    Args:
        path: the file.
        format: the bands and the type of the values; None for those of the file.

    Returns:
        (H, W, C) of that format, such as RGB uint8.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, too large, no image, or has other bands or another type;
            the message names it.
    """
    path = Path(path)
    return decode_image(_read_bytes(path), format, what=path)


def decode_image(
    content: bytes, format: ImageFormat | None = None, *, what: str | Path
) -> npt.NDArray[Any]:
    """An image from the content of its file, as `read_image`.

    Args:
        content: of the file.
        format: the bands and the type of the values; None for those of the file.
        what: path of the file, or another name for messages.
    """
    path = Path(what)
    raster = _decode(path, content)
    format = format or find_format([(path, raster.header)], None)
    return as_format(raster, format, what=show_path(path))


def read_raster(path: Path) -> Raster:
    """All that an image file holds, in its own type.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, too large or no image; the message names it.
    """
    return _decode(path, _read_bytes(path))


def _decode(path: Path, content: bytes) -> Raster:
    if content.startswith(array_file.MAGIC):
        return read_array(path, io.BytesIO(content))
    if content.startswith(tiff_file.MAGICS):
        return read_tiff(path, io.BytesIO(content))
    return read_picture(path, content)


def read_header(path: Path) -> Header:
    """What an image file says about itself; its pixels are not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, too large or no image.
    """
    check_plain_file(path, kind="image")
    with path.open("rb") as stream:
        start = stream.read(16)
        stream.seek(0)
        if start.startswith(array_file.MAGIC):
            return read_array_header(path, stream)
        if start.startswith(tiff_file.MAGICS):
            return read_tiff_header(path, stream)
        return read_picture_header(path, stream)


def _read_bytes(path: Path) -> bytes:
    size = check_plain_file(path, kind="image")
    most = most_megapixels() * 1_000_000 * BYTES_PER_PIXEL + _METADATA_BYTES
    if size > most:
        raise ValueError(
            f"{show_path(path)} is a file of {size / 1e9:,.1f} GB; an image of "
            f"{most_megapixels()} megapixels, the most that are read, takes less. If it is one, "
            f"set the environment variable {LIMIT_VARIABLE} to more"
        )
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else "out of memory"
        raise ValueError(f"cannot read {show_path(path)} ({reason})") from error
