"""A data set of a few coloured rectangles, and settings under which a run takes seconds."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiramisu.data.dataset import SegmentationDataset
from tiramisu.data.spec import load_spec
from tiramisu.engine.config import TrainConfig
from tiramisu.engine.model import SegmentationModel
from tiramisu.engine.train import build_model_for

COLORS = np.array([[90, 120, 200], [60, 60, 60], [40, 160, 60]], np.uint8)


def write_rectangles(root: Path, split: str, *, count: int, seed: int, size: int = 64) -> None:
    """Images whose colour tells the class, but for noise; a void frame around each."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder / split).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        label = np.zeros((size, size), np.uint8)
        label[size // 2 :] = 1
        top, left = rng.integers(4, size // 2, 2)
        label[top : top + size // 3, left : left + size // 3] = 2
        image = COLORS[label] + rng.normal(0, 12, (size, size, 3))
        label[[0, -1]] = label[:, [0, -1]] = 255
        name = f"{split}{i}.png"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / split / name)
        Image.fromarray(label).save(root / "masks" / split / name)


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
def dataset(rectangles: Path) -> SegmentationDataset:
    return SegmentationDataset(load_spec(str(rectangles)), "val", root=None)


@pytest.fixture
def model(rectangles: Path) -> SegmentationModel:
    spec = load_spec(str(rectangles))
    return build_model_for(spec, TrainConfig(arch="fc56", data=str(rectangles))).eval()
