"""PNG, JPEG and all other image files but TIFF: headers by Pillow, pixels by OpenCV or Pillow."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tiramisu.data.readers.raster import Header, Raster, damaged, displayed_size, turn
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import in_one_line, show_path

_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000 without a file format around it

# Pillow's classes are called directly. `Image.open` tries all formats, some of which run other
# programs (EPS), and has a limit of its own, which only a change for the whole process can raise.
_FORMATS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
    **{b"P%d" % number: PpmImageFile for number in range(1, 7)},
    b"\0\0\0\x0cjP  ": Jpeg2KImageFile,
    _CODESTREAM: Jpeg2KImageFile,
}
_ENDS: dict[type[ImageFile], bytes] = {JpegImageFile: b"\xff\xd9", PngImageFile: b"IEND"}
_BANDS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "I;16": 1, "I": 1}
_BANDS |= dict.fromkeys(("RGB", "RGBA", "RGBX", "CMYK", "YCbCr"), 3)
_BY_PILLOW = {"1", "LA", "P", "PA"}
_ORIENTATION = 0x0112


def read_picture_header(path: Path, stream: BinaryIO) -> Header:
    """The header of an image file.

    Raises:
        ValueError: it is damaged, an animation, too large, or has colors of another kind.
    """
    return _read_header(path, _open(path, stream))


def read_picture(path: Path, content: bytes) -> Raster:
    """The content of an image file; see `read_picture_header`."""
    stream = io.BytesIO(content)
    file = _open(path, stream)
    pixels_start = stream.tell()
    header = _read_header(path, file)
    # OpenCV before version 5 fills what is missing of a JPEG with grey. Pillow has stopped where
    # the pixels start, so this is not the end of a thumbnail.
    end = _ENDS.get(type(file), b"")
    if content.rfind(end, pixels_start) < 0:
        raise ValueError(f"{show_path(path)} is damaged: its end is missing")
    palette = None
    if file.mode in _BY_PILLOW or isinstance(file, GifImageFile):
        values = _decode_by_pillow(path, lambda: np.asarray(file))
        if file.mode in ("P", "PA"):
            palette = np.array(file.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    else:
        values = _decode_by_opencv(path, content, header)
    values = values.reshape(*values.shape[:2], -1)
    if file.mode in ("PA", "LA"):
        values = values[..., :1]
    return Raster(header=header, values=turn(values, header.orientation), palette=palette)


def _open(path: Path, stream: BinaryIO) -> ImageFile:
    start = stream.read(16)
    stream.seek(0)
    format = next((kind for magic, kind in _FORMATS.items() if start.startswith(magic)), None)
    if format is None:
        raise damaged(path)
    try:
        return format(stream)
    except Exception as error:  # Pillow raises errors of a dozen types for damaged files
        raise damaged(path) from error


def _read_header(path: Path, file: ImageFile) -> Header:
    is_deep = _is_deep(file)
    # Pillow calls grey with transparency of 16 bits RGBA.
    bands = 1 if _raw_mode(file).startswith("LA") else _BANDS.get(file.mode, 3)
    check_size(
        path,
        height=file.height,
        width=file.width,
        pixel_bytes=len(file.getbands()) * (2 if is_deep else 1),
    )
    if file.mode not in _BANDS:
        raise ValueError(
            f"{show_path(path)}: an image in mode {file.mode} cannot be read as colors; expected "
            "grey, RGB, palette or CMYK: convert it"
        )
    try:
        frames = getattr(file, "n_frames", 1)
        # Where a PNG has none before its pixels, Pillow would decode these to look behind them.
        has_exif = "exif" in file.info or not isinstance(file, PngImageFile)
        orientation = file.getexif().get(_ORIENTATION, 1) if has_exif else 1
    except Exception:  # what damaged metadata raise; the pixels may be whole
        frames, orientation = 1, 1
    if frames > 1:
        raise ValueError(
            f"{show_path(path)} is an animation of {frames} images; expected one image: save each "
            "as a file"
        )
    orientation = orientation if orientation in range(1, 9) else 1
    height, width = displayed_size(file.height, file.width, orientation)
    return Header(
        height=height,
        width=width,
        bands=bands,
        type="uint16" if is_deep else "bool" if file.mode == "1" else "uint8",
        orientation=orientation,
    )


def _is_deep(file: ImageFile) -> bool:
    """Whether the values have more than 8 bits. Pillow's modes do not say so of RGB."""
    if file.mode in ("I;16", "I") or ";16" in _raw_mode(file):
        return True
    if isinstance(file, Jpeg2KImageFile):
        return _count_jpeg2000_bits(file) > 8
    args = file.tile[0][3] if file.tile else None
    # Of a PPM: how the values are written, and the largest.
    return isinstance(file, PpmImageFile) and isinstance(args, tuple) and int(args[1]) > 255


def _raw_mode(file: ImageFile) -> str:
    """How the values are written in a PNG, such as RGB;16B."""
    args = file.tile[0][3] if file.tile else None
    return args if isinstance(args, str) else ""


def _count_jpeg2000_bits(file: Jpeg2KImageFile) -> int:
    """Bits of a value, less the sign."""
    stream = file.fp
    assert stream is not None
    place = stream.tell()
    stream.seek(0)
    start = stream.read(4096)
    stream.seek(place)
    # In the header of the codestream (SIZ), or of the file (ihdr).
    header = start.find(b"ihdr")
    depth = start[42:43] if start.startswith(_CODESTREAM) else start[header + 14 : header + 15]
    return (depth[0] & 0x7F) + 1 if depth else 8


def _decode_by_pillow(path: Path, decode: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        return decode()
    except MemoryError as error:
        raise ValueError(f"cannot read {show_path(path)} (out of memory)") from error
    except Exception as error:
        raise damaged(path) from error


def _decode_by_opencv(path: Path, content: bytes, header: Header) -> npt.NDArray[Any]:
    """Grey (H, W) or RGB (H, W, 3), of 8 or 16 bits, not turned."""
    import cv2  # not needed to describe data sets and models, as torch.hub does

    color = cv2.IMREAD_GRAYSCALE if header.bands == 1 else cv2.IMREAD_COLOR
    flags = color | cv2.IMREAD_IGNORE_ORIENTATION
    flags |= cv2.IMREAD_ANYDEPTH if header.type == "uint16" else 0
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:  # such as too little memory
        raise ValueError(f"cannot read {show_path(path)} ({in_one_line(error)})") from error
    if image is None or image.dtype != header.type:
        raise damaged(path)
    return image if header.bands == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
