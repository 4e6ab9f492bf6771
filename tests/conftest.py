"""A data set for classification that takes no time to learn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLORS = {"blue": (70, 90, 210), "green": (50, 170, 70), "red": (200, 60, 50), "white": (230,) * 3}


@pytest.fixture
def colored_classes(tmp_path: Path) -> Callable[..., Path]:
    """An image folder of 16x16 pixels whose classes are told by their colour."""

    def write(*classes: str, name: str = "colors", train: int = 8, val: int = 3) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / name
        for split, count in (("train", train), ("val", val)):
            for label in classes:
                folder = root / split / label
                folder.mkdir(parents=True)
                for number in range(count):
                    noisy = np.array(COLORS[label]) + rng.normal(0, 20, (16, 16, 3))
                    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
                    image.save(folder / f"{label}{number}.png")
        return root

    return write
