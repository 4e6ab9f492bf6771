"""The samples of a data set's split, read, cached and changed: what a network is shown."""

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from tiramisu.data.free_memory import free_memory
from tiramisu.data.readers.class_reader import open_class_reader
from tiramisu.data.readers.reader import FileReader, Reader, SceneReader, reading_pool
from tiramisu.data.sample import DataError, Sample, Transform
from tiramisu.data.spec import DatasetSpec, DrawnSplit, FileSplit, FolderSplit, Task

_CACHE_SHARE = 0.25  # of the memory that is free when the cache is filled


class ImageDataset(Dataset[Sample], ABC):
    """One split of a data set: what is the same for all tasks.

    Items are asked for by key = epoch * len(dataset) + index. How a sample looks depends on
    (seed, epoch, index) alone, not on workers or order. A key < 0 is padding that evens out the
    batches of several processes: the first image with an all-void label.

    spec, split: from load_spec, and the name of one of its splits.
    root: folder of the files; None for the spec's own, or data/<name>. Unused by drawn data sets.
    transform: random change; None for none.
    image_scale: the image is shrunk by this factor (0 < image_scale <= 1) before the transform.
    scale_labels: whether a mask is shrunk with its image.
    seed: of the transform's randomness, >= 0.
    cache: whether `preload` keeps the split in memory, decoded and shrunk; "auto" does if it takes
        less than a quarter of the free memory.

    Raises ValueError if the data set is for another task, or if files are not there or do not fit.
    """

    task: Task

    def __init__(
        self,
        spec: DatasetSpec,
        split: str,
        *,
        root: str | Path | None,
        transform: Transform | None = None,
        image_scale: float = 1.0,
        scale_labels: bool = True,
        seed: int = 0,
        cache: bool | Literal["auto"] = "auto",
    ) -> None:
        if not 0 < image_scale <= 1:
            raise ValueError(f"image_scale is {image_scale}; expected above 0 and up to 1.")
        if spec.task != self.task:
            raise ValueError(f"{spec.name} is a data set for {spec.task}, not for {self.task}.")
        self.spec = spec
        self.split = split
        self.transform = transform
        self.image_scale = image_scale
        self.scale_labels = scale_labels
        self.seed = seed
        self.cache = cache
        self._cached: list[tuple[np.ndarray, np.ndarray]] = []
        self._reader = self._open(root)
        self.names: list[str] = self._reader.names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) RGB and its label: decoded, not changed.

        The label is uint8 (H, W), void 255, or for classification int64 (). Do not write into
        them. Raises ValueError, naming the file, if they cannot be read.
        """
        whole = self._cached and self.image_scale == 1
        return self._cached[index] if whole else self._reader.read(index)

    def preload(self, *, processes: int = 1) -> None:
        """Decodes the whole split into memory, once, if `cache` wants it.

        processes: how many processes of this machine do the same, to share its memory and cores.
        """
        if self._cached or not self.cache or (self.cache == "auto" and not self._fits(processes)):
            return
        with reading_pool(drawn=self.spec.drawn, share=processes) as pool:
            self._cached = list(pool.map(self._read_shrunk, range(len(self)), chunksize=8))

    def __getitem__(self, key: int) -> Sample:
        padding = key < 0
        epoch, index = divmod(0 if padding else key, len(self))
        try:
            image, label = self._cached[index] if self._cached else self._read_shrunk(index)
        except (ValueError, OSError) as error:
            raise DataError(str(error)) from error
        if self.transform is not None:
            entropy = np.random.SeedSequence((self.seed, epoch, index))
            seed = int(entropy.generate_state(1, np.uint64)[0])
            image, label = self.transform(image, label, seed=seed, epoch=epoch)
        if padding:
            label = np.full_like(label, self.spec.ignore_index)
        return {
            # (H, W, 3) -> (3, H, W); OpenCV takes channels apart several times faster than NumPy.
            "image": torch.from_numpy(np.stack(cv2.split(image))),
            "label": torch.from_numpy(np.array(label)),
            "index": -1 if padding else index,
        }

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are spawned, not forked, would each get a copy of the cache: they read files.
        return {**self.__dict__, "_cached": []}

    def find_size(self) -> tuple[int, int] | None:
        """(height, width) of all images as a network is shown them; None if they differ."""
        sizes = self.find_sizes()
        return sizes.pop() if len(sizes) == 1 else None

    def find_sizes(self) -> set[tuple[int, int]]:
        """All (height, width) that its images have as a network is shown them."""
        from_files = isinstance(self.spec.split(self.split), FileSplit | FolderSplit)
        varies = from_files and self.spec.size is None
        with ThreadPoolExecutor() as pool:
            images = range(len(self) if varies else 1)
            return set(pool.map(lambda index: self._read_shrunk(index)[0].shape[:2], images))

    @abstractmethod
    def _open(self, root: str | Path | None) -> Reader:
        """What decodes the samples of the split."""

    def _read_shrunk(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = self._reader.read(index)
        if self.image_scale != 1:
            image = _shrink(image, self.image_scale, cv2.INTER_AREA)
            if self.scale_labels and label.ndim == 2:
                label = _shrink(label, self.image_scale, cv2.INTER_NEAREST_EXACT)
        return image, label

    def _fits(self, processes: int) -> bool:
        some = np.unique(np.linspace(0, len(self) - 1, 8).astype(int))
        sizes = [image.nbytes + label.nbytes for image, label in map(self._read_shrunk, some)]
        return float(np.mean(sizes)) * len(self) < _CACHE_SHARE * free_memory() / processes


class SegmentationDataset(ImageDataset):
    """One split of a data set whose pixels have classes; the parameters are ImageDataset's."""

    task = "segmentation"

    def _open(self, root: str | Path | None) -> Reader:
        source = self.spec.split(self.split)
        if isinstance(source, DrawnSplit):
            return SceneReader(source)
        assert isinstance(source, FileSplit)
        return FileReader(source, self.spec.find_root(root), self.spec.labels, self.split)


class ClassificationDataset(ImageDataset):
    """One split of a data set whose images have one class each; the parameters are ImageDataset's.

    Images differ in size if the files do and the spec has no `size`.
    """

    task = "classification"

    def _open(self, root: str | Path | None) -> Reader:
        return open_class_reader(self.spec, self.split, root)


def open_dataset(
    spec: DatasetSpec,
    split: str,
    *,
    root: str | Path | None,
    transform: Transform | None = None,
    image_scale: float = 1.0,
    scale_labels: bool = True,
    seed: int = 0,
    cache: bool | Literal["auto"] = "auto",
) -> ImageDataset:
    """One split as the dataset of its task; the parameters are ImageDataset's."""
    kind = SegmentationDataset if spec.task == "segmentation" else ClassificationDataset
    return kind(
        spec,
        split,
        root=root,
        transform=transform,
        image_scale=image_scale,
        scale_labels=scale_labels,
        seed=seed,
        cache=cache,
    )


def _shrink(array: np.ndarray, scale: float, interpolation: int) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    return cv2.resize(array, (width, height), interpolation=interpolation)


def open_split(
    spec: DatasetSpec, split: str, *, root: str | None, image_scale: float
) -> ImageDataset:
    """A split to judge on: images as the network sees them, labels in their own size."""
    return open_dataset(
        spec, split, root=root, image_scale=image_scale, scale_labels=False, cache=False
    )
