"""Image files that nobody can read, or only with care, by a name that says what is wrong."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (48, 32)  # width and height of all images that can be read


def picture(mode: str = "RGB") -> Image.Image:
    ramp = np.arange(SIZE[0] * SIZE[1] * 3, dtype=np.uint32).reshape(SIZE[1], SIZE[0], 3)
    return Image.fromarray((ramp // 19 % 256).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int, *, data: bytes = b"") -> bytes:
    """A PNG file of one bit a pixel that declares any size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _bmp_bomb(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + info + bytes(50)


def _tiff_bomb(width: int, height: int) -> bytes:
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 9, 279: 99}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4)


def _jpeg_bomb(width: int, height: int) -> bytes:
    frame = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:frame] + struct.pack(">HH", height, width) + JPEG[frame + 4 :]


def _with_thumbnail(jpeg: bytes) -> bytes:
    block = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encode(picture().resize((16, 16)), "JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


PNG = encode(picture(), "PNG")
JPEG = encode(picture(), "JPEG", quality=95)
_GIF = encode(picture("P"), "GIF")

TOO_LARGE = {
    "declares_much.png": png_bomb(60_000, 60_000),
    "inflates.png": png_bomb(30_000, 30_000, data=bytes(3_751 * 30_000)),
    "longest.png": png_bomb(2**21, 1),
    "much.bmp": _bmp_bomb(60_000, 60_000),
    "upside_down.bmp": _bmp_bomb(60_000, -60_000),
    "much.tif": _tiff_bomb(60_000, 60_000),
    "much.jpg": _jpeg_bomb(60_000, 60_000),
    "gif.png": _GIF[:6] + struct.pack("<HH", 65_535, 65_535) + _GIF[10:],
    "ppm.png": b"P6\n60000 60000\n255\n",
}
DAMAGED = {
    "empty.png": b"",
    "one_byte.png": PNG[:1],
    "signature.png": PNG[:8],
    "half.png": PNG[: len(PNG) // 2],
    "no_end.png": PNG[:-20],
    "flipped.png": PNG[:-30] + bytes([PNG[-30] ^ 1]) + PNG[-29:],
    "no_width.png": png_bomb(0, 10),
    "half.jpg": JPEG[:-60],
    "no_end.jpg": JPEG[:-2],
    "thumbnail.jpg": _with_thumbnail(JPEG)[:-60],
    "progressive.jpg": encode(picture(), "JPEG", progressive=True)[:-200],
    "header.jpg": JPEG[:100],
    "half.webp": encode(picture(), "WEBP")[:-50],
    "half.tif": encode(picture(), "TIFF")[:-900],
    "lzw.tif": encode(picture(), "TIFF", compression="tiff_lzw")[:200],
    "half.bmp": encode(picture(), "BMP")[:-900],
    "no_entries.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "numbers.png": b"P6\n-5 -5\n255\n",
}
NO_IMAGES = {
    "text.png": b"hello\n" * 20,
    "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
    "zeros.png": bytes(1000),
    "playlist.png": b"ffconcat version 1.0\nfile other.png\n",
    "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "icon.png": encode(picture().resize((16, 16)), "ICO"),
}


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have about 100 letters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def _sparse(path: Path) -> None:
    path.write_bytes(PNG)
    os.truncate(path, 10**12)


NO_FILES: dict[str, Callable[[Path], None]] = {
    "pipe.png": os.mkfifo,
    "socket.png": _socket,
    "device.png": lambda path: path.symlink_to("/dev/zero"),
    "nothing.png": lambda path: path.symlink_to("no/such/file.png"),
    "circle.png": lambda path: path.symlink_to(path.name),
    "terabyte.png": _sparse,
}
BAD = {**TOO_LARGE, **DAMAGED, **NO_IMAGES, **NO_FILES}


def _two_frames() -> dict[str, Any]:
    return {"save_all": True, "append_images": [picture().rotate(180)]}


_WIDE = Image.fromarray(np.asarray(picture("L")).astype(np.uint16) * 257)
GOOD = {
    "plain.png": PNG,
    "plain.jpg": JPEG,
    "named_png.jpg": PNG,
    "thumbnail.jpg": _with_thumbnail(JPEG),
    "progressive.jpg": encode(picture(), "JPEG", progressive=True),
    "behind_the_end.jpg": JPEG + b"\0" * 100,
    "gray.jpg": encode(picture("L"), "JPEG"),
    "cmyk.jpg": encode(picture("CMYK"), "JPEG"),
    "two_frames.jpg": encode(picture(), "MPO", **_two_frames()),
    "bad_exif.jpg": JPEG[:2] + b"\xff\xe1\0\x20Exif\0\0" + b"\xff" * 24 + JPEG[2:],
    "palette.png": encode(picture("P"), "PNG"),
    "bits.png": encode(picture("1"), "PNG"),
    "transparent.png": encode(picture("RGBA"), "PNG"),
    "gray_transparent.png": encode(picture("LA"), "PNG"),
}
DEEP = {
    "16_bits.png": encode(_WIDE, "PNG"),
    "16_bits.tif": encode(_WIDE, "TIFF"),
    "16_bits.pgm": encode(_WIDE, "PPM"),
}
"""Grey images of 16 bits: 257 times the values of `picture("L")`."""
SEVERAL = {
    "animation.png": encode(picture(), "PNG", **_two_frames()),
    "pages.tif": encode(picture(), "TIFF", **_two_frames()),
    "animation.webp": encode(picture(), "WEBP", lossless=True, **_two_frames()),
}
ODD_NAMES = tuple(
    os.fsdecode(name)
    for name in (
        b"\xff.png",
        b"caf\xe9.png",
        b"two\nlines.png",
        b"carriage\rreturn.png",
        b"escape\x1b[31m.png",
        "rocket\U0001f680.png".encode(),
        b"-dash.png",
        b"[a-b]*.png",
        b"%03d.png",
        b"x" * 250 + b".png",
        "\u6f22".encode() * 80 + b".png",
    )
)


def write_bad(path: Path, name: str) -> None:
    """Make the file that BAD has under a name."""
    content = BAD[name]
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
