"""Small data sets and models that many tests share."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import write_rectangles
from torch import nn

from tiramisu import machine
from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import SegmentationModel
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import ImageDataset
from tiramisu.training.config import TrainConfig
from tiramisu.training.preparing import build_model_for

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the programs that tests start

CLASS_COLORS = {
    "blue": (70, 90, 210),
    "green": (50, 170, 70),
    "red": (200, 60, 50),
    "white": (230,) * 3,
}


@pytest.fixture
def colored_classes(tmp_path: Path) -> Callable[..., Path]:
    """An image folder of 16x16 pixels whose classes differ in colour."""

    def write(*classes: str, name: str = "colors", train: int = 8, val: int = 3) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / name
        for split, count in (("train", train), ("val", val)):
            for label in classes:
                folder = root / split / label
                folder.mkdir(parents=True)
                for number in range(count):
                    noisy = np.array(CLASS_COLORS[label]) + rng.normal(0, 20, (16, 16, 3))
                    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
                    image.save(folder / f"{label}{number}.png")
        return root

    return write


COLORS = ((128, 128, 128), (128, 0, 0), (0, 0, 192))


def tiny_network() -> nn.Module:
    """Three classes, and a receptive field of 4 pixels to each side."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2))


def channel_network() -> nn.Module:
    """The class of a pixel is its brightest channel."""
    network = nn.Conv2d(3, 3, 1, bias=False)
    network.weight.data = 20 * torch.eye(3)[..., None, None]
    return network


@pytest.fixture
def make_model() -> Callable[..., SegmentationModel]:
    def make(
        network: nn.Module | None = None,
        *,
        image_scale: float = 1.0,
        image_size: tuple[int, int] | None = None,
    ) -> SegmentationModel:
        info = ModelInfo(
            arch="tiny",
            class_names=("sky", "wall", "road"),
            colors=COLORS,
            image_scale=image_scale,
            image_size=image_size,
        )
        return SegmentationModel(network or tiny_network(), info).eval()

    return make


@pytest.fixture
def channel_model(make_model: Callable[..., SegmentationModel]) -> SegmentationModel:
    return make_model(channel_network())


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare folder data set: 6 training and 3 validation images of 64x64, three classes."""
    root = tmp_path_factory.mktemp("rectangles")
    write_rectangles(root, "train", count=6, seed=1)
    write_rectangles(root, "val", count=3, seed=2)
    return root


@pytest.fixture
def quick(rectangles: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Settings of a run of two epochs; changes come as keywords."""
    base = TrainConfig(
        arch="fc56",
        data=str(rectangles),
        out=str(tmp_path / "run"),
        epochs=2,
        batch_size=3,
        crop=(32, 32),
        lr=3e-3,
        accelerator="cpu",
    )
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def dataset(rectangles: Path) -> ImageDataset:
    return ImageDataset(load_spec(str(rectangles)), "val", root=None)


@pytest.fixture
def model(rectangles: Path) -> SegmentationModel:
    spec = load_spec(str(rectangles))
    return build_model_for(spec, TrainConfig(arch="fc56", data=str(rectangles))).eval()


@pytest.fixture
def control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a container's control groups; this process is in box/inner."""
    (tmp_path / "own").write_text("1:name=systemd:/elsewhere\n0::/box/inner\n")
    (tmp_path / "groups/box/inner").mkdir(parents=True)
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    return tmp_path / "groups"
