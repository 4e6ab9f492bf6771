"""The samples of a split as the network sees them: read, cached and augmented."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tiramisu.data.image_format import ImageFormat
from tiramisu.data.readers.open_reader import open_reader
from tiramisu.data.readers.reader import reading_pool
from tiramisu.data.resizing import find_seen_size, resize_image, resize_label
from tiramisu.data.sample import DataError, Sample, SampleKey, Transform
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.spec_parts import CifarSplit, DrawnSplit
from tiramisu.free_memory import free_memory

_CACHE_SHARE = 0.25  # of the memory that is free when the cache is filled


class ImageDataset(Dataset[Sample]):
    """One split of a data set, for segmentation or classification, as a sequence of samples.

    `dataset[index]` is a sample as it looks in epoch 0. A `SampleKey` in place of the index gives
    the sample of another epoch, or padding: the first image with an all-void label. How a sample
    looks depends on (seed, epoch, index) alone, not on workers or order.

    Args:
        spec: the data set, from `load_spec`.
        split: the name of one of its splits.
        root: folder of the files; None for the spec's own, or data/<name>. Drawn data sets have
            no files and ignore it.
        transform: random change of each sample; None for none.
        image_scale: factor, 0 < image_scale <= 1, by which images are down-sampled before the
            transform.
        image_size: height and width to which images are resized in place of `image_scale`; None
            for none.
        scale_labels: whether a mask is resized with its image.
        seed: seed of the transform's random numbers, >= 0.
        format: the format of the images; None to find it by their files. A network needs that of
            the images it was trained on.
        cache: whether `preload` keeps the split in memory, decoded and down-sampled; "auto" does
            if it takes less than a quarter of the free memory.

    Raises:
        ValueError: files are missing or do not fit.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        split: str,
        *,
        root: str | Path | None,
        transform: Transform | None = None,
        image_scale: float = 1.0,
        image_size: tuple[int, int] | None = None,
        scale_labels: bool = True,
        seed: int = 0,
        format: ImageFormat | None = None,
        cache: bool | Literal["auto"] = "auto",
    ) -> None:
        if not 0 < image_scale <= 1:
            raise ValueError(f"image_scale is {image_scale}; expected a factor above 0, at most 1")
        self.spec = spec
        self.split = split
        self.transform = transform
        self.image_scale = image_scale
        self.image_size = image_size
        self.scale_labels = scale_labels
        self.seed = seed
        self.cache = cache
        self._cached: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        self._reader = open_reader(spec, split, root, format=format)
        self.format = self._reader.format
        self.names: list[str] = self._reader.names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image and label of a sample, decoded but otherwise as in the files. Do not change them.

        Returns:
            The image, (H, W, C) in its format, such as RGB uint8, and the label: uint8 (H, W) with
            void 255, or int64 () for classification.

        Raises:
            ValueError, FileNotFoundError: a file cannot be read; the message names it.
        """
        unchanged = self._cached and self.image_scale == 1 and self.image_size is None
        return self._cached[index] if unchanged else self._reader.read(index)

    def preload(self, *, processes: int = 1) -> None:
        """Decode the whole split into memory, unless it is there or `cache` says otherwise.

        Args:
            processes: number of processes of this machine that do the same and share its memory
                and cores.
        """
        if self._cached or not self.cache or (self.cache == "auto" and not self._fits(processes)):
            return
        with reading_pool(drawn=self.spec.drawn is not None, share=processes) as pool:
            self._cached = list(pool.map(self.read_scaled, range(len(self)), chunksize=8))

    def __getitem__(self, key: int | SampleKey) -> Sample:
        if not isinstance(key, SampleKey):
            if not -len(self) <= key < len(self):
                raise IndexError(f"{self.spec.name} {self.split} has {len(self)} samples, no {key}")
            key = SampleKey(range(len(self))[key])
        index = key.index
        try:
            image, label = self._cached[index] if self._cached else self.read_scaled(index)
        except (ValueError, OSError) as error:
            raise DataError(str(error)) from error
        if self.transform is not None:
            # The first crop is drawn as it was before there were several.
            drawn_from = (self.seed, key.epoch, index, *([key.crop] if key.crop else []))
            entropy = np.random.SeedSequence(drawn_from)
            seed = int(entropy.generate_state(1, np.uint64)[0])
            image, label = self.transform(image, label, seed=seed, epoch=key.epoch, focus=key.focus)
        if key.padding:
            label = np.full_like(label, self.spec.ignore_index)
        return {
            "image": as_tensor(image),
            "label": torch.from_numpy(np.array(label)),
            "index": -1 if key.padding else index,
        }

    def __getstate__(self) -> dict[str, Any]:
        # Each spawned worker would get a copy of the cache, so they read the files instead.
        return {**self.__dict__, "_cached": []}

    def as_seen(self, *, image_scale: float, image_size: tuple[int, int] | None) -> "ImageDataset":
        """These samples with images in the size that a network sees, and labels in their own."""
        is_same = (self.image_scale, self.image_size) == (image_scale, image_size)
        if is_same and (not self.scale_labels or (image_scale == 1 and image_size is None)):
            return self
        seen = copy.copy(self)
        seen.image_scale, seen.image_size, seen.scale_labels = image_scale, image_size, False
        seen._cached = []  # in another size
        return seen

    def find_size(self) -> tuple[int, int] | None:
        """(height, width) of all images as the network sees them; None if they differ."""
        sizes = self.find_sizes()
        return sizes.pop() if len(sizes) == 1 else None

    def find_sizes(self) -> set[tuple[int, int]]:
        """The different (height, width) of the images as the network sees them."""
        from_files = not isinstance(self.spec.split(self.split), CifarSplit | DrawnSplit)
        varies = from_files and self.spec.size is None
        with ThreadPoolExecutor() as pool:
            images = range(len(self) if varies else 1)
            return set(pool.map(lambda index: self.read_scaled(index)[0].shape[:2], images))

    def read_scaled(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image and label of a sample as `read` gives them, but in the size the network sees."""
        image, label = self._reader.read(index)
        size = (image.shape[0], image.shape[1])
        height, width = find_seen_size(
            size, image_scale=self.image_scale, image_size=self.image_size
        )
        if (height, width) != size:
            image = resize_image(image, height=height, width=width)
            if self.scale_labels and label.ndim == 2:
                label = resize_label(label, height=height, width=width)
        return image, label

    def _fits(self, processes: int) -> bool:
        indices = np.unique(np.linspace(0, len(self) - 1, 8).astype(int))
        sizes = [image.nbytes + label.nbytes for image, label in map(self.read_scaled, indices)]
        return float(np.mean(sizes)) * len(self) < _CACHE_SHARE * free_memory() / processes


def as_tensor(image: npt.NDArray[Any]) -> Tensor:
    """(H, W, C) -> (C, H, W): uint8 as it is, all other types as float32, which holds them."""
    image = image if image.dtype == np.uint8 else image.astype(np.float32, copy=False)
    if image.shape[2] <= 4:  # OpenCV splits channels several times faster than NumPy
        return torch.from_numpy(np.stack(cv2.split(image)))
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0)))


def open_split(
    spec: DatasetSpec,
    split: str,
    *,
    root: str | None,
    image_scale: float,
    image_size: tuple[int, int] | None = None,
    format: ImageFormat | None = None,
) -> ImageDataset:
    """A split to evaluate on: images as the network sees them, labels at their own size."""
    return ImageDataset(
        spec,
        split,
        root=root,
        image_scale=image_scale,
        image_size=image_size,
        scale_labels=False,
        format=format,
        cache=False,
    )
