"""`check_dataset` for classification."""

import shutil
from pathlib import Path

import pytest
from tiny_classes import write_cifar10, write_classes

from tiramisu.data.catalog import load_spec
from tiramisu.data.checking.check import check_dataset

COUNTS = {"train/cat": 2, "train/dog": 3, "val/cat": 1, "val/dog": 0}


def test_images_are_counted_per_class(tmp_path: Path):
    report = check_dataset(load_spec(str(write_classes(tmp_path, COUNTS))))
    train, val = report.splits
    assert train.class_counts.tolist() == [2, 3]
    assert train.num_samples == 5
    assert train.sizes == ((8, 10),)
    assert train.void_count == 0
    assert val.class_counts.tolist() == [1, 0]
    assert report.warnings == ("val has no image of dog",)
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        *("samples", "height", "bands", "values", "brightness", "contrast"),
        *("images", "cat", "dog", "Values", "Warning:"),
    ]
    assert lines[9].split() == ["cat", "2", "1"]


def test_everything_is_listed_at_once(tmp_path: Path):
    spec = load_spec(str(write_classes(tmp_path, COUNTS)))
    damaged = tmp_path / "train/dog/1.png"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (tmp_path / "train/cat/0.png").write_bytes(b"")
    shutil.copy(tmp_path / "train/dog/2.png", tmp_path / "val/dog/0.png")
    with pytest.raises(ValueError, match="3 problems") as caught:
        check_dataset(spec)
    for part in (
        "train: unreadable image: train/dog/1.png",
        "train: unreadable image: train/cat/0.png",
        "train and val share images (1): train/dog/2.png = val/dog/0.png",
    ):
        assert part in str(caught.value)


def test_folders_that_are_no_class_are_named(tmp_path: Path):
    spec = load_spec(str(write_classes(tmp_path, COUNTS)))
    (tmp_path / "val/bird").mkdir()
    for path in tmp_path.glob("train/*/*"):
        path.unlink()
    with pytest.raises(ValueError, match="2 problems") as caught:
        check_dataset(spec)
    assert "train: empty; no image" in str(caught.value)
    assert "no such class as the folder bird" in str(caught.value)


def test_different_sizes_are_a_warning_without_a_size_or_crop(tmp_path: Path):
    spec = load_spec(str(write_classes(tmp_path, COUNTS)))
    write_classes(tmp_path, {"train/cat": 1}, size=(9, 9))
    assert any("images of 2 sizes; give" in text for text in check_dataset(spec).warnings)
    again = check_dataset(load_spec(str(tmp_path)))  # size: [224, 224]
    assert not any("sizes" in text for text in again.warnings)


def test_cifar_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_cifar10(tmp_path / "cifar10", monkeypatch)
    report = check_dataset(load_spec("cifar10"), root=tmp_path / "cifar10", splits=["test"])
    assert report.splits[0].class_counts.tolist() == [2] * 10
    (tmp_path / "cifar10/cifar-10-batches-py/test_batch").unlink()
    with pytest.raises(ValueError, match=r"test: .*missing or damaged .* tiramisu download"):
        check_dataset(load_spec("cifar10"), root=tmp_path / "cifar10", splits=["test"])


def test_drawn_objects_are_counted():
    report = check_dataset(load_spec("objects"), splits=["val"])
    assert report.splits[0].class_counts.tolist() == [50] * 10
    assert report.splits[0].sizes == ((32, 32),)
