"""A part of the training samples for validation: --val-fraction."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_classes import write_classes
from tiny_data import random_label, write_pair

from tiramisu.data.catalog import load_spec
from tiramisu.data.config import SourceOptions
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.readers.file_split import find_files
from tiramisu.data.spec import DatasetSpec

FIFTH = SourceOptions(val_fraction=0.2)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for i in range(10):
        pair = (tmp_path / f"flat/{part}/{i:02d}.png" for part in ("images", "masks"))
        write_pair(*pair, random_label(i), seed=i)
    return tmp_path / "flat"


def names(spec: DatasetSpec, split: str) -> set[str]:
    return set(ImageDataset(spec, split, root=None).names)


def test_the_parts_share_no_sample(flat: Path) -> None:
    spec = load_spec(str(flat), FIFTH)
    assert list(spec.splits) == ["train", "val"]
    train, val = names(spec, "train"), names(spec, "val")
    assert (len(train), len(val)) == (8, 2)
    assert train | val == {f"{i:02d}" for i in range(10)}
    assert "--val-fraction 0.2 sets 2 of the 10 samples of train aside as the split val" in (
        spec.notes
    )


def test_it_depends_on_names_alone(flat: Path, tmp_path: Path) -> None:
    before = names(load_spec(str(flat), FIFTH), "val")
    moved = flat.rename(tmp_path / "elsewhere")
    assert names(load_spec(str(moved), FIFTH), "val") == before
    half = names(load_spec(str(moved), SourceOptions(val_fraction=0.5)), "val")
    assert before < half


def test_data_with_a_val_split_refuse_it(rectangles: Path) -> None:
    for data in ("camvid", str(rectangles)):
        with pytest.raises(ValueError, match=r"--val-fraction is 0\.2, but .* has a split val: le"):
            load_spec(data, FIFTH)


def test_a_yaml_without_val_takes_it(edit: Callable[[str, str], Path]) -> None:
    path = edit('  val: {images: "val/*.png", masks: "valannot/*.png"}\n', "")
    spec = load_spec(str(path), FIFTH)
    assert len(names(spec, "train")) == 4
    assert len(names(spec, "val")) == 1
    edit("  train:", "  all:")
    with pytest.raises(ValueError, match=r"no split train of files .* its splits are all"):
        load_spec(str(path), FIFTH)


def test_a_part_of_a_part(edit: Callable[[str, str], Path]) -> None:
    path = edit('masks: "trainannot/*.png"', 'masks: "trainannot/*.png", part: [0.2, 1]')
    edit('  val: {images: "val/*.png", masks: "valannot/*.png"}\n', "")
    whole = names(load_spec(str(path)), "train")
    assert len(whole) == 4
    spec = load_spec(str(path), SourceOptions(val_fraction=0.25))
    train, val = names(spec, "train"), names(spec, "val")
    assert train | val == whole
    assert (len(train), len(val)) == (3, 1)


def test_each_class_gives_its_part(tmp_path: Path) -> None:
    write_classes(tmp_path, {"train/cat": 10, "train/dog": 5})
    spec = load_spec(str(tmp_path), FIFTH)
    val = names(spec, "val")
    assert sum(name.startswith("cat/") for name in val) == 2
    assert sum(name.startswith("dog/") for name in val) == 1
    assert not val & names(spec, "train")
    assert len(names(spec, "train")) == 12


def test_folders_of_classes_need_no_train(tmp_path: Path) -> None:
    write_classes(tmp_path, {"cat": 4, "dog": 3})
    spec = load_spec(str(tmp_path))
    assert spec.class_names == ("cat", "dog")
    assert list(spec.splits) == ["train"]
    assert len(names(spec, "train")) == 7
    assert spec.notes == (
        "there are no splits: the sub-folders (cat, dog) are the classes of the split train",
    )
    assert len(names(load_spec(str(tmp_path), FIFTH), "val")) == 2


def test_one_sample_is_too_few(tmp_path: Path) -> None:
    pair = (tmp_path / f"{part}/0.png" for part in ("images", "masks"))
    write_pair(*pair, random_label(0), seed=0)
    with pytest.raises(ValueError, match=r"has too few samples in train \(1\) to set"):
        load_spec(str(tmp_path), FIFTH)


def test_a_file_without_a_partner_is_in_one_part(flat: Path) -> None:
    for i in range(10):
        (flat / f"images/x{i}.png").write_bytes((flat / "images/00.png").read_bytes())
    spec = load_spec(str(flat), FIFTH)
    found = [find_files(spec.split(name), flat) for name in ("train", "val")]  # type: ignore[arg-type]
    alone = [{path.name for path in files.images_without_mask} for files in found]
    assert alone[0] | alone[1] == {f"x{i}.png" for i in range(10)}
    assert not alone[0] & alone[1]


@pytest.mark.parametrize("part", ["0.2", "[0.2]", "[0.5, 0.5]", "[-1, 0.5]", "[0, 20]"])
def test_a_part_is_two_shares(edit: Callable[[str, str], Path], part: str) -> None:
    path = edit('"trainannot/*.png"', f'"trainannot/*.png", part: {part}')
    with pytest.raises(ValueError, match=r"line 8: splits\.train\.part: .*\[0\.2, 1\]"):
        load_spec(str(path))
