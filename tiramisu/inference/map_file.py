"""Scene: a TIFF of any size that is read by windows, with its place on the map."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.atomic import WriteError, write_then_rename
from tiramisu.data.image_format import as_format
from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.plain_file import check_plain_file
from tiramisu.data.readers.raster import Header, Raster
from tiramisu.data.readers.size_limit import most_megapixels
from tiramisu.data.readers.tiff_file import ORIENTATION_TAG
from tiramisu.inference.packages import require_package
from tiramisu.inference.polygon_files import IN_PIXELS, Place
from tiramisu.inference.predictor import Predictor
from tiramisu.inference.windows import Values
from tiramisu.text import in_one_line, show_path

SUFFIXES = {".tif", ".tiff"}
EXTRA = "geo"

# Tags of GeoTIFF: the size of a pixel, the points on the map, the transform, the CRS.
_MAP_TAGS = (33550, 33922, 34264, 34735)
_WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld")
_BLOCK = 256  # side of the blocks of a mask, in pixels
_CACHE = 256  # of GDAL, in megabytes

log = logging.getLogger(__name__)


class Scene:
    """An open TIFF; see `open_scene`.

    Args:
        dataset: rasterio's, open for reading.
        path: the file, for messages.
    """

    def __init__(self, dataset: Any, path: Path) -> None:
        self.dataset = dataset
        self.path = path
        self.shape: tuple[int, int, int] = (dataset.height, dataset.width, dataset.count)
        alpha = [kind.name == "alpha" for kind in dataset.colorinterp]
        self.bands = self.shape[2] - alpha.count(True)
        """Number of bands without transparency, which has to be the last."""
        self.palette = self._read_palette()
        """RGB uint8 (N, 3) where the file holds the numbers of colors."""

    def read(self, rows: slice, columns: slice) -> Values:
        """A piece (H, W, C) in the file's own type, with all its bands."""
        return self._read(window=(_span(rows), _span(columns)))

    def read_small(self, size: tuple[int, int]) -> Values:
        """The whole scene shrunk to (height, width), with all its bands."""
        how = "nearest" if self.palette is not None else "average"
        return self._read(out_shape=(self.shape[2], *size), resampling=_resampling(how))

    def has_data(self, rows: slice) -> npt.NDArray[np.bool_]:
        """Whether each pixel of some rows has data, bool (rows, W).

        It has none where the file says so by its mask, its transparency or its no-data value, which
        all bands of the pixel have.
        """
        with _reading(self.path):
            mask = self.dataset.dataset_mask(window=(_span(rows), (0, self.shape[1])))
        has_data: npt.NDArray[np.bool_] = mask > 0
        return has_data

    @property
    def crs_name(self) -> str | None:
        """The coordinate reference system, such as EPSG:32618."""
        return self.dataset.crs.to_string() if self.dataset.crs else None

    def _read(self, **options: Any) -> Values:
        with _reading(self.path):
            values: Values = self.dataset.read(**options)  # (C, H, W)
        return np.ascontiguousarray(np.moveaxis(values, 0, -1))

    def _read_palette(self) -> npt.NDArray[np.uint8] | None:
        if self.bands != 1 or self.dataset.colorinterp[0].name != "palette":
            return None
        is_deep = self.dataset.dtypes[0] != "uint8"
        table = np.zeros((1 << 16 if is_deep else 256, 3), np.uint8)
        for number, color in self.dataset.colormap(1).items():
            table[number] = color[:3]
        return table


def needs_windows(path: Path) -> tuple[bool, bool]:
    """Whether a TIFF lies on a map, and whether it is too large to be read at once.

    What cannot be read is neither, so that whoever reads it says what is wrong.
    """
    import tifffile

    if path.suffix.lower() not in SUFFIXES:
        return False, False
    try:
        check_plain_file(path, kind="image")
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            pixels = page.imagelength * page.imagewidth
            lies_on_map = any(tag in page.tags for tag in _MAP_TAGS)
    except Exception:  # tifffile raises errors of a dozen types
        return False, False
    lies_on_map = lies_on_map or any(path.with_suffix(end).is_file() for end in _WORLD_FILES)
    return lies_on_map, pixels > most_megapixels() * 1_000_000


