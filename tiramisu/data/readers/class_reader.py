"""Readers for classification: image folders, CIFAR and drawn objects."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tiramisu.data.image_format import RGB
from tiramisu.data.readers.cifar_archive import load_cifar
from tiramisu.data.readers.class_folder import find_class_images
from tiramisu.data.readers.image_file import read_image
from tiramisu.data.readers.reader import Format, format_of_files, require_classes
from tiramisu.data.resizing import resize_image
from tiramisu.data.spec_parts import CifarSplit, DrawnSplit, FolderSplit
from tiramisu.data.task_specs import ClassificationSpec
from tiramisu.streets import OBJECTS, draw_object
from tiramisu.text import show_path

_LONGEST = 16  # how often an image may hold the size that is cut out of it


class ObjectReader:
    """Draws the objects of a drawn split."""

    def __init__(self, split: DrawnSplit, spec: ClassificationSpec) -> None:
        require_classes(OBJECTS, spec, "draw_object draws")
        assert spec.drawn is not None
        self.side = spec.drawn.size
        self.first_seed = split.first_seed
        self.format = RGB
        self.names = [f"object_{split.first_seed + i:06d}" for i in range(split.count)]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        image, label = draw_object(self.first_seed + index, size=self.side)
        return image, np.array(label, np.int64)


class FolderReader:
    """Reads the image files of a split."""

    def __init__(
        self, split: FolderSplit, root: Path, spec: ClassificationSpec, format: Format
    ) -> None:
        self.images = find_class_images(split, spec.folders, root)
        if not self.images:
            raise ValueError(
                f"{root / split.folder}: no image in the folders of its {spec.num_classes} "
                "classes. Is this the right folder?"
            )
        self.format = format or format_of_files([image.path for image in self.images], spec)
        self.size = spec.size
        home = root / split.folder
        self.names = [show_path(image.path.relative_to(home).as_posix()) for image in self.images]

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        sample = self.images[index]
        image = read_image(sample.path, self.format)
        if self.size is not None:
            image = resize_and_crop(image, self.size)
        return image, np.array(sample.label, np.int64)


class CifarReader:
    """Holds the images of CIFAR-10 or CIFAR-100, read by torchvision."""

    def __init__(self, split: CifarSplit, root: Path, spec: ClassificationSpec) -> None:
        data = load_cifar(spec, root, train=split.part == "train")
        require_classes(tuple(data.classes), spec, f"{spec.torchvision} has")
        first, end = split.range or (0, len(data.data))
        if end > len(data.data):
            raise ValueError(
                f"{spec.name}: the range {first} to {end} is beyond the {len(data.data)} "
                f"{split.part} images of {spec.torchvision}"
            )
        self.images = np.ascontiguousarray(data.data[first:end])  # uint8 (N, 32, 32, 3)
        self.labels = np.array(data.targets[first:end], np.int64)
        self.size = spec.size
        self.format = RGB
        self.names = [f"{split.part}_{i:05d}" for i in range(first, end)]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        image = self.images[index]
        if self.size is not None:
            image = resize_and_crop(image, self.size)
        return image, self.labels[index : index + 1].reshape(())


def resize_and_crop(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """An image (H, W, C) resized and center-cropped to `size`, (height, width).

    The aspect ratio is kept: the shorter side fits, and the longer one is cropped.
    """
    factor = max(wanted / side for wanted, side in zip(size, image.shape, strict=False))
    # Of a very long image only the middle is enlarged: the whole may not fit in memory.
    image = _middle(image, *(math.ceil(_LONGEST * side / factor) for side in size))
    tall, wide = (max(s, round(n * factor)) for s, n in zip(size, image.shape, strict=False))
    image = resize_image(image, height=tall, width=wide)
    return np.ascontiguousarray(_middle(image, *size))


def _middle(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """At most so many rows and columns of an image, from its middle."""
    top, left = (
        max(0, n - most) // 2 for n, most in zip(image.shape, (height, width), strict=False)
    )
    return image[top : top + height, left : left + width]
