"""Data sets of drawn photos whose masks fit, and in which a check finds nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 96
COLORS = np.array([[150, 150, 140], [60, 110, 60], [190, 90, 70]])

Change = Callable[[np.ndarray], np.ndarray]


def draw_photo(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (96, 96, 3) of rectangles on a ground, and its label: 0, 1 and 2."""
    rng = np.random.default_rng(seed)
    label = np.zeros((SIZE, SIZE), np.uint8)
    for index in (1, 2, 1, 2):
        top, left = rng.integers(5, SIZE - 40, 2)
        height, width = rng.integers(15, 35, 2)
        label[top : top + height, left : left + width] = index
    image = COLORS[label] + rng.normal(0, 12) + rng.normal(0, 8, (SIZE, SIZE, 3))
    return image.clip(0, 255).astype(np.uint8), label


@dataclass(frozen=True)
class Photos:
    """A folder of 12 training and 10 validation photos, with classes.txt."""

    root: Path

    def draw(self) -> "Photos":
        self.root.mkdir()
        (self.root / "classes.txt").write_text("ground\ntree\ncar\n")
        for split, first, count in (("train", 0, 12), ("val", 100, 10)):
            for i in range(count):
                self.write(split, i, *draw_photo(first + i))
        return self

    def path(self, kind: str, split: str, index: int) -> Path:
        return self.root / kind / split / f"{index:02d}.png"

    def write(self, split: str, index: int, image: np.ndarray, label: np.ndarray) -> None:
        for kind, values in (("images", image), ("masks", label)):
            path = self.path(kind, split, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)

    def change(
        self, kind: str, split: str, change: Change, *, indices: range | None = None
    ) -> None:
        """Change the images or the masks of a split, or some of them."""
        for path in sorted((self.root / kind / split).iterdir()):
            if indices is None or int(path.stem) in indices:
                changed = change(np.asarray(Image.open(path)))
                Image.fromarray(changed.astype(np.uint8)).save(path)
