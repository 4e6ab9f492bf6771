"""Writes tiny data sets for classification."""

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

CIFAR_LABELS = np.arange(10).repeat(2)  # of the 20 images of each batch


def write_classes(folder: Path, counts: dict[str, int], *, size: tuple[int, int] = (8, 10)) -> Path:
    """Random images: {"train/cat": 3} -> train/cat/0.png ... 2.png of (height, width) `size`."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            rng = np.random.default_rng((number, i))
            pixels = rng.integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def cifar_pixels(batch: int) -> np.ndarray:
    """uint8 (20, 32, 32, 3): the images of a batch."""
    return np.random.default_rng(batch).integers(0, 256, (20, 32, 32, 3), np.uint8)


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 of 5 x 20 training and 20 test images; returns its archive.

    torchvision is given the MD5 of these files.
    """
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for batch, name in enumerate(names):
        data = cifar_pixels(batch).transpose(0, 3, 1, 2).reshape(20, -1)
        content = {"data": data, "labels": CIFAR_LABELS.tolist()}
        (base / name).write_bytes(pickle.dumps(content))
    classes = ["airplane", "automobile", "bird", "cat", "deer"]
    classes += ["dog", "frog", "horse", "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}))
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(base, base.name)

    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    lists = [[name, md5(base / name)] for name in names]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists[5:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(base / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    return archive
