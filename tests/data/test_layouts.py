"""Folders as they lie: which of their folders hold images, and which masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset


def write(root: Path, *patterns: tuple[str, str], count: int = 2) -> str:
    """Pairs whose paths are these patterns with a number in place of {}; returns the folder."""
    for number, (image, mask) in enumerate(patterns):
        for i in range(count):
            name = f"{number}{i}"
            pair = (root / image.format(name), root / mask.format(name))
            write_pair(*pair, random_label(i), seed=10 * number + i)
    return str(root)


LAYOUTS = {
    "split inside": [(f"images/{s}/{{}}.png", f"masks/{s}/{{}}.png") for s in ("train", "val")],
    "split outside": [(f"{s}/images/{{}}.png", f"{s}/masks/{{}}.png") for s in ("train", "val")],
    "other words": [
        ("training/img/{}.jpg", "training/gts/{}.png"),
        ("validation/img/{}.jpg", "validation/gts/{}.png"),
    ],
    "capital letters": [
        ("Train/Image/{}.JPG", "Train/Ground_Truth/{}.PNG"),
        ("Valid/Image/{}.JPG", "Valid/Ground_Truth/{}.PNG"),
    ],
    "words that are joined": [
        ("train/{}.png", "trainannot/{}.png"),
        ("val/{}.png", "valannot/{}.png"),
    ],
    "words with a mark": [
        ("train_images/{}.bmp", "train_labels/{}.png"),
        ("val_images/{}.bmp", "val_labels/{}.png"),
    ],
    "names of masks": [
        ("train/inputs/{}.tif", "train/label/{}_mask.png"),
        ("dev/inputs/{}.tif", "dev/label/{}_mask.png"),
    ],
    "side by side": [("train/{}_sat.jpg", "train/{}_mask.png"), ("val/{}.png", "val/{}_gt.png")],
    "by their endings": [("train/{}.jpg", "train/{}.png"), ("val/{}.jpeg", "val/{}.png")],
}


@pytest.mark.parametrize("patterns", LAYOUTS.values(), ids=LAYOUTS)
def test_usual_layouts_are_understood(tmp_path: Path, patterns: list[tuple[str, str]]) -> None:
    spec = load_spec(write(tmp_path, *patterns))
    assert spec.task == "segmentation"
    assert list(spec.splits) == ["train", "val"]
    report = check_dataset(spec)
    assert [split.num_samples for split in report.splits] == [2, 2]
    dataset = ImageDataset(spec, "val", root=None)
    assert np.array_equal(dataset.read(1)[1], random_label(1))
    expected = np.asarray(Image.open(tmp_path / patterns[1][0].format("11")).convert("RGB"))
    assert np.abs(dataset.read(1)[0].astype(int) - expected).max() <= 4  # of JPEG decoders


FLAT = {
    "two folders": ("images/{}.png", "masks/{}.png"),
    "other names": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
    "side by side": ("{}.png", "{}_mask.png"),
    "a mask's word in front": ("{}.png", "mask_{}.png"),
    "by their endings": ("{}.JPG", "{}.png"),
    "images beside their folder": ("{}.jpg", "masks/{}.png"),
}


@pytest.mark.parametrize("patterns", FLAT.values(), ids=FLAT)
def test_without_splits_all_is_train(tmp_path: Path, patterns: tuple[str, str]) -> None:
    spec = load_spec(write(tmp_path, patterns, count=3))
    assert list(spec.splits) == ["train"]
    report = check_dataset(spec)
    assert report.splits[0].num_samples == 3
    assert "Note: there are no splits: all samples are the split train" in str(report)
    assert "give" not in str(report.notes)
    assert "there is no split val; training needs both" in report.warnings[-1]


def test_what_is_not_usual_is_said(tmp_path: Path) -> None:
    usual = load_spec(write(tmp_path / "usual", ("images/train/{}.png", "masks/train/{}.png")))
    assert not any("images" in note for note in usual.notes)
    spec = load_spec(write(tmp_path / "own", ("train/img/{}.png", "train/gt/{}_L.png")))
    assert spec.notes[0] == "train: the images are train/img/*.png, their masks train/gt/*_L.png"


@pytest.mark.parametrize("home", ["", "ImageSets/Segmentation/", "lists/"])
def test_lists_are_the_splits(tmp_path: Path, home: str) -> None:
    folder = write(tmp_path, ("images/{}.jpg", "masks/{}.png"), count=4)
    (tmp_path / home).mkdir(parents=True, exist_ok=True)
    (tmp_path / home / "train.txt").write_text("00\n03\n")
    (tmp_path / home / "val.txt").write_text("01.jpg\n")
    spec = load_spec(folder)
    names = {name: ImageDataset(spec, name, root=None).names for name in spec.splits}
    assert names == {"train": ["00", "03"], "val": ["01"]}
    assert f"the splits are the lists {home}train.txt, {home}val.txt" in spec.notes


def test_a_split_without_masks_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write(tmp_path, ("train/images/{}.png", "train/masks/{}.png"))
    for test in ("test/images", "valid"):
        write_pair(tmp_path / test / "7.png", tmp_path / "away.png", random_label(7), seed=7)
    (tmp_path / "away.png").unlink()
    spec = load_spec(folder)
    assert list(spec.splits) == ["train"]
    assert "test/images has no masks, and is left out" in spec.notes
    assert "valid has no masks, and is left out" in spec.notes


def test_unlabelled_tests_do_not_hide_a_flat_folder(tmp_path: Path) -> None:
    folder = write(tmp_path, ("images/{}.png", "masks/{}.png"))
    write_pair(tmp_path / "test/7.png", tmp_path / "away.png", random_label(7), seed=7)
    (tmp_path / "away.png").unlink()
    spec = load_spec(folder)
    assert list(spec.splits) == ["train"]
    assert "test has no masks, and is left out" in spec.notes


@pytest.mark.parametrize("names", [("label", "mask"), ("mask", "no_mask"), ("photo", "drawing")])
def test_classes_may_have_the_names_of_such_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    for split in ("train", "valid"):
        for number, name in enumerate(names):
            path = tmp_path / split / name / "1.png"
            write_pair(path, tmp_path / "away.png", random_label(1), seed=number + len(split))
    spec = load_spec(str(tmp_path))
    assert spec.task == "classification"
    assert spec.class_names == tuple(sorted(names))
    assert list(spec.splits) == ["train", "val"]


def test_images_without_masks_are_named(tmp_path: Path) -> None:
    write(tmp_path, ("images/train/{}.png", "away/{}.png"))
    message = r"no folder with the masks of images/train, which holds 2 files \(\.png 2\), such as "
    with pytest.raises(ValueError, match=message + r"00\.png, 01\.png; expected them in masks/tr"):
        load_spec(str(tmp_path))
    write(tmp_path, ("images/val/{}.png", "masks/val/{}.png"))
    with pytest.raises(ValueError, match="no folder with the masks of images/train"):
        load_spec(str(tmp_path))


def test_two_folders_of_one_kind_are_named(tmp_path: Path) -> None:
    write(tmp_path, ("images/{}.png", "masks/{}.png"), ("img/{}.png", "labels/{}.png"))
    with pytest.raises(ValueError, match="images, img could each be the folder that is meant"):
        load_spec(str(tmp_path))


def test_names_that_do_not_fit_are_shown(tmp_path: Path) -> None:
    write(tmp_path, ("images/a{}.tif", "masks/x{}y{}.gif".replace("{}y{}", "y{}z")))
    (tmp_path / "masks/xy00z.gif").rename(tmp_path / "masks/p.gif")
    (tmp_path / "masks/xy01z.gif").rename(tmp_path / "masks/q.gif")
    with pytest.raises(ValueError, match="no image in images has a mask in masks") as caught:
        load_spec(str(tmp_path))
    assert "images holds 2 files (.tif 2), such as a00.tif, a01.tif" in str(caught.value)
    assert "masks holds 2 files (.gif 2), such as p.gif, q.gif" in str(caught.value)


def test_what_lies_in_an_unknown_folder_is_listed(tmp_path: Path) -> None:
    write(tmp_path / "inner", ("photos/{}.png", "masks/{}.png"))
    (tmp_path / "readme.md").write_text("text")
    with pytest.raises(ValueError, match="no images with masks, and no folders of cl") as caught:
        load_spec(str(tmp_path))
    message = str(caught.value)
    assert "itself (.md 1), inner/masks (.png 2), inner/photos (.png 2)" in message
    assert message.endswith(f"{tmp_path / 'inner'} is laid out so: give that")
    for path in (tmp_path / "inner/photos").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(ValueError, match=r"inner/photos \(\.heic 2\); images in \.heic are not"):
        load_spec(str(tmp_path))


def test_folders_of_data_sets_are_no_classes(tmp_path: Path) -> None:
    for name in ("roads", "fields"):
        write(tmp_path / name, ("{}.jpg", "masks/{}.png"))
    with pytest.raises(ValueError, match="no images with masks, and no folders of classes"):
        load_spec(str(tmp_path))
