"""Samples for classification: image folders, CIFAR and drawn objects."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_classes import CIFAR_LABELS, cifar_pixels, write_cifar10, write_classes

from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import make_loader
from tiramisu.data.readers.class_reader import resize_and_crop
from tiramisu.data.sample import SampleKey
from tiramisu.data.transforms import TrainTransform
from tiramisu.streets import draw_object

TRANSFORM = TrainTransform(crop=(8, 8), scale=(0.7, 1.5), flip=True, color=0.5, pad=2)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    counts = {"train/cat": 2, "train/dog": 3, "val/cat": 1, "val/dog": 1}
    return write_classes(tmp_path / "pets", counts)


def make(folder: Path, split: str = "train", **kwargs) -> ImageDataset:
    return ImageDataset(load_spec(str(folder)), split, root=None, **kwargs)


def test_read_gives_the_files(pets: Path):
    (pets / "train/cat/._0.png").write_bytes(b"left by a system")
    dataset = make(pets)
    assert dataset.names == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png"]
    image, label = dataset.read(3)
    assert np.array_equal(image, np.asarray(Image.open(pets / "train/dog/1.png")))
    assert (label.dtype, label.shape, int(label)) == (np.int64, (), 1)


def test_the_classes_keep_the_order_of_the_yaml(pets: Path):
    path = pets.with_suffix(".yaml")
    path.write_text(
        "name: pets\ntitle: Pets\ntask: classification\nroot: pets\n"
        "classes: [{name: a dog, folder: dog}, cat]\nsplits: {train: {folder: train}}\n"
    )
    dataset = make(path)
    labels = {name: int(dataset.read(i)[1]) for i, name in enumerate(dataset.names)}
    assert labels["dog/0.png"] == 0
    assert labels["cat/1.png"] == 1


def test_a_sample_and_padding(pets: Path):
    dataset = make(pets, transform=TRANSFORM)
    sample, padding = dataset[3], dataset[SampleKey(0, padding=True)]
    assert sample["image"].shape == (3, 8, 8)
    assert (sample["label"].dtype, sample["label"].shape) == (torch.int64, ())
    assert sample["label"] == 1
    assert sample["index"] == 3
    assert padding["label"] == -1
    assert padding["index"] == -1


def test_batches(pets: Path):
    loader = make_loader(
        make(pets, image_scale=0.5), batch_size=5, shuffle=False, num_workers=0, seed=0
    )
    (batch,) = loader
    assert batch["image"].shape == (5, 3, 4, 5)
    assert batch["label"].tolist() == [0, 0, 1, 1, 1]


def test_samples_depend_on_neither_workers_nor_cache(pets: Path):
    epochs = []
    for num_workers, cache in ((0, False), (2, True)):
        dataset = make(pets, transform=TRANSFORM, seed=3, cache=cache)
        dataset.preload()
        loader = make_loader(dataset, batch_size=5, shuffle=True, num_workers=num_workers, seed=3)
        loader.sampler.set_epoch(4)
        epochs.append(next(iter(loader)))
    for key in ("image", "label", "index"):
        assert torch.equal(epochs[0][key], epochs[1][key])


def test_different_sizes_are_brought_to_one(pets: Path):
    write_classes(pets, {"val/dog": 1}, size=(300, 100))
    dataset = make(pets, "val")
    assert [dataset.read(i)[0].shape for i in range(2)] == [(224, 224, 3)] * 2


def test_different_sizes_in_a_batch_get_a_fix(pets: Path):
    spec = load_spec(str(pets))
    write_classes(pets, {"val/dog": 1}, size=(9, 8))
    dataset = ImageDataset(spec, "val", root=None)
    loader = make_loader(dataset, batch_size=2, shuffle=False, num_workers=0, seed=0)
    with pytest.raises(ValueError, match=r"images of different sizes.*or the data set a `size`"):
        list(loader)


def test_a_broken_file_gives_one_short_message(pets: Path):
    (pets / "train/cat/1.png").write_bytes(b"not an image")
    loader = make_loader(make(pets), batch_size=5, shuffle=False, num_workers=0, seed=0)
    with pytest.raises(ValueError, match=r"^[^\n]*train/cat/1\.png is damaged[^\n]*$"):
        list(loader)


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 50), (60, 30), (40, 60)])
def test_filling_a_size_keeps_the_middle_and_the_ratio(height: int, width: int):
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width // 2, height // 2), min(height, width) // 4, (255, 255, 255), -1)
    filled = resize_and_crop(image, (40, 60))
    assert filled.shape == (40, 60, 3)
    rows, columns = np.nonzero(filled[..., 0] > 127)
    factor = max(40 / height, 60 / width)
    for place, side in ((rows, 40), (columns, 60)):
        assert abs(place.mean() - side / 2) < 2
        assert abs(np.ptp(place) + 1 - factor * min(height, width) / 2) <= 0.15 * side


def test_a_missing_split_folder_is_named(pets: Path):
    spec = load_spec(str(pets))
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        ImageDataset(spec, "val", root=pets / "nowhere")
    with pytest.raises(ValueError, match=r"val: no such folder. Expected val/cat/IMAGES"):
        ImageDataset(spec, "val", root=pets / "train")


def test_cifar_is_cut_into_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_cifar10(tmp_path / "cifar10", monkeypatch)
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: cifar10\ntitle: Tiny\ntask: classification\ntorchvision: CIFAR10\nroot: cifar10\n"
        "classes: [airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck]\n"
        "splits:\n  train: {part: train, range: [0, 90]}\n  val: {part: train, range: [90, 100]}\n"
        "  test: {part: test}\n  far: {part: train, range: [90, 101]}\n"
    )
    train, val, test = (make(path, split) for split in ("train", "val", "test"))
    assert [len(dataset) for dataset in (train, val, test)] == [90, 10, 20]
    assert val.names[0] == "train_00090"
    for dataset, index, batch, place in ((train, 21, 1, 1), (val, 9, 4, 19), (test, 5, 5, 5)):
        image, label = dataset.read(index)
        assert np.array_equal(image, cifar_pixels(batch)[place])
        assert (label.dtype, label.shape, int(label)) == (np.int64, (), CIFAR_LABELS[place])
    assert torch.equal(pickle.loads(pickle.dumps(val))[3]["image"], val[3]["image"])
    with pytest.raises(ValueError, match="range 90 to 101 is beyond the 100 train images"):
        make(path, "far")
    path.write_text(path.read_text().replace("airplane, automobile", "automobile, airplane"))
    with pytest.raises(ValueError, match=r"CIFAR10 has airplane, automobile, .* in this order"):
        make(path, "val")
    (tmp_path / "cifar10/cifar-10-batches-py/data_batch_3").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"missing or damaged in .* tiramisu download cifar10"):
        make(path, "val")


def test_objects_are_drawn_from_their_seeds():
    spec = load_spec("objects")
    val = ImageDataset(spec, "val", root=None, cache=True)
    assert len(val) == 500
    first = spec.split("val").first_seed
    for index in (0, 7, 123):
        image, label = val.read(index)
        expected, kind = draw_object(first + index, size=32)
        assert np.array_equal(image, expected)
        assert int(label) == kind
    assert np.bincount([int(val.read(i)[1]) for i in range(30)]).tolist() == [3] * 10


def test_other_classes_than_the_drawn_ones_are_refused(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ntitle: Own\ntask: classification\ndrawn: {size: 32}\nclasses: [bus, car]\n"
        "splits: {train: {first_seed: 0, count: 4}}\n"
    )
    with pytest.raises(ValueError, match="own: its classes are bus, car; draw_object draws car"):
        make(path)
