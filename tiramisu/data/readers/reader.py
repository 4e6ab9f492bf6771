"""Readers for segmentation: image and mask files, and drawn scenes."""

import contextlib
import multiprocessing
import os
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.data.labels import LabelTable
from tiramisu.data.readers.file_split import Pair, SplitFiles
from tiramisu.data.readers.image_file import open_image, read_image
from tiramisu.data.readers.mask_file import read_label
from tiramisu.data.readers.pixel_samples import explain_no_sample, find_samples
from tiramisu.data.spec import DatasetSpec, SegmentationSpec
from tiramisu.data.spec_parts import AnnotatedSplit, DrawnSplit, FileSplit
from tiramisu.interrupts import leave_process_group
from tiramisu.streets import NAMES, draw_scene
from tiramisu.text import list_some, show_path

_ORIENTATION = 274  # the number of this tag in EXIF
_TURNED_BY_90 = (5, 6, 7, 8)


class Reader(Protocol):
    """Decodes or draws the samples of one split."""

    names: list[str]
    """A unique name for each sample."""

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        """Image uint8 (H, W, 3) RGB, and its label: uint8 (H, W), or int64 () of the whole image.

        Raises:
            ValueError, FileNotFoundError: a file cannot be read; the message names it.
        """
        ...


class SceneReader:
    """Draws the scenes of a drawn split."""

    def __init__(self, split: DrawnSplit, spec: SegmentationSpec) -> None:
        require_classes(NAMES, spec, "draw_scene draws")
        assert spec.drawn is not None
        self.size = spec.drawn
        self.first_seed = split.first_seed
        self.names = [f"scene_{split.first_seed + i:06d}" for i in range(split.count)]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        seed = self.first_seed + index
        return draw_scene(seed, height=self.size.height, width=self.size.width)


class FileReader:
    """Reads the image and mask files of a split, or draws the masks from annotations."""

    def __init__(self, spec: SegmentationSpec, root: Path, name: str) -> None:
        split = spec.split(name)
        assert isinstance(split, FileSplit | AnnotatedSplit)
        found = find_samples(spec, name, root)
        _require_pairs(found, split, root, name)
        self.pairs: tuple[Pair, ...] = found.pairs
        self.labels = spec.labels
        self.names = [show_path(pair.key) for pair in found.pairs]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        pair = self.pairs[index]
        image = read_image(pair.image)
        label = label_of(pair, self.labels)
        if image.shape[:2] != label.shape:
            height, width = label.shape
            raise ValueError(
                f"{show_path(pair.image)} is {image.shape[0]} x {image.shape[1]} pixels (height x "
                f"width), its mask {show_path(pair.mask)} {height} x {width}; they must be the same"
                + explain_turned(pair.image, image.shape[:2], label.shape)
            )
        return image, label


def label_of(pair: Pair, labels: LabelTable) -> npt.NDArray[np.uint8]:
    """The class indices of the mask of an image, uint8 (H, W), read or drawn.

    Raises:
        ValueError, OSError: it cannot be read or drawn; the message names the file.
    """
    return pair.drawing.draw() if pair.drawing else read_label(pair.mask, labels)


def explain_turned(image: Path, size: tuple[int, ...], mask_size: tuple[int, ...]) -> str:
    """The end of an error: "; the photo is turned ..., and its mask is not ...", or nothing.

    Args:
        image: the image file.
        size: its height and width, as read.
        mask_size: those of its mask, which differ.
    """
    if mask_size != size[::-1]:
        return ""
    orientation = 1
    with contextlib.suppress(ValueError), open_image(image) as file:
        orientation = file.getexif().get(_ORIENTATION, 1)
    if orientation not in _TURNED_BY_90:
        return "; one of the two is turned by 90 degrees"
    return (
        f"; the photo is turned by its EXIF orientation ({orientation}) and its mask is not. Turn "
        "the mask in the same way, or take the orientation out of the photo, as by `exiftool "
        "-Orientation= FILE`"
    )


def reading_pool(*, drawn: bool, share: int = 1) -> Executor:
    """A pool that reads many samples at a time; use it in a `with` statement.

    Files are decoded in threads. Drawing runs in Python, where only one thread works at a time, so
    on Linux it uses processes.

    Args:
        drawn: whether the samples are drawn.
        share: number of processes of this machine that do the same.
    """
    workers = max(1, (os.cpu_count() or 1) // share)
    if not drawn:
        return ThreadPoolExecutor(workers)
    if sys.platform == "linux":
        fork = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(workers, mp_context=fork, initializer=_start_drawing)
    return ThreadPoolExecutor(1)


def _start_drawing() -> None:
    cv2.setNumThreads(0)  # OpenCV's own threads do not survive a fork
    leave_process_group()


def _require_pairs(
    found: SplitFiles, split: FileSplit | AnnotatedSplit, root: Path, name: str
) -> None:
    for problem, items in found.unpaired.items():
        if items:
            raise ValueError(
                f"{root}: split {name} has {problem} ({len(items)}, the first is "
                f"{show_path(str(items[0]))}); `tiramisu check` lists them all"
            )
    if not found.pairs:
        raise ValueError(
            f"{root}: split {name} is empty: {explain_no_sample(split, root)}. Is this the right "
            "folder?"
        )


def require_classes(found: tuple[str, ...], spec: DatasetSpec, whose: str) -> None:
    """Raise ValueError unless a data set has the classes of its images, in their order."""
    if spec.class_names != found:
        raise ValueError(
            f"{spec.name}: its classes are {list_some(spec.class_names, most=10)}; {whose} "
            f"{list_some(found, most=10)}, in this order"
        )
