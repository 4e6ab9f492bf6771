from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu.data.labels import UNKNOWN, LabelTable
from tiramisu.data.readers.mask_file import read_label, read_mask

INDEX = LabelTable(encoding="index", raw=((0,), (1, 7), (300,)), ignore=(255,))
RGB = LabelTable(encoding="rgb", raw=((0x010203,), (0xFF0000, 0x00FF00)), ignore=(0,))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_index_decoding(dtype: type):
    codes = np.array([[0, 1, 7, 255, 9]], dtype)
    assert INDEX.decode(codes).tolist() == [[0, 1, 1, 255, UNKNOWN]]


def test_values_beyond_the_table_are_unknown():
    codes = np.array([[300, 65535, 65536, 1 << 30, -1]], np.int32)
    assert INDEX.decode(codes).tolist() == [[2] + [UNKNOWN] * 4]
    others = LabelTable(encoding="index", raw=((0,),), ignore="others")
    assert others.decode(np.array([[0, 5, -1]], np.int32)).tolist() == [[0, 255, 255]]


def test_rgb_decoding_equals_the_slow_way():
    rng = np.random.default_rng(0)
    codes = rng.choice(np.array([0, 0x010203, 0xFF0000, 0x00FF00, 0xFFFFFF], np.uint32), (50, 60))
    slow = {0: 255, 0x010203: 0, 0xFF0000: 1, 0x00FF00: 1, 0xFFFFFF: UNKNOWN}
    assert RGB.decode(codes).tolist() == [[slow[int(c)] for c in row] for row in codes]


@pytest.mark.parametrize(
    ("mode", "values"),
    [("1", [0, 1]), ("L", [0, 7]), ("P", [0, 7]), ("I;16", [0, 300]), ("I", [0, 300])],
)
def test_index_masks_in_every_mode(tmp_path: Path, mode: str, values: list[int]):
    path = tmp_path / ("mask.tif" if mode == "I" else "mask.png")  # PNG has no 32 bits
    if mode == "P":  # a palette whose colours are not the indices
        image = Image.fromarray(np.uint8([values]))
        image.putpalette(bytes(range(255, -1, -1)) * 3)
    else:
        image = Image.new(mode, (2, 1))
        image.putpixel((1, 0), values[1])
    image.save(path)
    assert Image.open(path).mode == mode
    assert read_mask(path, "index").tolist() == [values]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_rgb_masks_in_every_mode(tmp_path: Path, mode: str):
    image = Image.fromarray(np.uint8([[[1, 2, 3], [255, 0, 0]]])).convert(
        mode, palette=Image.Palette.ADAPTIVE
    )
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", "rgb").tolist() == [[0x010203, 0xFF0000]]


def test_a_mask_of_the_other_encoding_is_refused(tmp_path: Path):
    Image.fromarray(np.uint8([[[1, 1, 1], [1, 2, 3]]])).save(tmp_path / "rgb.png")
    Image.new("I;16", (2, 2)).save(tmp_path / "16.png")
    with pytest.raises(
        ValueError, match=r"rgb.png: a mask of colors, such as 1 2 3, .*`encoding: rgb`"
    ):
        read_mask(tmp_path / "rgb.png", "index")
    with pytest.raises(ValueError, match=r"16.png.*Write `encoding: index`"):
        read_mask(tmp_path / "16.png", "rgb")


def test_an_unknown_value_is_named(tmp_path: Path):
    Image.fromarray(np.uint8([[0, 9]])).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask.png: the label value 9 .*tiramisu check"):
        read_label(tmp_path / "mask.png", INDEX)
    Image.fromarray(np.uint8([[[1, 2, 3], [4, 5, 6]]])).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"the label value 4 5 6"):
        read_label(tmp_path / "mask.png", RGB)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_an_unreadable_mask_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"mask.png is (empty|damaged or is no image)"):
        read_mask(tmp_path / "mask.png", "index")
    with pytest.raises(FileNotFoundError, match=r"none.png"):
        read_mask(tmp_path / "none.png", "index")
