"""Samples and batches: what a network is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset, default_collate

from tiramisu.data.labels import IGNORE_INDEX
from tiramisu.data.memory import free_memory
from tiramisu.data.reader import FileReader, SceneReader, reading_pool
from tiramisu.data.table import DatasetSpec, DrawnSplit

_CACHE_SHARE = 0.25  # of the memory that is free when the cache is filled


class Transform(Protocol):
    """A random change of an image and its label. The seed alone decides what happens."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and label uint8 (H, W) -> the same, of any one size."""
        ...


class Sample(TypedDict):
    """What the dataset yields; a batch has one more dimension in front."""

    image: Tensor
    """uint8 (3, H, W), RGB."""
    label: Tensor
    """uint8 (H, W), void IGNORE_INDEX. A loss wants int64: make it that on the device."""
    index: int
    """The sample's place in the dataset; -1 for padding."""


class DataError(ValueError):
    """A sample cannot be read, or samples cannot be batched.

    A worker's exception is made anew in the main process from its whole traceback text. Only the
    message at its end is for the user.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class SegmentationDataset(Dataset[Sample]):
    """One split of a data set.

    Items are asked for by key = epoch * len(dataset) + index. How a sample looks depends on
    (seed, epoch, index) alone, not on workers or order. A key < 0 is padding that evens out the
    batches of several processes: the first image with an all-void label.

    spec, split: from load_spec, and the name of one of its splits.
    root: folder of the files; None for the spec's own, or data/<name>. Unused by drawn data sets.
    transform: random change; None for none.
    image_scale: the image is shrunk by this factor (0 < image_scale <= 1) before the transform,
        and so is the label if scale_labels.
    seed: of the transform's randomness, >= 0.
    cache: whether `preload` keeps the split in memory, decoded and shrunk; "auto" does if it takes
        less than a quarter of the free memory.

    Raises ValueError if the files are not there or not in pairs.
    """

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
        self.spec = spec
        self.transform = transform
        self.image_scale = image_scale
        self.scale_labels = scale_labels
        self.seed = seed
        self.cache = cache
        self._cached: list[tuple[np.ndarray, np.ndarray]] = []
        source = spec.split(split)
        self._reader: SceneReader | FileReader
        if isinstance(source, DrawnSplit):
            self._reader = SceneReader(source)
        else:
            self._reader = FileReader(source, spec.find_root(root), spec.labels, split)
        self.names: list[str] = self._reader.names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) RGB and label uint8 (H, W), void 255: decoded, not changed.

        Do not write into them. Raises ValueError, naming the file, if they cannot be read.
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
            image, label = self.transform(image, label, seed=seed)
        if padding:
            label = np.full_like(label, IGNORE_INDEX)
        return {
            # (H, W, 3) -> (3, H, W); OpenCV takes channels apart several times faster than NumPy.
            "image": torch.from_numpy(np.stack(cv2.split(image))),
            "label": torch.from_numpy(np.array(label)),
            "index": -1 if padding else index,
        }

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are spawned, not forked, would each get a copy of the cache: they read files.
        return {**self.__dict__, "_cached": []}

    def _read_shrunk(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, label = self._reader.read(index)
        if self.image_scale != 1:
            image = _shrink(image, self.image_scale, cv2.INTER_AREA)
            if self.scale_labels:
                label = _shrink(label, self.image_scale, cv2.INTER_NEAREST_EXACT)
        return image, label

    def _fits(self, processes: int) -> bool:
        some = np.unique(np.linspace(0, len(self) - 1, 8).astype(int))
        sizes = [image.nbytes + label.nbytes for image, label in map(self._read_shrunk, some)]
        return float(np.mean(sizes)) * len(self) < _CACHE_SHARE * free_memory() / processes


def make_loader(
    dataset: SegmentationDataset | Subset[Sample],
    *,
    batch_size: int,
    shuffle: bool,
    num_workers: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
) -> "DataLoader[Sample]":
    """Batches of a split, for one of world_size processes.

    Call loader.sampler.set_epoch(epoch) before each epoch. The order depends on (seed, epoch)
    only, and the batches neither on num_workers nor on what ran before.

    Raises ValueError if a batch's images differ in size, or a file cannot be read.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(
            len(dataset), shuffle=shuffle, seed=seed, rank=rank, world_size=world_size
        ),
        num_workers=num_workers,
        drop_last=drop_last,
        collate_fn=_collate,
        worker_init_fn=_init_worker,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        # Its own generator: a loader draws a number each epoch, and that must not move the
        # global random numbers, which drive dropout.
        generator=torch.Generator().manual_seed(seed),
    )


class EpochSampler(Sampler[int]):
    """Yields the keys of one epoch: those that fall to one of world_size processes.

    Every process gets equally many. With shuffle the few left over are dropped (others each
    epoch); without, key -1 fills the gaps, so that every sample comes exactly once.
    """

    def __init__(
        self, length: int, *, shuffle: bool, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if shuffle and length < world_size:
            raise ValueError(
                f"{length} samples cannot be shared by {world_size} processes; use fewer."
            )
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, >= 0, of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        down, up = self.length // self.world_size, -(-self.length // self.world_size)
        return down if self.shuffle else up

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        first = self.epoch * self.length
        for position in range(self.rank, len(self) * self.world_size, self.world_size):
            yield first + int(order[position]) if position < self.length else -1


def _shrink(array: np.ndarray, scale: float, interpolation: int) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    return cv2.resize(array, (width, height), interpolation=interpolation)


def _collate(samples: list[Sample]) -> Any:
    for key in ("image", "label"):
        sizes = sorted({tuple(sample[key].shape[-2:]) for sample in samples})
        if len(sizes) > 1:
            raise DataError(
                f"{key}s of different sizes (height, width) in one batch: {sizes[0]} and "
                f"{sizes[-1]}. Give a crop for training, or batch size 1 for evaluation."
            )
    return default_collate(samples)


def _init_worker(worker_id: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism; more threads would only fight
