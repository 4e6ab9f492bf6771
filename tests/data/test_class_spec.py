"""Descriptions of data sets for classification: YAML and bare folders."""

import re
from pathlib import Path

import numpy as np
import pytest
from tiny_classes import write_classes

from tiramisu.data.catalog import load_spec
from tiramisu.data.spec_parts import CifarSplit, DrawnSplit, FolderSplit
from tiramisu.data.task_specs import ClassificationSpec
from tiramisu.shipped import find_shipped
from tiramisu.streets import OBJECTS

YAML = """\
name: pets
title: Pets
task: classification
classes:
  - cat
  - {name: dog, folder: n02, color: [1, 2, 3]}
splits:
  train: {folder: train}
  val: {folder: val}
"""


def write(tmp_path: Path, old: str = "", new: str = "") -> str:
    assert old in YAML
    path = tmp_path / "pets.yaml"
    path.write_text(YAML.replace(old, new, 1) if old else YAML)
    return str(path)


def test_a_yaml_of_folders(tmp_path: Path):
    spec = load_spec(write(tmp_path))
    assert spec.task == "classification"
    assert spec.ignore_index == -1
    assert spec.class_names == ("cat", "dog")
    assert spec.colors[1].tolist() == [1, 2, 3]
    assert spec.labels is None
    assert spec.size is None
    assert spec.split("val") == FolderSplit(folder="val")
    assert spec.folders == ("cat", "n02")
    assert not spec.drawn
    assert load_spec(write(tmp_path, "classes:", "size: [32, 40]\nclasses:")).size == (32, 40)


def test_segmentation_is_the_task_if_none_is_named():
    spec = load_spec("camvid")
    assert spec.task == "segmentation"
    assert spec.ignore_index == 255


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: classification", "task: detection", r"line 3: task: expected segmentation or cl"),
        ("task: classification\n", "", r"line 5: classes.folder: unknown key 'folder'"),
        (
            YAML[YAML.index("  - cat") : YAML.index("splits")],
            "  []\n",
            r"line 4: classes: expected 2 classes or more, not 0: what belongs to no other class",
        ),
        ("  - cat", "  - n02", r"line 6: classes: the folder 'n02' is used already in line 5"),
        ("  - cat", "  - dog", r"line 6: classes: the name 'dog' is used already in line 5"),
        ("{folder: val}", "{images: a, masks: b}", r"line 9: splits.val.images: unknown key"),
        ("folder: val", "folder: ../val", r"line 9: .*relative to its folder"),
        ("folder: val", "folder: /val", r"line 9: .*relative to its folder"),
        ("classes:", "size: 224\nclasses:", r"line 4: size: expected \[height, width\]"),
        ("classes:", "size: [0, 9]\nclasses:", r"line 4: size: expected a number of at least 1"),
        ("classes:", "encoding: rgb\nclasses:", r"line 4: encoding: unknown key 'encoding'"),
        ("classes:", "torchvision: CIFAR1\nclasses:", r"line 4: .*expected CIFAR10 or CIFAR100"),
        ("classes:", "torchvision: CIFAR10\nclasses:", r"line 9: splits.train.folder: unknown key"),
        (
            "classes:",
            "drawn: {size: 9}\nsize: [9, 9]\nclasses:",
            r"line 5: size: `drawn` gives the images and their size; remove one",
        ),
        (
            "classes:",
            "drawn: {size: 9}\ntorchvision: CIFAR10\nclasses:",
            r"line 5: torchvision: .*",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str):
    with pytest.raises(ValueError, match=message):
        load_spec(write(tmp_path, old, new))


@pytest.mark.parametrize(
    ("range_", "message"),
    [("5", "expected .first, end."), ("[9, 9]", "holds no image"), ("[-1, 9]", "at least 0")],
)
def test_a_range_holds_images(tmp_path: Path, range_: str, message: str):
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\ntitle: A\ntask: classification\ntorchvision: CIFAR10\nclasses: [a, b]\n"
        f"splits:\n  train: {{part: train, range: {range_}}}\n"
    )
    with pytest.raises(ValueError, match=rf"line 7: splits.train.range: .*{message}"):
        load_spec(str(path))