def check_upright(path: Path) -> None:
    """Raise ValueError if GDAL reads a TIFF in another way than an image is read."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        orientation = page.tags.get(ORIENTATION_TAG)
        is_turned = orientation is not None and orientation.value != 1
        if is_turned or page.photometric.name == "MINISWHITE":
            raise ValueError(
                f"{show_path(path)} is turned by its orientation or has 0 as white, and cannot be "
                "read by windows; save it again, as by `gdal_translate`"
            )


@contextmanager
def open_scene(path: Path) -> Iterator[Scene]:
    """A TIFF that is read by windows.

    Raises:
        ValueError: rasterio is not installed, or the file is damaged or holds several images.
    """
    rasterio = _require_rasterio(path)
    # Files of statistics and colors beside the image (.aux.xml) do not count in training either.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_PAM_ENABLED=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with _reading(path):
            dataset = rasterio.open(path, driver="GTiff")
        with dataset:
            if pages := dataset.subdatasets:
                raise ValueError(
                    f"{show_path(path)} holds {len(pages)} pages; expected one image: save each "
                    "page as a file, or the pages as the bands of one image"
                )
            yield Scene(dataset, path)


@contextmanager
def write_mask(path: Path, like: Scene, colors: Iterable[tuple[int, int, int]]) -> Iterator[Any]:
    """A mask to write, (H, W) uint8, in the place and of the size of a scene: rasterio's dataset.

    It is tiled and compressed without loss; `IGNORE_INDEX` is no-data. It takes its name when the
    block ends well.

    Raises:
        WriteError: it cannot be written.
    """
    rasterio = _require_rasterio(path)
    source = like.dataset
    options = {
        "driver": "GTiff",
        "height": like.shape[0],
        "width": like.shape[1],
        "count": 1,
        "dtype": "uint8",
        "nodata": IGNORE_INDEX,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "BIGTIFF": "IF_SAFER",
    }
    with write_then_rename(path) as partial:
        try:
            with rasterio.open(partial, "w", **options) as out:
                _copy_place(source, out)
                out.write_colormap(1, dict(enumerate(colors)))
                yield out
        except rasterio.errors.RasterioError as error:
            raise WriteError(path, in_one_line(error)) from error
        # GDAL does not tell when the end of a file does not fit on the disk.
        try:
            with rasterio.open(partial) as written:
                written.checksum(1)
        except rasterio.errors.RasterioError:
            raise WriteError(path, "it cannot be read back; is the disk full?") from None


def _copy_place(source: Any, out: Any) -> None:
    points, crs = source.gcps
    if points:
        out.gcps = (points, crs)
        return
    if source.crs:
        out.crs = source.crs
    if not source.transform.is_identity:
        out.transform = source.transform


def read_mask(path: Path, *, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A mask of a scene, shrunk to (height, width) by the nearest pixel."""
    with open_scene(path) as scene:
        return scene.read_small(size)[..., 0].astype(np.uint8)


def read_mask_rows(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """A mask of a scene from the top down, some rows (rows, W) at a time."""
    with open_scene(path) as scene:
        height, width, _ = scene.shape
        for top in range(0, height, _BLOCK):
            rows = slice(top, min(top + _BLOCK, height))
            yield scene.read(rows, slice(0, width))[..., 0].astype(np.uint8)


def read_place(path: Path) -> Place:
    """Where the pixels of a scene lie on the map."""
    with open_scene(path) as scene:
        crs, transform = scene.dataset.crs, scene.dataset.transform
        if transform.is_identity:
            return IN_PIXELS
        authority = crs.to_authority() if crs else None
        if crs and authority is None:
            log.warning(
                "%s: its coordinate reference system has no number, so its polygons do not name it",
                show_path(path),
            )
        return Place(transform=tuple(transform)[:6], crs=authority and _urn(*authority))


def _urn(authority: str, code: str) -> str:
    # In EPSG:4326 latitude comes first; files have longitude first, which is CRS84.
    if (authority, code) in (("EPSG", "4326"), ("OGC", "CRS84")):
        return "urn:ogc:def:crs:OGC:1.3:CRS84"
    return f"urn:ogc:def:crs:{authority}::{code}"


def as_input(model: Predictor, scene: Scene, values: Values) -> Values:
    """What the network takes of a piece of a scene: its bands of (H, W, C), in its type.

    Raises:
        ValueError: the scene has other bands, or values of another type.
    """
    height, width, bands = values.shape
    header = Header(
        height=height,
        width=width,
        bands=3 if scene.palette is not None else scene.bands,
        type=values.dtype.name,
        has_alpha=bands > scene.bands,
    )
    no_data = scene.dataset.nodata
    raster = Raster(header=header, values=values, palette=scene.palette, no_data=no_data)
    return as_format(raster, model.info.image_format, what=show_path(scene.path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A context in which what rasterio cannot read is a ValueError."""
    rasterio = _require_rasterio(path)
    try:
        yield
    except rasterio.errors.RasterioError as error:
        reason = in_one_line(error.__cause__ or error)
        raise ValueError(f"{show_path(path)} is damaged or is no GeoTIFF ({reason})") from error


def _require_rasterio(path: Path) -> Any:
    return require_package("rasterio", purpose=f"reading {path.name} by windows", extra=EXTRA)


def _resampling(name: str) -> Any:
    return require_package("rasterio.enums", purpose="maps", extra=EXTRA).Resampling[name]


def _span(part: slice) -> tuple[int, int]:
    return part.start, part.stop
