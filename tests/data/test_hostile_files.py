"""Data sets with a file that cannot be read, and with names and links that are not usual."""

import os
from pathlib import Path

import numpy as np
import pytest
from hostile_images import BAD, DAMAGED, NO_FILES, ODD_NAMES, PNG, SIZE, write_bad
from PIL import Image

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.data.readers.image_file import LIMIT_VARIABLE
from tiramisu.data.sample import DataError
from tiramisu.text import show_path


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    path.write_bytes(b"")
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")


def write_mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.resize(np.array([0, 1, 2, 255], np.uint8), (SIZE[1], SIZE[0]))
    with path.open("wb") as file:
        Image.fromarray(values).save(file, "PNG")


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """A folder for segmentation, with one training and one validation sample."""
    root = tmp_path / "pixels"
    for seed, split in enumerate(("train", "val")):
        write_image(root / f"images/{split}/good.png", seed)
        write_mask(root / f"masks/{split}/good.png")
    return root


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder for classification, with one training and one validation image of each class."""
    root = tmp_path / "classes"
    for seed, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        write_image(root / name / "good.png", seed)
    return root


def refuse(root: Path, bad: Path) -> None:
    """`check` lists the bad file, and a loader stops at it by its name."""
    spec = load_spec(str(root))
    with pytest.raises(ValueError, match="1 problem") as checked:
        check_dataset(spec)
    assert show_path(bad.relative_to(root)) in str(checked.value)
    dataset = ImageDataset(spec, "train", root=None)
    with pytest.raises(DataError) as loaded:
        list(make_loader(dataset, batch_size=1, shuffle=False, num_workers=0, seed=0))
    assert show_path(bad) in str(loaded.value)
    assert "\n" not in str(loaded.value)


PNG_CASES = [name for name in BAD if name.endswith(".png")]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_named(pixels: Path, name: str) -> None:
    write_bad(pixels / "images/train" / name, name)
    write_mask((pixels / "masks/train" / name).with_suffix(".png"))
    refuse(pixels, pixels / "images/train" / name)


@pytest.mark.parametrize("name", PNG_CASES)
def test_a_bad_mask_is_named(pixels: Path, name: str) -> None:
    write_image(pixels / "images/train" / name, 9)
    write_bad(pixels / "masks/train" / name, name)
    refuse(pixels, pixels / "masks/train" / name)


@pytest.mark.parametrize("name", [*NO_FILES, *DAMAGED])
def test_a_bad_image_of_a_class_is_named(classes: Path, name: str) -> None:
    write_bad(classes / "train/a" / name, name)
    refuse(classes, classes / "train/a" / name)


def test_both_files_of_a_pair_are_named(pixels: Path) -> None:
    for folder in ("images", "masks"):
        (pixels / folder / "train/bad.png").write_bytes(PNG[:50])
    with pytest.raises(ValueError, match=r"unreadable image: images/train/bad\.png") as caught:
        check_dataset(load_spec(str(pixels)))
    assert "unreadable mask: masks/train/bad.png" in str(caught.value)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_samples_of_any_name_are_read_and_named(pixels: Path, classes: Path, name: str) -> None:
    write_image(pixels / "images/train" / name, 9)
    write_mask(pixels / "masks/train" / name)
    write_image(classes / "train/b" / name, 9)
    for root in (pixels, classes):
        spec = load_spec(str(root))
        assert sum(split.num_samples for split in check_dataset(spec).splits) > 2
        dataset = ImageDataset(spec, "train", root=None)
        for index, text in enumerate(dataset.names):
            assert dataset[index]["image"].shape[1:] == (SIZE[1], SIZE[0])
            assert text.encode()
            assert text.isprintable()
    (pixels / "images/train" / name).write_bytes(b"no image")
    refuse(pixels, pixels / "images/train" / name)


def test_a_wrong_limit_is_one_error(pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec(str(pixels))
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(ValueError, match=f"^the environment variable {LIMIT_VARIABLE} is 'much'"):
        check_dataset(spec)


def test_a_folder_of_any_name_is_a_data_set(pixels: Path) -> None:
    renamed = pixels.rename(pixels.with_name(os.fsdecode(b"caf\xe9\n")))
    spec = load_spec(str(renamed))
    assert spec.name == "caf__"
    assert spec.title.endswith("caf\\xe9\\n")
    check_dataset(spec)


def test_a_class_needs_a_name_that_is_text(classes: Path) -> None:
    for split in ("train", "val"):
        (classes / split / "b").rename(classes / split / os.fsdecode(b"\xff"))
    with pytest.raises(ValueError, match=r"train: the name of a folder is .* \\xff are no text"):
        load_spec(str(classes))


def test_links_that_lead_in_circles_are_not_followed(classes: Path) -> None:
    """Two of them give 2 ** 40 ways through the folder."""
    (classes / "train/a/inner").mkdir()
    (classes / "train/a/inner/x.png").write_bytes(PNG)
    for name in ("one", "two"):
        (classes / "train/a" / name).symlink_to(".")
        (classes / "train/a/inner" / name).symlink_to("..")
    (classes / "elsewhere").mkdir()
    (classes / "elsewhere/y.png").write_bytes(PNG)
    (classes / "train/b/link").symlink_to(classes / "elsewhere")
    dataset = ImageDataset(load_spec(str(classes)), "train", root=None)
    assert dataset.names == ["a/good.png", "a/inner/x.png", "b/good.png", "b/link/y.png"]


def test_an_image_that_is_all_length_is_resized_by_its_middle(classes: Path) -> None:
    Image.new("RGB", (300_000, 1), (10, 20, 30)).save(classes / "train/a/long.png")
    dataset = ImageDataset(load_spec(str(classes)), "train", root=None)
    image, _ = dataset.read(dataset.names.index("a/long.png"))
    assert image.shape == (224, 224, 3)
    assert (image == (10, 20, 30)).all()


@pytest.mark.parametrize("name", NO_FILES)
def test_a_list_of_classes_is_a_file_of_text(pixels: Path, name: str) -> None:
    """What is not read must not be taken for a list that is not there."""
    NO_FILES[name](pixels / "classes.txt")
    with pytest.raises((ValueError, FileNotFoundError), match=r"classes\.txt(,| is)"):
        load_spec(str(pixels))


@pytest.mark.parametrize("name", NO_FILES)
def test_a_list_of_samples_is_a_file_of_text(pixels: Path, name: str) -> None:
    (pixels / "lists.yaml").write_text(
        "name: lists\ntitle: Lists\nroot: .\nclasses: [{name: a}, {name: b}, {name: c}]\nsplits:\n"
        "  train: {images: images/train/*.png, masks: masks/train/*.png, list: train.txt}\n"
        "  val: {images: images/val/*.png, masks: masks/val/*.png}\n"
    )
    NO_FILES[name](pixels / "train.txt")
    spec = load_spec(str(pixels / "lists.yaml"))
    with pytest.raises(ValueError, match=r"1 problem\n  train: .*train\.txt(,| is)"):
        check_dataset(spec)
