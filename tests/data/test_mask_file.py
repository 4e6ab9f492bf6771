"""The numbers and colors in masks of every kind."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tiramisu.data.labels import NAN_CODE, UNKNOWN, LabelTable
from tiramisu.data.readers.mask_file import ColorMaskError, codes_of, read_mask

NUMBERS = np.array([[0, 1, 2], [3, 4, 200]])
TYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.int64, np.float32, np.float64]


def channels(count: int, *, alpha: bool = False) -> np.ndarray:
    stacked = np.stack([NUMBERS] * count, -1).astype(np.uint8)
    if alpha:
        stacked[..., -1] = 255 - NUMBERS
    return stacked


@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_of_any_type(dtype: type) -> None:
    for values in (NUMBERS, NUMBERS[..., None], np.stack([NUMBERS] * 3, -1)):
        codes = codes_of(values.astype(dtype), None, "index")
        assert codes.dtype.kind in "iu"
        assert np.array_equal(codes, NUMBERS)


@pytest.mark.parametrize(
    "values", [channels(2, alpha=True), channels(3), channels(4), channels(4, alpha=True)]
)
def test_equal_channels_are_one_number_and_alpha_is_ignored(values: np.ndarray) -> None:
    assert np.array_equal(codes_of(values, None, "index"), NUMBERS)
    assert np.array_equal(codes_of(values, None, "rgb"), NUMBERS * 0x010101)


def test_one_pixel_makes_a_mask_of_colors() -> None:
    for changed in range(3):
        values = channels(3)
        values[1, 0, changed] = 9
        shown = " ".join(map(str, values[1, 0]))
        with pytest.raises(ColorMaskError, match=f"a mask of colors, such as {shown}, cannot hold"):
            codes_of(values, None, "index")
        color = int(values[1, 0] @ np.array([0x10000, 0x100, 1]))
        assert codes_of(values, None, "rgb")[1, 0] == color


def test_bits_are_0_and_1() -> None:
    bits = NUMBERS > 1
    assert codes_of(bits, None, "index").tolist() == [[0, 0, 1], [1, 1, 1]]
    assert codes_of(bits, None, "rgb")[1, 0] == 0xFFFFFF


def test_a_palette_gives_places_or_colors() -> None:
    palette = np.arange(768).reshape(256, 3).astype(np.uint8)
    values = NUMBERS.astype(np.uint8)
    assert np.array_equal(codes_of(values, palette, "index"), NUMBERS)
    assert codes_of(values, palette, "rgb")[0].tolist() == [0x000102, 0x030405, 0x060708]


def test_negative_and_large_numbers_stay() -> None:
    values = np.array([[-9999, 300, 65535]], np.int32)
    assert codes_of(values, None, "index").tolist() == [[-9999, 300, 65535]]


def test_nan_is_a_code_of_no_class() -> None:
    values = np.array([[np.nan, 1, -3.4e38]], np.float32)
    for array in (values, np.stack([values] * 3, -1)):
        codes = codes_of(array, None, "index")
        assert codes[0, :2].tolist() == [NAN_CODE, 1]
        for ignore, void in (((), UNKNOWN), ("others", 255)):
            table = LabelTable(encoding="index", raw=((0,), (1,)), ignore=ignore)
            assert table.decode(codes).tolist() == [[void, 1, void]]
    assert table.show(NAN_CODE) == "NaN"


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_a_negative_number_is_no_class(dtype: type) -> None:
    table = LabelTable(encoding="index", raw=((0,), (65535, 65534, 65437)), ignore=())
    values = np.array([[-1, -2, -99, 0]], dtype)
    assert table.decode(values).tolist() == [[UNKNOWN, UNKNOWN, UNKNOWN, 0]]


@pytest.mark.parametrize(
    ("values", "encoding", "message"),
    [
        (np.array([[0, 0.5]]), "index", r"the value 0\.5; expected whole numbers"),
        (np.zeros((2, 2, 5), np.uint8), "index", "a mask of 5 bands"),
        (np.zeros((2, 2, 5), np.uint8), "rgb", "a mask of 5 bands"),
        (np.zeros((2, 2), np.uint16), "rgb", "uint16 values cannot hold `encoding: rgb`"),
        (np.zeros((2, 2, 3), np.float32), "rgb", "float32 values cannot hold `encoding: rgb`"),
    ],
)
def test_what_is_no_code_is_refused(values: np.ndarray, encoding: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        codes_of(values, None, encoding)  # type: ignore[arg-type]
    assert not isinstance(caught.value, ColorMaskError)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "webp", "pgm"])
def test_numbers_from_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mask.{suffix}"
    values = np.array([[0, 2, 7], [255, 2, 0]], np.uint8)
    Image.fromarray(values).save(path, lossless=True)
    assert np.array_equal(read_mask(path, "index"), values)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_grey_saved_with_more_channels(tmp_path: Path, mode: str) -> None:
    values = np.array([[0, 2, 7]], np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", "index"), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("bands", [1, 3])
def test_numbers_from_tiff(tmp_path: Path, dtype: type, bands: int) -> None:
    values = np.array([[0, 2, 300]], dtype)
    stacked = np.stack([values] * 3, -1) if bands == 3 else values
    tifffile.imwrite(tmp_path / "mask.tif", stacked, photometric="rgb" if bands == 3 else None)
    assert read_mask(tmp_path / "mask.tif", "index").tolist() == [[0, 2, 300]]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colors_of_other_kinds_are_colors(tmp_path: Path, mode: str) -> None:
    values = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    Image.fromarray(values).convert(mode).save(tmp_path / "mask.tif")
    with pytest.raises(ColorMaskError, match=r"mask\.tif: a mask of colors"):
        read_mask(tmp_path / "mask.tif", "index")
    code = int(read_mask(tmp_path / "mask.tif", "rgb")[0, 0])
    assert code >> 16 > 250
    assert code & 0xFFFF < 0x0303


def test_the_file_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.array([[0, 0.5]], np.float32))
    with pytest.raises(ValueError, match=r"mask\.tif: a mask with the value 0\.5; expected whole"):
        read_mask(tmp_path / "mask.tif", "index")
