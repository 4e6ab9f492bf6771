"""Image files, from any source: images, masks and frames are all opened through this file.

A header is read before anything is decoded, so a file that is no image, is cut off, or declares
more pixels than the memory may hold is refused by its name.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tiramisu.data.plain_file import check_plain_file
from tiramisu.text import in_one_line, show_path

IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".jp2", ".npy"),
}
"""Endings of images in folders. What a file holds is read off its first bytes, not its ending."""

LIMIT_VARIABLE = "TIRAMISU_MAX_MEGAPIXELS"
DEFAULT_MEGAPIXELS = 200
"""A frame of the largest cameras; decoded, it takes 0.6 GB."""
_MOST_MEGAPIXELS = 1073  # OpenCV decodes up to 2**30 pixels
_LONGEST_SIDE = 1_000_000  # of libpng, and nearly that of OpenCV
_BYTES_PER_PIXEL = 8  # the most that an image file takes: RGBA of 16 bits
_METADATA_BYTES = 1 << 26

# Pillow's classes are called directly. `Image.open` tries all formats, some of which run other
# programs (EPS), and has a limit of its own, which only a change for the whole process can raise.
_FORMATS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II+\0": TiffImageFile,
    b"MM\0+": TiffImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
    **{b"P%d" % number: PpmImageFile for number in range(1, 7)},
    b"\0\0\0\x0cjP  ": Jpeg2KImageFile,
    b"\xff\x4f\xff\x51": Jpeg2KImageFile,
}
_ENDS: dict[type[ImageFile], bytes] = {JpegImageFile: b"\xff\xd9", PngImageFile: b"IEND"}
_IMAGE_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_IMAGE_MODES |= {"I;16", "I;16B", "I;16L"}


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an image file as RGB uint8 (H, W, 3), turned the way its EXIF orientation says.

    16-bit images are divided by 256, transparency is dropped, and of an animation the first frame
    is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, too large or no image; the message names it.
    """
    import cv2  # not needed to describe data sets and models, as torch.hub does

    content, file = _open(Path(path))
    if file.mode not in _IMAGE_MODES and not (file.mode == "I" and file.format == "PPM"):
        raise ValueError(
            f"{show_path(path)}: an image in mode {file.mode} cannot be read as colors; expected 8 "
            "or 16 bits for each color: save it again, for example as PNG"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # such as too little memory
        raise ValueError(f"cannot read {show_path(path)} ({in_one_line(error)})") from error
    if image is None:
        raise _damaged(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile]:
    """An image file whose header is checked; what reads its pixels belongs into the block.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, too large or no image; the message names it.
    """
    _, file = _open(path)
    try:
        yield file
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises errors of a dozen types for damaged files
        raise _damaged(path) from error


def check_size(path: str | Path, *, height: int, width: int) -> None:
    """Raise ValueError if an image, or a frame of a video, declares more pixels than are read."""
    if max(height, width) > _LONGEST_SIDE:
        raise ValueError(
            f"{show_path(path)} declares {height} x {width} pixels (height x width); at most "
            f"{_LONGEST_SIDE:,} are read on a side"
        )
    limit = most_megapixels()
    if height * width > limit * 1_000_000:
        raise ValueError(
            f"{show_path(path)} declares {height} x {width} pixels (height x width), "
            f"{height * width / 1e6:,.0f} megapixels; at most {limit} are read. If this is true, "
            f"set the environment variable {LIMIT_VARIABLE} to more"
        )


def read_size(path: Path) -> tuple[int, int]:
    """Height and width as the header of an image file says; the rest of it is not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is too large or no image.
    """
    check_plain_file(path, kind="image")
    with path.open("rb") as stream:
        file = _read_header(path, stream)
        return file.height, file.width


def _open(path: Path) -> tuple[bytes, ImageFile]:
    """The bytes of an image file, and its header as read by Pillow."""
    content = _read_bytes(path)
    stream = io.BytesIO(content)
    file = _read_header(path, stream)
    format = type(file)
    # OpenCV before version 5 fills what is missing of a JPEG with grey. Pillow has stopped where
    # the pixels start, so this is not the end of a thumbnail.
    if format in _ENDS and content.rfind(_ENDS[format], stream.tell()) < 0:
        raise ValueError(f"{show_path(path)} is damaged: its end is missing")
    return content, file


def _read_header(path: Path, stream: BinaryIO) -> ImageFile:
    start = stream.read(16)
    stream.seek(0)
    format = next((kind for magic, kind in _FORMATS.items() if start.startswith(magic)), None)
    if format is None:
        raise _damaged(path)
    try:
        file = format(stream)
    except Exception as error:  # Pillow raises errors of a dozen types for damaged files
        raise _damaged(path) from error
    check_size(path, height=file.height, width=file.width)
    return file


def _read_bytes(path: Path) -> bytes:
    size = check_plain_file(path, kind="image")
    most = most_megapixels() * 1_000_000 * _BYTES_PER_PIXEL + _METADATA_BYTES
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


def _damaged(path: str | Path) -> ValueError:
    return ValueError(
        f"{show_path(path)} is damaged or is no image; expected a file such as PNG or JPEG"
    )
