"""Known values in, the same values out, for each kind of image."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny_rasters import TYPES, values, write_tiff

from tiramisu.data.image_format import RGB, ImageFormat, find_format, no_data_pixels
from tiramisu.data.readers.image_file import read_header, read_image, read_raster
from tiramisu.data.readers.mask_file import read_mask


def format_of(*paths: Path, bands: object = None) -> ImageFormat:
    return find_format([(path, read_header(path)) for path in paths], bands)


@pytest.mark.parametrize("type", [*TYPES, "int8", "uint32", "float64"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": True},
        {"compression": "deflate", "tile": (16, 16)},
        {"planarconfig": "separate"},
        {"byteorder": ">", "bigtiff": True},
    ],
    ids=["plain", "lzw", "tiled", "planes", "big-endian"],
)
def test_tiffs_keep_every_value(tmp_path: Path, type: str, bands: int, options: dict):
    if "planarconfig" in options and bands == 1:
        pytest.skip("a single band has no planes")
    if "predictor" in options and type == "float64":
        pytest.skip("tifffile writes no such file")
    image = values(type, bands=bands) if type in TYPES else values("int16", bands=bands)
    image = image.clip(0, 100).astype(type)
    path = tmp_path / "a.tif"
    write_tiff(path, image, **options)
    assert np.array_equal(read_raster(path).values, image)
    format = format_of(path)
    read = read_image(path, format)
    assert format.channels == bands
    assert np.array_equal(read, image)
    stored = {"int8": "int16"}.get(type, type if type in TYPES else "float32")
    assert read.dtype == format.pixel_type == stored


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("bands", [1, 3, 7])
def test_numpy_files_keep_every_value(tmp_path: Path, type: str, bands: int):
    image = values(type, bands=bands)
    np.save(tmp_path / "a.npy", image if bands > 1 else image[..., 0])
    np.save(tmp_path / "big.npy", image.astype(image.dtype.newbyteorder(">")))
    for name in ("a.npy", "big.npy"):
        assert np.array_equal(read_image(tmp_path / name, format_of(tmp_path / name)), image)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pngs_of_16_bits_keep_every_value(tmp_path: Path, bands: int):
    image = values("uint16", bands=bands)
    in_file = image[..., [2, 1, 0, 3][:bands]] if bands > 1 else image  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "a.png"), in_file)
    colors = image[..., :3]  # transparency is left out
    assert np.array_equal(read_image(tmp_path / "a.png", format_of(tmp_path / "a.png")), colors)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_grey_and_colors_stand_for_each_other(tmp_path: Path):
    grey = save(tmp_path / "grey.png", Image.fromarray(values("uint8", bands=1)[..., 0]))
    color = save(tmp_path / "color.png", Image.fromarray(values("uint8", bands=3)))
    assert format_of(grey) == ImageFormat(channels=1)
    assert format_of(color, grey) == RGB
    assert format_of(color, bands="grey") == ImageFormat(channels=1)
    assert format_of(grey, bands="rgb") == RGB
    pixels = read_image(grey, RGB)
    assert np.array_equal(pixels, np.repeat(values("uint8", bands=1), 3, axis=2))
    luminance = np.asarray(Image.open(color).convert("L")).astype(int)
    seen = read_image(color, ImageFormat(channels=1))
    assert np.abs(seen[..., 0] - luminance).max() <= 1


def test_transparency_palette_bits_and_ink_have_a_rule_each(tmp_path: Path):
    color = values("uint8", bands=4)
    rgba = save(tmp_path / "rgba.png", Image.fromarray(color, "RGBA"))
    assert np.array_equal(read_image(rgba, format_of(rgba)), color[..., :3])
    grey_alpha = save(tmp_path / "la.png", Image.fromarray(color[..., :2], "LA"))
    assert np.array_equal(read_image(grey_alpha, format_of(grey_alpha)), color[..., :1])
    palette = Image.fromarray(color[..., 0] % 3, "P")
    palette.putpalette([9, 8, 7, 50, 60, 70, 200, 210, 220])
    for name in ("p.png", "p.gif", "p.bmp", "p.tif"):
        path = save(tmp_path / name, palette)
        table = np.uint8([[9, 8, 7], [50, 60, 70], [200, 210, 220]])
        assert np.array_equal(read_image(path, format_of(path)), table[color[..., 0] % 3]), name
    bits = save(tmp_path / "bits.png", Image.fromarray(color[..., 0] > 99))
    assert np.array_equal(read_image(bits, format_of(bits))[..., 0], (color[..., 0] > 99) * 255)
    white = tmp_path / "white.tif"
    write_tiff(white, color[..., :1], photometric="miniswhite")
    assert np.array_equal(read_image(white, format_of(white)), 255 - color[..., :1])
    ink = Image.fromarray(color, "CMYK")
    for name in ("ink.tif", "ink.jpg"):
        path = save(tmp_path / name, ink.resize((96, 80), Image.Resampling.NEAREST), quality=100)
        expected = np.asarray(ink.convert("RGB").resize((96, 80), Image.Resampling.NEAREST))
        assert format_of(path) == RGB
        assert np.abs(read_image(path).astype(int) - expected).mean() < 9, name


def test_bands_are_chosen_by_their_numbers(tmp_path: Path):
    image = values("uint16", bands=5)
    path = tmp_path / "a.tif"
    write_tiff(path, image)
    format = format_of(path, bands=(5, 1))
    assert format == ImageFormat(channels=2, pixel_type="uint16", bands=(5, 1))
    assert np.array_equal(read_image(path, format), image[..., [4, 0]])
    assert np.array_equal(read_image(path, format_of(path, bands="rgb")), image[..., :3])
    with pytest.raises(ValueError, match=r"a\.tif has 5 bands; expected one with the number 6"):
        format_of(path, bands=(6,))


def test_the_fourth_band_of_a_tiff_is_used_unless_it_is_transparency(tmp_path: Path):
    image = values("uint8", bands=4)
    infrared, alpha = tmp_path / "infrared.tif", tmp_path / "alpha.tif"
    write_tiff(infrared, image, photometric="rgb", extrasamples=["unspecified"])
    write_tiff(alpha, image, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(read_image(infrared, format_of(infrared)), image)
    assert np.array_equal(read_image(alpha, format_of(alpha)), image[..., :3])
    every = format_of(alpha, bands=(1, 2, 3, 4))
    assert np.array_equal(read_image(alpha, every), image)


def test_images_that_differ_are_counted(tmp_path: Path):
    three, four, deep = (tmp_path / f"{name}.tif" for name in ("three", "four", "deep"))
    write_tiff(three, values("uint8", bands=3))
    write_tiff(four, values("uint8", bands=4))
    write_tiff(deep, values("uint16", bands=3))
    with pytest.raises(ValueError, match=r"differ in .*: 3 bands \(1, .*three\.tif\), 4 bands \(1"):
        format_of(three, four)
    assert format_of(three, four, bands=(1, 2, 3)).channels == 3
    with pytest.raises(ValueError, match=r"different types: uint8 \(1, .*uint16 \(1, .*convert"):
        format_of(three, deep)
    with pytest.raises(ValueError, match=r"four\.tif has 4 bands; expected 3"):
        read_image(four, RGB)
    with pytest.raises(ValueError, match=r"deep\.tif holds values of the type uint16; expected"):
        read_image(deep, RGB)


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_tiff(path, np.full((4, 4, 1), 2**24 + 1, np.uint32))
    with pytest.raises(ValueError, match=r"a\.tif holds .* uint32 from 1.67\S+ .*float32 does"):
        read_image(path, format_of(path))
    write_tiff(path, np.full((4, 4, 1), 40_000, np.uint16))
    with pytest.raises(ValueError, match="which int16 does not hold without loss"):
        read_image(path, ImageFormat(channels=1, pixel_type="int16"))
    write_tiff(path, np.full((4, 4, 1), np.inf, np.float32))
    with pytest.raises(ValueError, match=r"a\.tif holds infinity"):
        read_image(path, format_of(path))
    np.save(tmp_path / "first.npy", np.zeros((4, 30, 30), np.uint8))
    with pytest.raises(ValueError, match=r"\(bands, H, W\); expected \(H, W, bands\)"):
        read_header(tmp_path / "first.npy")
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy holds values of type object"):
        read_image(tmp_path / "objects.npy")


def test_no_data_is_known(tmp_path: Path):
    image = values("float32", bands=2)
    image[:3] = -9999
    path = tmp_path / "a.tif"
    write_tiff(path, image, extratags=[(42113, "s", 0, "-9999", True)])
    read = read_image(path, format_of(path))
    assert np.isnan(read[:3]).all()
    assert np.array_equal(read[3:], image[3:])
    missing = no_data_pixels(read_raster(path))
    assert missing is not None
    assert missing[:3].all()
    assert not missing[3:].any()
    write_tiff(path, values("float32", bands=2))
    assert no_data_pixels(read_raster(path)) is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_all_kinds_of_files_are_turned_as_exif_says(tmp_path: Path, name: str, orientation: int):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :16, 0], pixels[:16, 32:, 1], pixels[16:, :16, 2] = 255, 255, 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if name.endswith(("jpg", "webp")) else {}
    path = save(tmp_path / name, Image.fromarray(pixels), exif=exif, **options)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).swapaxes(0, 1),
        8: np.rot90(pixels),
    }[orientation]
    header, seen = read_header(path), read_image(path)
    assert (header.height, header.width) == seen.shape[:2] == turned.shape[:2]
    assert header.orientation == orientation
    assert np.abs(seen.astype(int) - turned).mean() < 6


def test_colors_of_16_bits_are_known_by_their_headers(tmp_path: Path):
    image = values("uint16", bands=3, height=64, width=64)
    for name in ("a.jp2", "a.ppm"):
        assert cv2.imwrite(str(tmp_path / name), image[..., ::-1])
        header = read_header(tmp_path / name)
        assert (header.type, header.bands) == ("uint16", 3)
        read = read_image(tmp_path / name)
        assert read.dtype == np.uint16
        if name == "a.ppm":  # JPEG 2000 is lossy
            assert np.array_equal(read, image)
    small = values("uint8", bands=3, height=64, width=64)
    for name in ("b.jp2", "b.ppm"):
        assert cv2.imwrite(str(tmp_path / name), small)
        assert read_header(tmp_path / name).type == read_image(tmp_path / name).dtype == "uint8"


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_of_tiffs_are_colors(tmp_path: Path, bits: int):
    entries = np.arange(12).reshape(3, 4)
    colormap = np.random.default_rng(0).integers(0, 2**16, (3, 2**bits)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, entries.astype(f"u{bits // 8}"), photometric="palette", colormap=colormap
    )
    assert read_header(path).type == "uint8"
    assert np.array_equal(read_image(path), (colormap >> 8).T[entries])
    assert np.array_equal(read_mask(path, "index"), entries)
    assert read_mask(path, "rgb").shape == (3, 4)


@pytest.mark.parametrize(
    ("photometric", "type"),
    [("separated", "float32"), ("separated", "int16"), ("minisblack", "complex64")],
)
def test_colors_that_do_not_fit_their_values_are_refused(
    tmp_path: Path, photometric: str, type: str
):
    bands = 4 if photometric == "separated" else 1
    image = np.ones((4, 4, bands)).astype(type)
    write_tiff(tmp_path / "a.tif", image, photometric=photometric)
    for read in (read_header, read_raster):
        with pytest.raises(ValueError, match=rf"a\.tif: a TIFF of \w+ with .* {type} .*cannot be"):
            read(tmp_path / "a.tif")


def test_numbers_too_large_for_float32_are_refused(tmp_path: Path):
    write_tiff(tmp_path / "a.tif", np.full((4, 4, 1), 1e300))
    with pytest.raises(ValueError, match=r"a\.tif holds infinity"):
        read_image(tmp_path / "a.tif")


def test_transparency_of_other_files_is_no_band(tmp_path: Path):
    path = save(tmp_path / "a.png", Image.fromarray(values("uint8", bands=4), "RGBA"))
    with pytest.raises(ValueError, match=r"a\.png has 3 bands; expected one with the number 4"):
        format_of(path, bands=(1, 2, 3, 4))


def test_grey_needs_one_band_or_three(tmp_path: Path):
    write_tiff(tmp_path / "a.tif", values("uint8", bands=4))
    with pytest.raises(ValueError, match=r"a\.tif has 4 bands, and `bands` is grey; exp"):
        format_of(tmp_path / "a.tif", bands="grey")


def test_a_circle_of_pages_ends(tmp_path: Path):
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "TIFF")
    content = bytearray(stream.getvalue())
    start = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[start : start + 2], "little")
    end = start + 2 + 12 * entries
    content[end : end + 4] = content[4:8]  # the next page is the first one
    (tmp_path / "circle.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"circle\.tif"):
        read_header(tmp_path / "circle.tif")


def test_8_bits_with_no_data_are_no_numbers_for_a_network_of_floats(tmp_path: Path):
    path = tmp_path / "a.tif"
    write_tiff(path, values("uint8", bands=1), extratags=[(42113, "s", 0, "0", True)])
    assert format_of(path) == ImageFormat(channels=1)
    with pytest.raises(ValueError, match=r"a\.tif holds values of the type uint8; expected"):
        read_image(path, ImageFormat(channels=1, pixel_type="float32"))