@pytest.mark.parametrize(("count", "accuracy"), [(10, 95.49), (100, 77.73)])
def test_cifar(count: int, accuracy: float):
    spec = load_spec(f"cifar{count}")
    assert spec.num_classes == count
    assert len(np.unique(spec.colors, axis=0)) == count
    assert spec.torchvision == f"CIFAR{count}"
    assert spec.split("train") == CifarSplit(part="train", range=(0, 45000))
    assert spec.split("val") == CifarSplit(part="train", range=(45000, 50000))
    assert spec.split("test") == CifarSplit(part="test")
    assert spec.can_download
    row = next(row for row in spec.published if row.arch == "densenet_bc100_12")
    assert row.accuracy == accuracy
    with pytest.raises(ValueError, match=f"fetch it: tiramisu download cifar{count}"):
        spec.find_root(None)


def test_objects():
    spec = load_spec("objects")
    assert spec.drawn
    assert spec.class_names == OBJECTS
    splits = [spec.split(name) for name in ("train", "val", "test")]
    assert all(isinstance(split, DrawnSplit) for split in splits)
    seeds = [set(range(s.first_seed, s.first_seed + s.count)) for s in splits]
    assert len(set.union(*seeds)) == sum(map(len, seeds))  # no image is in two splits
    for split in seeds:  # the classes take turns
        assert np.ptp(np.bincount(np.array(list(split)) % len(OBJECTS))) == 0


def test_the_template_shows_classification_too(tmp_path: Path):
    text = find_shipped("datasets", "template").read_text()
    example = re.findall(r"^#   (.*)$", text.partition("# Classification")[2], re.MULTILINE)
    path = tmp_path / "fruit.yaml"
    path.write_text("\n".join(example))
    spec = load_spec(str(path))
    assert spec.class_names == ("apple", "green apple")
    assert spec.split("train") == FolderSplit(folder="photos/train")
    assert spec.folders == ("apple", "apple_g")
    assert spec.size == (224, 224)


class TestBareFolder:
    def test_the_folders_are_the_classes(self, tmp_path: Path):
        counts = {"train/dog": 2, "train/cat": 3, "val/cat": 1, "val/dog": 1, "train/.cache": 1}
        spec = load_spec(str(write_classes(tmp_path, counts)))
        assert spec.task == "classification"
        assert spec.class_names == ("cat", "dog")
        assert list(spec.splits) == ["train", "val"]
        assert spec.find_root(None) == tmp_path
        assert spec.size is None

    def test_images_of_different_sizes_are_brought_to_one(self, tmp_path: Path):
        write_classes(tmp_path, {"train/a": 2, "train/b": 1, "val/b": 0})
        write_classes(tmp_path, {"val/a": 1}, size=(10, 8))
        assert load_spec(str(tmp_path)).size == (224, 224)

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            ({"train/a": 1, "train/b": 0}, "train: no image of b. Put images there"),
            ({"train/a": 1, "train/b": 1, "val/a": 1}, "val: no folder for the class b.*empty fo"),
            ({"train/a": 1, "val/a": 1, "val/c": 1}, "val: no such class as the folder c"),
            ({"train": 2}, "train: no sub-folder. Expected one for each class"),
            ({"elsewhere/a": 2}, "expected in this folder .*train/CLASS and val/CLASS"),
        ],
    )
    def test_what_does_not_fit_gets_a_fix(
        self, tmp_path: Path, counts: dict[str, int], message: str
    ):
        with pytest.raises(ValueError, match=message):
            load_spec(str(write_classes(tmp_path, counts)))


def test_drawn_images_need_no_size() -> None:
    spec = load_spec("objects")
    values = {**{name: getattr(spec, name) for name in type(spec).model_fields}, "size": None}
    assert ClassificationSpec(**values) == spec
