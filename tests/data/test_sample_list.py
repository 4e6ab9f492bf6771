"""Lists of samples, as people and programs write them."""

from pathlib import Path

import pytest
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.readers.file_split import SplitFiles, find_files
from tiramisu.data.spec_parts import FileSplit

KEYS = ("000", "001", "img (1)", "a.b")
SPLIT = FileSplit(images=("images/train/*.png",), masks=("masks/train/*_m.png",), list="list.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, key in enumerate(KEYS):
        pair = (tmp_path / f"images/train/{key}.png", tmp_path / f"masks/train/{key}_m.png")
        write_pair(*pair, random_label(i), seed=i)
    return tmp_path


def find(root: Path, content: str | bytes) -> SplitFiles:
    content = content.encode() if isinstance(content, str) else content
    (root / "list.txt").write_bytes(content)
    return find_files(SPLIT, root)


def keys(root: Path, content: str | bytes) -> list[str]:
    found = find(root, content)
    assert found.keys_without_image == ()
    return [pair.key for pair in found.pairs]


@pytest.mark.parametrize(
    "line",
    [
        "img (1)",
        "img (1).png",
        "images/train/img (1).png",
        "images/train/img (1)",
        "./images/train/img (1).png",
        "train/img (1).png",
        "images\\train\\img (1).png",
        "/home/someone/data/images/train/img (1).png",
        '"img (1).png"',
        "  img (1)\t",
        "img (1) -1",
        "img (1)  1",
        "img (1).png img (1)_m.png",
        "images/train/img (1).png masks/train/img (1)_m.png",
        "images/train/img (1).png\tmasks/train/img (1)_m.png",
        "images/train/img (1).png, masks/train/img (1)_m.png",
        "img (1),1",
    ],
)
def test_a_line_names_a_sample(root: Path, line: str) -> None:
    assert keys(root, f"{line}\n000\n\n") == ["000", "img (1)"]


@pytest.mark.parametrize(
    "content",
    [
        b"000\r\n001\r\n",
        b"\xef\xbb\xbf000\n001",
        b"\xef\xbb\xbf000\r\n001\r\n",
        "000\r\n001".encode("utf-16"),
        "000\n001\n".encode("utf-16-be").join([b"\xfe\xff", b""]),
    ],
)
def test_lines_of_windows(root: Path, content: bytes) -> None:
    assert keys(root, content) == ["000", "001"]


def test_a_key_may_have_dots(root: Path) -> None:
    assert keys(root, "a.b\n") == ["a.b"]
    assert keys(root, "a.b.png\n") == ["a.b"]


def test_a_name_of_another_folder_is_not_taken(root: Path) -> None:
    assert find(root, "images/val/000.png\nval/001\n").keys_without_image == (
        "images/val/000.png",
        "val/001",
    )


def test_a_wrong_mask_is_named(root: Path) -> None:
    with pytest.raises(ValueError, match=r"list\.txt, line 2: 001_m\.png is not the mask of 000"):
        find(root, "001.png 001_m.png\n000.png 001_m.png\n")
    with pytest.raises(ValueError, match=r"line 1: elsewhere/000\.png is not the mask of 000\.png"):
        find(root, "000.png elsewhere/000.png\n")


def test_a_name_of_two_images_is_none(root: Path) -> None:
    write_pair(root / "images/val/000.png", root / "masks/val/000_m.png", random_label(0), seed=9)
    split = SPLIT.model_copy(update={"images": ("images/*/*.png",), "masks": ("masks/*/*_m.png",)})
    (root / "list.txt").write_text("000\nval/000\n")
    found = find_files(split, root)
    assert found.keys_without_image == ("000",)
    assert [pair.key for pair in found.pairs] == ["val/000"]


def test_the_message_shows_a_key(root: Path) -> None:
    (root / "own.yaml").write_text(
        "name: own\ntitle: Own\nroot: .\nclasses: [a, b, c]\nsplits:\n  train: {images: "
        '"images/train/*.png", masks: "masks/train/*_m.png", list: list.txt}\n'
    )
    (root / "list.txt").write_text("frame_7\nframe_8\n")
    with pytest.raises(ValueError, match="1 problem") as caught:
        check_dataset(load_spec(str(root / "own.yaml")))
    assert (
        "train: lines of the list that name no image, where the key of an image looks like 000 "
        "(2): frame_7, frame_8"
    ) in str(caught.value)
