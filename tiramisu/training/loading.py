"""The data of a run as a LightningDataModule: the part of both splits that each process reads."""

import functools
import math
import multiprocessing
import os
from typing import Literal, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor
from torch.utils.data import DataLoader

from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.data.sample import Sample
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.transforms import TrainTransform
from tiramisu.devices import pick_device
from tiramisu.training.config import TrainConfig

MOST_WORKERS = 8
"""Most loading processes that `num_workers: auto` starts: several times what a GPU needs if images
are cached."""
CACHE: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}


class RunData(LightningDataModule):
    """Both splits of a run: training samples with augmentation, validation samples without.

    Validation labels keep their full size, at which the model is evaluated.
    """

    def __init__(self, spec: DatasetSpec, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        make_split = functools.partial(
            ImageDataset,
            spec,
            root=config.data_root,
            image_scale=config.image_scale,
            cache=CACHE[config.cache],
        )
        transform = TrainTransform(
            crop=config.crop,
            pad=config.pad,
            scale=config.scale,
            flip=config.flip,
            color=config.color,
            whole_from=config.final_from,
        )
        self.train_set = make_split(config.train_split, transform=transform, seed=config.seed)
        self.val_set = make_split(config.val_split, scale_labels=False)

    @property
    def batches_per_epoch(self) -> int:
        """Training batches of each process in an epoch."""
        images = len(self.train_set) // self._world_size
        batch_size = self.config.batch_size
        return images // batch_size if self._drops_last else math.ceil(images / batch_size)

    def train_dataloader(self) -> "DataLoader[Sample]":
        loader = self._loader(self.train_set, batch_size=self.config.batch_size, training=True)
        # Loading processes fetch batches as soon as they are started, before Lightning sets the
        # epoch of the sampler, which is not the first one in a resumed run.
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        progress = cast(_ProcessedTracker, loop.epoch_progress.current)
        is_within_epoch = progress.started > progress.processed
        batches = loop.epoch_loop.batch_progress.current.ready if is_within_epoch else 0
        cast(EpochSampler, loader.sampler).resume(
            epoch=progress.processed, done=batches * self.config.batch_size
        )
        return loader

    def on_after_batch_transfer(
        self, batch: dict[str, Tensor], dataloader_idx: int
    ) -> dict[str, Tensor]:
        """Convert labels to int64, which losses expect: until here masks are uint8."""
        return {**batch, "label": batch["label"].long()}

    def val_dataloader(self) -> "DataLoader[Sample]":
        return self._loader(self.val_set, batch_size=self.config.eval_batch_size, training=False)

    @property
    def _world_size(self) -> int:
        return self.config.devices * self.config.num_nodes

    @property
    def _drops_last(self) -> bool:
        # Batch norm is unstable on an incomplete last batch, so it is dropped, except where it is
        # the only batch.
        return len(self.train_set) >= self.config.batch_size * self._world_size

    def _loader(
        self, dataset: ImageDataset, *, batch_size: int, training: bool
    ) -> "DataLoader[Sample]":
        assert self.trainer is not None
        num_workers = pick_num_workers(self.config)
        # Loading processes that are spawned, not forked, do not inherit what is in memory.
        if num_workers == 0 or multiprocessing.get_start_method() == "fork":
            dataset.preload(processes=self.config.devices)
        return make_loader(
            dataset,
            batch_size=batch_size,
            shuffle=training,
            num_workers=num_workers,
            seed=self.config.seed,
            rank=self.trainer.global_rank,
            world_size=self._world_size,
            drop_last=training and self._drops_last,
        )


def pick_num_workers(config: TrainConfig) -> int:
    """Number of loading processes for each training process."""
    if config.num_workers != "auto":
        return config.num_workers
    if pick_device(config.accelerator).type == "cpu":
        return 0
    cores = (os.cpu_count() or 1) // config.devices
    return max(0, min(MOST_WORKERS, cores - 1))


def count_labels(dataset: ImageDataset) -> Tensor:
    """Number of labelled pixels (or images) of each class in a split, int64 (C,)."""
    num_classes = dataset.spec.num_classes
    counts = np.zeros(num_classes, dtype=np.int64)
    for index in range(len(dataset)):
        _, label = dataset.read(index)
        counts += np.bincount(label.ravel(), minlength=num_classes)[:num_classes]
    return torch.from_numpy(counts)
