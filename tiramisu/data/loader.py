"""Batches of samples, for one or several processes."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, Subset, default_collate

from tiramisu.data.dataset import ImageDataset
from tiramisu.data.sample import DataError, Sample


def make_loader(
    dataset: ImageDataset | Subset[Sample],
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


def _collate(samples: list[Sample]) -> Any:
    for key in ("image", "label"):
        sizes = sorted({tuple(sample[key].shape[-2:]) for sample in samples})
        if len(sizes) > 1:
            raise DataError(
                f"{key}s of different sizes (height, width) in one batch: {sizes[0]} and "
                f"{sizes[-1]}. Give a crop for training, or batch size 1 for evaluation"
                + (", or the data set a `size`." if samples[0]["label"].ndim == 0 else ".")
            )
    return default_collate(samples)


def _init_worker(worker_id: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism; more threads would only fight
