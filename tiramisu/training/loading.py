"""The data of a run, as Lightning wants it: each process's share of both splits."""

import math
import multiprocessing
import os
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor
from torch.utils.data import DataLoader

from tiramisu.data.dataset import ImageDataset, open_dataset
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.data.sample import Sample
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.transforms import train_transform
from tiramisu.devices import pick_device
from tiramisu.training.config import TrainConfig

MOST_WORKERS = 8
"""That `num_workers: auto` takes: they load from memory several times what a GPU trains."""
CACHE: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}


class RunData(pl.LightningDataModule):
    """Training images, augmented; validation images, untouched, judged at the labels' full size."""

    def __init__(self, spec: DatasetSpec, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        root = Path(config.data_root) if config.data_root else None
        self.train_set = open_dataset(
            spec,
            config.train_split,
            root=root,
            transform=train_transform(
                crop=config.crop,
                pad=config.pad,
                scale=config.scale,
                flip=config.flip,
                color=config.color,
                whole_from=config.final_from,
            ),
            image_scale=config.image_scale,
            seed=config.seed,
            cache=CACHE[config.cache],  # type: ignore[arg-type]
        )
        self.val_set = open_dataset(
            spec,
            config.val_split,
            root=root,
            image_scale=config.image_scale,
            scale_labels=False,
            cache=CACHE[config.cache],  # type: ignore[arg-type]
        )

    @property
    def batches_per_epoch(self) -> int:
        """Training batches of each process in an epoch."""
        images = len(self.train_set) // self._world_size
        batch_size = self.config.batch_size
        return images // batch_size if self._drops_last else math.ceil(images / batch_size)

    def train_dataloader(self) -> "DataLoader[Sample]":
        assert self.trainer is not None
        loader = self._loader(
            self.train_set,
            batch_size=self.config.batch_size,
            shuffle=True,
            drop_last=self._drops_last,
        )
        # Workers fetch ahead as soon as they exist, before Lightning tells the sampler its epoch,
        # which in a resumed run is not the first.
        sampler = cast(EpochSampler, loader.sampler)
        progress = cast(_ProcessedTracker, self.trainer.fit_loop.epoch_progress.current)
        sampler.set_epoch(progress.processed)
        return loader

    def on_after_batch_transfer(
        self, batch: dict[str, Tensor], dataloader_idx: int
    ) -> dict[str, Tensor]:
        """Make labels int64, as losses want them, on the device: on the way masks are uint8."""
        return {**batch, "label": batch["label"].long()}

    def val_dataloader(self) -> "DataLoader[Sample]":
        return self._loader(
            self.val_set, batch_size=self.config.eval_batch_size, shuffle=False, drop_last=False
        )

    @property
    def _world_size(self) -> int:
        return self.config.devices * self.config.num_nodes

    @property
    def _drops_last(self) -> bool:
        # A last batch of one or two crops would upset batch norm; but learn from a handful.
        return len(self.train_set) >= self.config.batch_size * self._world_size

    def _loader(
        self, dataset: ImageDataset, *, batch_size: int, shuffle: bool, drop_last: bool
    ) -> "DataLoader[Sample]":
        assert self.trainer is not None
        num_workers = pick_num_workers(self.config)
        # Workers that are spawned would not inherit it.
        if num_workers == 0 or multiprocessing.get_start_method() == "fork":
            dataset.preload(processes=self.config.devices)
        return make_loader(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            seed=self.config.seed,
            rank=self.trainer.global_rank,
            world_size=self._world_size,
            drop_last=drop_last,
        )


def pick_num_workers(config: TrainConfig) -> int:
    """How many processes load for each training process."""
    if config.num_workers != "auto":
        return config.num_workers
    if pick_device(config.accelerator).type == "cpu":
        return 0
    cores = (os.cpu_count() or 1) // config.devices
    return max(0, min(MOST_WORKERS, cores - 1))


def count_labels(dataset: ImageDataset) -> Tensor:
    """Labelled pixels, or images, of each class over a split, int64 (C,)."""
    num_classes = dataset.spec.num_classes
    counts = np.zeros(num_classes, dtype=np.int64)
    for index in range(len(dataset)):
        _, label = dataset.read(index)
        counts += np.bincount(label.ravel(), minlength=num_classes)[:num_classes]
    return torch.from_numpy(counts)
