from pathlib import Path

import cv2
import numpy as np
import pytest
from hostile_images import (
    BAD,
    DEEP,
    GOOD,
    JPEG,
    NO_IMAGES,
    ODD_NAMES,
    PNG,
    SEVERAL,
    SIZE,
    TOO_LARGE,
    encode,
    picture,
    png_bomb,
    write_bad,
)
from PIL import Image

from tiramisu.data.image_format import RGB, ImageFormat
from tiramisu.data.readers.image_file import LIMIT_VARIABLE, read_header, read_image
from tiramisu.data.readers.mask_file import read_mask
from tiramisu.text import show_path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_bad(path, name)
    for read in (read_image, lambda path: read_mask(path, "rgb")):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            read(path)
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message


@pytest.mark.parametrize("name", {**TOO_LARGE, "terabyte.png": b""})
def test_what_does_not_fit_in_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def decode(*_: object) -> None:
        pytest.fail("decoded")

    monkeypatch.setattr("cv2.imdecode", decode)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    write_bad(tmp_path / name, name)
    for read in (read_image, lambda path: read_mask(path, "index")):
        with pytest.raises(ValueError, match=f"{LIMIT_VARIABLE}|at most 1,000,000 are read"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe.png", "is a pipe; expected a file"),
        ("socket.png", "is a socket"),
        ("device.png", "is a device"),
        ("empty.png", "is empty"),
        ("nothing.png", "is a link to no/such/file.png"),
        ("circle.png", "is a link to circle.png"),
        *((name, "its end is missing") for name in ("half.jpg", "no_end.jpg", "thumbnail.jpg")),
        *((name, "its end is missing") for name in ("half.png", "no_end.png")),
        *((name, "is damaged or is no image") for name in NO_IMAGES),
    ],
)
def test_the_reason_is_said(tmp_path: Path, name: str, reason: str) -> None:
    write_bad(tmp_path / name, name)
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        read_image(tmp_path / name)


def test_colors_of_another_kind_are_refused(tmp_path: Path) -> None:
    Image.new("LAB", SIZE).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF with CIELAB cannot be read as an image"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", SEVERAL)
def test_several_images_in_a_file_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SEVERAL[name])
    for read in (read_image, read_header):
        with pytest.raises(ValueError, match=f"{name} (holds 2 pages|is an animation of 2 images)"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", DEEP)
def test_values_of_16_bits_stay_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DEEP[name])
    image = read_image(tmp_path / name, ImageFormat(channels=1, pixel_type="uint16"))
    assert image.dtype == np.uint16
    assert np.array_equal(image[..., 0], np.asarray(picture("L")).astype(np.uint16) * 257)
    with pytest.raises(ValueError, match=f"{name} holds values of the type uint16; expected uint8"):
        read_image(tmp_path / name, RGB)


@pytest.mark.parametrize("name", GOOD)
def test_unusual_images_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    image = read_image(path, RGB)
    assert image.dtype == np.uint8
    assert image.shape == (SIZE[1], SIZE[0], 3)
    gray = np.asarray(picture("L")).astype(int)
    if "gray" in name:
        assert np.abs(image.mean(axis=2) - gray).mean() < 2
    elif "bits" not in name and "palette" not in name:
        assert np.abs(image.astype(int) - np.asarray(picture())).mean() < 8  # JPEG


def test_the_limit_is_set_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (1500, 1000)).save(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(ValueError, match=r"a\.png declares 1000 x 1500 .* 2 megapixels; at most 1"):
        read_image(path)
    with pytest.raises(ValueError, match="at most 1"):
        read_mask(path, "index")
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    assert read_image(path).shape == (1000, 1500, 1)
    path.write_bytes(png_bomb(20_000, 10_001))
    monkeypatch.delenv(LIMIT_VARIABLE)
    with pytest.raises(ValueError, match="at most 200 are read"):
        read_image(path)


@pytest.mark.parametrize("value", ["much", "0", "-5", "1e3", "1.5", "2000", "9" * 5000, "\u0663"])
def test_a_wrong_limit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setenv(LIMIT_VARIABLE, value)
    with pytest.raises(ValueError, match=rf"{LIMIT_VARIABLE} is '.*a whole number from 1 to 1073"):
        read_image(tmp_path / "a.png")


def test_what_opencv_says_goes_with_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("Failed to\nallocate 9 bytes")

    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr("cv2.imdecode", fail)
    with pytest.raises(ValueError, match=r"cannot read .*a\.png \(Failed to allocate 9 bytes"):
        read_image(tmp_path / "a.png")


def test_photographs_are_turned_as_they_are_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encode(picture(), "JPEG", exif=exif))
    turned = np.rot90(np.asarray(picture()), -1).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpg") - turned).mean() < 8


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_files_of_any_name_are_read_and_named_on_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(JPEG)
    assert read_image(path).shape == (SIZE[1], SIZE[0], 3)
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="is damaged") as caught:
        read_image(path)
    message = str(caught.value)
    assert show_path(path) in message
    assert all(letter not in message for letter in "\n\r\x1b")
