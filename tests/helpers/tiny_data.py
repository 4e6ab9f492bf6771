"""Writes tiny samples."""

from pathlib import Path

import numpy as np
from PIL import Image

YAML = """\
name: tiny
title: Tiny
classes:
  - {name: ground, color: [10, 20, 30]}
  - {name: tree, color: [0, 128, 0]}
  - {name: fruit, color: [255, 0, 0]}
splits:
  train: {images: "train/*.png", masks: "trainannot/*.png"}
  val: {images: "val/*.png", masks: "valannot/*.png"}
"""


def write_pair(
    image: Path, mask: Path, label: np.ndarray, *, seed: int, palette: np.ndarray | None = None
) -> None:
    """A random image and a mask file with these values (H, W) or colours (H, W, 3)."""
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*label.shape[:2], 3), np.uint8)
    Image.fromarray(pixels).save(image)
    file = Image.fromarray(label)
    if palette is not None:
        file.putpalette(palette.tobytes())
    file.save(mask)


def random_label(seed: int, *, height: int = 12, width: int = 16) -> np.ndarray:
    """uint8 (H, W): all of 0, 1, 2 and void 255."""
    values = np.array([0, 1, 2, 255], np.uint8)
    label = np.random.default_rng(seed).choice(values, (height, width))
    label[0, :4] = values
    return label


RECTANGLE_COLORS = np.array([[90, 120, 200], [60, 60, 60], [40, 160, 60]], np.uint8)


def write_rectangles(root: Path, split: str, *, count: int, seed: int, size: int = 64) -> None:
    """Noisy images with one colour per class, and a frame of void pixels around each."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder / split).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        label = np.zeros((size, size), np.uint8)
        label[size // 2 :] = 1
        top, left = rng.integers(4, size // 2, 2)
        label[top : top + size // 3, left : left + size // 3] = 2
        image = RECTANGLE_COLORS[label] + rng.normal(0, 12, (size, size, 3))
        label[[0, -1]] = label[:, [0, -1]] = 255
        name = f"{split}{i}.png"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / split / name)
        Image.fromarray(label).save(root / "masks" / split / name)
