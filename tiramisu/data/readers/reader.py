"""Readers for segmentation: image and mask files, and drawn scenes."""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from tiramisu.data.image_format import (
    RGB,
    ImageFormat,
    as_format,
    find_format,
    no_data_pixels,
)
from tiramisu.data.labels import IGNORE_INDEX, LabelTable
from tiramisu.data.readers.file_split import Pair, SplitFiles
from tiramisu.data.readers.image_file import read_header, read_raster
from tiramisu.data.readers.image_file import read_image as read_image  # for single files
from tiramisu.data.readers.mask_file import read_label
from tiramisu.data.readers.pixel_samples import explain_no_sample, find_samples
from tiramisu.data.readers.raster import Header, is_turned_sideways
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import AnnotatedSplit, DrawnSplit, FileSplit
from tiramisu.data.task_specs import SegmentationSpec
from tiramisu.interrupts import leave_process_group
from tiramisu.machine import count_cores
from tiramisu.streets import NAMES, draw_scene
from tiramisu.text import list_some, show_path

T = TypeVar("T")

Format = ImageFormat | None
"""The format of images to read; None to find it by their headers."""


class Reader(Protocol):
    """Decodes or draws the samples of one split."""

    names: list[str]
    """A unique name for each sample."""
    format: ImageFormat
    """The bands and the type of the images."""

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image (H, W, C), and its label: uint8 (H, W), or int64 () of the whole image.

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
        self.format = RGB
        self.names = [f"scene_{split.first_seed + i:06d}" for i in range(split.count)]

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        seed = self.first_seed + index
        return draw_scene(seed, height=self.size.height, width=self.size.width)


class FileReader:
    """Reads the image and mask files of a split, or draws the masks from annotations."""

    def __init__(
        self, spec: SegmentationSpec, root: Path, name: str, *, format: Format = None
    ) -> None:
        split = spec.split(name)
        assert isinstance(split, FileSplit | AnnotatedSplit)
        found = find_samples(spec, name, root)
        _require_pairs(found, split, root, name)
        self.pairs: tuple[Pair, ...] = found.pairs
        self.labels = spec.labels
        self.format = format or format_of_files([pair.image for pair in found.pairs], spec)
        self.names = [show_path(pair.key) for pair in found.pairs]

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        pair = self.pairs[index]
        raster = read_raster(pair.image)
        image = as_format(raster, self.format, what=show_path(pair.image))
        label = label_of(pair, self.labels)
        if image.shape[:2] != label.shape:
            height, width = label.shape
            raise ValueError(
                f"{show_path(pair.image)} is {image.shape[0]} x {image.shape[1]} pixels (height x "
                f"width), its mask {show_path(pair.mask)} {height} x {width}; they must be the same"
                + explain_turned(pair.image, image.shape[:2], label.shape)
            )
        missing = no_data_pixels(raster)
        if missing is not None:
            label[missing] = IGNORE_INDEX
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
    orientation = read_header(image).orientation
    if not is_turned_sideways(orientation):
        return "; one of the two is turned by 90 degrees"
    return (
        f"; the photo is turned by its EXIF orientation ({orientation}) and its mask is not. Turn "
        "the mask in the same way, or take the orientation out of the photo, as by `exiftool "
        "-Orientation= FILE`"
    )


def format_of_files(
    images: Sequence[Path], spec: DatasetSpec, *, most: int | None = 1000
) -> ImageFormat:
    """The format of image files, by the headers of at most so many, at even distances.

    Raises:
        ValueError: the images differ in their bands or in their types.
    """
    picked = images[:: -(-len(images) // most)] if most else images

    def read(path: Path) -> Header | None:
        try:
            return read_header(path)
        except (ValueError, OSError):
            return None  # it is named when its pixels are read

    with ThreadPoolExecutor() as pool:
        headers = [(p, h) for p, h in zip(picked, pool.map(read, picked), strict=True) if h]
    return find_format(headers, spec.bands, what=f"the images of {spec.name}")


class Pool(Protocol):
    """What does the same for many samples at a time, such as an executor of Python's."""

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], chunksize: int = 1
    ) -> Iterator[T]:
        """The results of a function, which can be pickled, in the order of its arguments."""


def reading_pool(*, drawn: bool, share: int = 1) -> Executor:
    """A pool that reads many samples at a time; use it in a `with` statement.

    Files are decoded in threads. Drawing runs in Python, where only one thread works at a time, so
    on Linux it uses processes.

    Args:
        drawn: whether the samples are drawn.
        share: number of processes of this machine that do the same.
    """
    workers = max(1, count_cores() // share)
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
