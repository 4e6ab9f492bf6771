"""Batches of samples, for one or several processes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, default_collate

from tiramisu.data.dataset import ImageDataset
from tiramisu.data.sample import DataError, Sample, SampleKey
from tiramisu.data.sampling import RareClassSampling
from tiramisu.interrupts import leave_process_group


def make_loader(
    dataset: ImageDataset,
    *,
    batch_size: int,
    shuffle: bool,
    num_workers: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
    indices: Sequence[int] | None = None,
    crops_per_image: int = 1,
    sampling: RareClassSampling | None = None,
) -> "DataLoader[Sample]":
    """Batches of a split, for one of several processes.

    Call loader.sampler.set_epoch(epoch) before each epoch. The order depends on (seed, epoch)
    alone; the batches depend neither on num_workers nor on what ran before. Iterating raises
    ValueError if a file cannot be read, or if the images of a batch differ in size.

    Args:
        dataset: the split.
        batch_size: samples per batch of this process.
        shuffle: whether every epoch has another random order.
        num_workers: number of loading processes; 0 loads in this process.
        seed: seed of the order.
        rank: number of this process, 0 to world_size - 1.
        world_size: number of processes that share the split.
        drop_last: whether an incomplete last batch is left out.
        indices: the samples to load; None for all.
        crops_per_image: how often an epoch shows each sample, changed differently each time.
        sampling: shows rare classes more often, where samples are shuffled; None for none.

    Raises:
        ValueError: there are fewer samples than processes, and they are shuffled.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(
            range(len(dataset)) if indices is None else indices,
            shuffle=shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            crops_per_image=crops_per_image,
            sampling=sampling,
        ),
        num_workers=num_workers,
        drop_last=drop_last,
        collate_fn=_collate,
        worker_init_fn=_init_worker,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        # A loader draws a random number each epoch. With its own generator it does not change
        # the global random numbers, which dropout uses.
        generator=torch.Generator().manual_seed(seed),
    )


class EpochSampler(Sampler[SampleKey]):
    """The keys of the samples that one of several processes loads in an epoch.

    Every process gets the same number. With shuffle, samples that are left over are dropped,
    different ones in each epoch. Without, padding fills the gaps, and every sample comes exactly
    once.

    Args:
        indices: the samples of an epoch.
        shuffle: whether every epoch has another random order.
        seed: seed of the order.
        rank: number of this process, 0 to world_size - 1.
        world_size: number of processes.
        crops_per_image: how often an epoch has each sample.
        sampling: puts other samples in place of some, if they are shuffled; None for none.

    Raises:
        ValueError: there are fewer samples than processes, and they are shuffled.
    """

    def __init__(
        self,
        indices: Sequence[int],
        *,
        shuffle: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        crops_per_image: int = 1,
        sampling: RareClassSampling | None = None,
    ) -> None:
        self.keys = [SampleKey(i, crop=crop) for crop in range(crops_per_image) for i in indices]
        if shuffle and len(self.keys) < world_size:
            raise ValueError(
                f"{len(self.keys)} samples cannot be shared by {world_size} processes; use fewer"
            )
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.sampling = sampling
        self.epoch = 0
        self._started = (0, 0)  # an epoch, and how many of its samples are not loaded

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, >= 0, of the next iteration."""
        self.epoch = epoch

    def resume(self, *, epoch: int, done: int) -> None:
        """Choose the epoch; its first samples, as many as are done, are left out."""
        self.epoch = epoch
        self._started = (epoch, done)

    def __len__(self) -> int:
        samples = len(self.keys) / self.world_size
        return math.floor(samples) if self.shuffle else math.ceil(samples)

    def __iter__(self) -> Iterator[SampleKey]:
        keys = [replace(key, epoch=self.epoch) for key in self.keys]
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(len(keys))
            keys = [keys[i] for i in order]
            if self.sampling is not None:
                keys = self.sampling.choose(keys, seed=self.seed, epoch=self.epoch)
        first = self._started[1] if self._started[0] == self.epoch else 0
        positions = range(self.rank, len(self) * self.world_size, self.world_size)
        for position in positions[first:]:
            if position < len(keys):
                yield keys[position]
            else:
                yield SampleKey(0, padding=True)


def _collate(samples: list[Sample]) -> Any:
    for key in ("image", "label"):
        sizes = sorted({tuple(sample[key].shape[-2:]) for sample in samples})
        if len(sizes) > 1:
            raise DataError(
                f"{key}s of different sizes (height, width) in one batch: {sizes[0]} and "
                f"{sizes[-1]}; give a crop for training, or batch size 1 for evaluation"
                + (", or the data set a `size`" if samples[0]["label"].ndim == 0 else "")
            )
    return default_collate(samples)


def _init_worker(worker_id: int) -> None:
    leave_process_group()
    cv2.setNumThreads(0)  # the workers already use all cores
