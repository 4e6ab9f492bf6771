"""TIFF files, with any number of bands, of any type, tiled and compressed; read by tifffile."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiramisu.data.readers.raster import (
    MAX_BANDS,
    Header,
    Raster,
    damaged,
    displayed_size,
    turn,
)
from tiramisu.data.readers.size_limit import check_size
from tiramisu.text import in_one_line, show_path

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = (1, 2)  # kinds of extra samples that are transparency
_GDAL_NO_DATA = 42113
ORIENTATION_TAG = 274
_COLORS = ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE", "YCBCR", "SEPARATED")
_MOST_PAGES = 100
_WHITE = ("bool", "uint8", "uint16", "uint32")
_AXES = {"YX", "YXS", "SYX"}


def read_tiff_header(path: Path, stream: BinaryIO) -> Header:
    """The header of a TIFF file.

    Raises:
        ValueError: it is damaged, holds several images, or has colors of another kind.
    """
    with _open(path, stream) as page:
        return _read_header(page, path)


def read_tiff(path: Path, stream: BinaryIO) -> Raster:
    """The content of a TIFF file; see `read_tiff_header`."""
    with _open(path, stream) as page:
        header = _read_header(page, path)
        values = page.asarray()  # (H, W), (H, W, C) or, with planes, (C, H, W)
        if page.axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, -1)
        values, palette = _find_colors(values, page)
        values = np.asarray(values, dtype=values.dtype.newbyteorder("="))
        return Raster(
            header=header,
            values=turn(values, header.orientation),
            palette=palette,
            no_data=_read_no_data(page),
        )


def _find_colors(
    values: npt.NDArray[Any], page: Any
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """Values (H, W, C) as grey, as RGB, or as numbers of a palette, which is the second."""
    colors = page.photometric.name
    if colors == "PALETTE":
        colormap = page.colormap  # (3, N), 16 bits
        palette = (colormap >> 8 if colormap.max() > 255 else colormap).T.astype(np.uint8)
        return values.astype(np.uint8) if values.dtype == np.bool_ else values, palette
    if colors == "MINISWHITE":
        return _invert(values, bits=page.bitspersample), None
    if colors == "YCBCR" and "JPEG" not in page.compression.name:  # whose decoder makes it RGB
        return np.asarray(Image.fromarray(values, "YCbCr").convert("RGB")), None
    if colors == "SEPARATED":
        return _mix_inks(values), None
    return values, None


@contextmanager
def _open(path: Path, stream: BinaryIO) -> Iterator[Any]:
    """The only page of a TIFF."""
    import tifffile  # not needed to describe data sets and models, as torch.hub does

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(stream) as file:
            # Previews in lower resolution and masks are pages too. Pages may refer to each other
            # in a circle.
            listed = list(itertools.islice(file.pages, _MOST_PAGES))
            if not listed or not listed[0].imagelength or not listed[0].imagewidth:
                raise damaged(path)
            pages = [page for page in listed if not page.subfiletype & 0b101]
            if len(pages) > 1:
                raise ValueError(
                    f"{show_path(path)} holds {len(pages)} pages; expected one image: save each "
                    "page as a file, or the pages as the bands of one image"
                )
            yield (pages or listed)[0]
    except MemoryError as error:
        raise ValueError(f"cannot read {show_path(path)} (out of memory)") from error
    except Exception as error:  # tifffile and its decoders raise errors of a dozen types
        if isinstance(error, ValueError) and show_path(path) in str(error):
            raise
        raise damaged(path, in_one_line(error)) from error


def _read_header(page: Any, path: Path) -> Header:
    colors = getattr(page.photometric, "name", str(page.photometric))
    if colors not in _COLORS or page.axes not in _AXES:
        kind = colors if colors not in _COLORS else f"the axes {page.axes}"
        raise ValueError(
            f"{show_path(path)}: a TIFF with {kind} cannot be read as an image; expected grey, "
            "RGB, palette or CMYK: convert it"
        )
    whole = {"YCBCR": ("uint8",), "SEPARATED": ("uint8", "uint16"), "MINISWHITE": _WHITE}
    type = None if page.dtype is None else page.dtype.name
    if (
        page.dtype is None
        or page.dtype.kind not in "buif"
        or type not in whole.get(colors, (type,))
        or (colors == "PALETTE" and (page.dtype.kind not in "bu" or page.colormap is None))
    ):
        raise ValueError(
            f"{show_path(path)}: a TIFF of {colors} with values of the type {type or 'unknown'} "
            f"({page.bitspersample} bits) cannot be read; expected integers of 8 or 16 bits, or "
            "floats of 32"
        )
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    check_size(path, height=height, width=width, pixel_bytes=samples * page.dtype.itemsize)
    if samples < 1:
        raise damaged(path)
    if samples > MAX_BANDS:
        raise ValueError(
            f"{show_path(path)} has {samples} bands; expected at most {MAX_BANDS}: is it an image?"
        )
    has_alpha = bool(page.extrasamples) and page.extrasamples[-1] in _ALPHA
    bands = 3 if colors in ("PALETTE", "SEPARATED") else samples - has_alpha
    tag = page.tags.get(ORIENTATION_TAG)
    orientation = int(tag.value) if tag is not None else 1
    height, width = displayed_size(height, width, orientation)
    return Header(
        height=height,
        width=width,
        bands=bands,
        type="uint8" if colors in ("SEPARATED", "PALETTE") else page.dtype.name,
        has_alpha=has_alpha and colors != "SEPARATED",
        has_no_data=_read_no_data(page) is not None,
        orientation=orientation,
    )


def _read_no_data(page: Any) -> float | None:
    tag = page.tags.get(_GDAL_NO_DATA)
    try:
        return None if tag is None else float(str(tag.value).strip().strip("\0"))
    except ValueError:
        return None


def _invert(values: npt.NDArray[Any], *, bits: int) -> npt.NDArray[Any]:
    """Grey values of an image in which 0 is white."""
    if values.dtype == np.bool_:
        return ~values
    inverted: npt.NDArray[Any] = np.array(2**bits - 1, values.dtype) - values
    return inverted


def _mix_inks(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """CMYK (H, W, 4 or more) -> RGB uint8 (H, W, 3), without a color profile."""
    light = 1 - values[..., :4].astype(np.float32) / np.iinfo(values.dtype).max
    return np.asarray((255 * light[..., :3] * light[..., 3:]).round(), np.uint8)
