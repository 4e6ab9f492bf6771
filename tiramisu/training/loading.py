"""The data of a run as a LightningDataModule: the part of both splits that each process reads."""

import functools
import math
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from lightning.pytorch import LightningDataModule
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch import Tensor
from torch.utils.data import DataLoader

from tiramisu.checkpoints.info import ModelInfo
from tiramisu.checkpoints.model import IMAGENET_MEAN, IMAGENET_STD
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.image_format import PixelType
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.data.own_transform import OwnTransform
from tiramisu.data.sample import Sample
from tiramisu.data.sampling import RareClassSampling
from tiramisu.data.scaling import RGB_SCALING, Scaling, choose_scaling, usual_scaling
from tiramisu.data.spec import DatasetSpec
from tiramisu.data.transforms import IMAGENET_COLOR, TrainTransform
from tiramisu.devices import pick_device
from tiramisu.machine import count_cores
from tiramisu.training.config import TrainConfig

MOST_WORKERS = 8
"""Most loading processes that `num_workers: auto` starts: several times what a GPU needs if images
are cached."""
CACHE: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}


class RunData(LightningDataModule):
    """Both splits of a run: training samples with augmentation, validation samples without.

    `augmentation` is one's own, see `OwnParts`; it comes last.

    The images are read and scaled as those of the network that is trained on, if there is one.

    Validation labels keep their full size, at which the model is evaluated.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        config: TrainConfig,
        *,
        trained: ModelInfo | None = None,
        augmentation: Any = None,
    ) -> None:
        super().__init__()
        self.config = config
        make_split = functools.partial(
            ImageDataset,
            spec,
            root=config.data_root,
            image_scale=config.image_scale,
            image_size=config.resize,
            cache=CACHE[config.cache],
        )
        format = None if trained is None else trained.image_format
        self.train_set = make_split(config.train_split, seed=config.seed, format=format)
        self.format = self.train_set.format
        measured = usual_scaling(spec.scaling, self.format) == "statistics"
        if trained is not None and measured:
            self.scaling = Scaling(
                value_range=trained.value_range, mean=trained.mean, std=trained.std
            )
        else:
            self.scaling = measure_scaling_of(self.train_set)
        self.train_set.transform = TrainTransform(
            crop=config.crop,
            pad=config.pad,
            scale=config.scale,
            flip=config.flip,
            rotate=config.rotate == 90,
            keep_shape=config.batch_size > 1,
            color=config.color,
            whole_from=config.final_from,
            padding=padding_values(self.scaling, pixel_type=self.format.pixel_type),
            value_range=self.scaling.value_range,
        )
        if augmentation is not None:
            self.train_set.transform = OwnTransform(self.train_set.transform, augmentation)
            self.train_set[0]  # fails now if it fails
        self.val_set = make_split(config.val_split, scale_labels=False, format=self.format)

    @functools.cached_property
    def label_counts(self) -> npt.NDArray[np.int64]:
        """Labelled pixels of each class in each training sample, or images, int64 (N, C)."""
        return count_labels(self.train_set)

    @property
    def batches_per_epoch(self) -> int:
        """Training batches of each process in an epoch."""
        images = self._samples // self._world_size
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
        return self._samples >= self.config.batch_size * self._world_size

    @property
    def _samples(self) -> int:
        return len(self.train_set) * self.config.crops_per_image

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
            crops_per_image=self.config.crops_per_image if training else 1,
            sampling=self._sampling if training else None,
        )

    @property
    def _sampling(self) -> RareClassSampling | None:
        if self.config.sampling == "uniform":
            return None
        return RareClassSampling(counts=self.label_counts, until=self.config.final_from)


def pick_num_workers(config: TrainConfig) -> int:
    """Number of loading processes for each training process."""
    if config.num_workers != "auto":
        return config.num_workers
    if pick_device(config.accelerator).type == "cpu":
        return 0
    cores = count_cores() // config.devices
    return max(0, min(MOST_WORKERS, cores - 1))


def measure_scaling_of(dataset: ImageDataset) -> Scaling:
    """The scaling of a data set's images, measured on this split where it has to be measured."""
    images = (dataset.read(index)[0] for index in range(len(dataset)))
    return choose_scaling(dataset.spec.scaling, dataset.format, images, count=len(dataset))


def normalization(
    config: TrainConfig, scaling: Scaling
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band after scaling, as a network subtracts and divides.

    Where they are measured, these count. ImageNet's are those of RGB; images with other bands get
    the mean of the three.
    """
    if scaling.mean is not None and scaling.std is not None:
        return scaling.mean, scaling.std
    channels = len(scaling.value_range)
    if config.normalize == "unit":
        return (0.0,) * channels, (1.0,) * channels
    if channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return (sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels


def padding_values(scaling: Scaling, *, pixel_type: PixelType) -> tuple[float, ...]:
    """The values of padding around small images: about 0 after normalization."""
    ranges = scaling.value_range
    if scaling == RGB_SCALING:
        return IMAGENET_COLOR
    mean = scaling.mean or (sum(IMAGENET_MEAN) / 3,) * len(ranges)
    values = (low + (high - low) * m for (low, high), m in zip(ranges, mean, strict=True))
    if pixel_type == "float32":
        return tuple(values)
    limits = np.iinfo(pixel_type)
    return tuple(min(max(round(value), limits.min), limits.max) for value in values)


def count_labels(dataset: ImageDataset) -> npt.NDArray[np.int64]:
    """Number of labelled pixels of each class in each sample of a split, int64 (N, C).

    For classification it is 1 for the sample's class, else 0.
    """
    num_classes = dataset.spec.num_classes
    with ThreadPoolExecutor() as pool:
        labels = pool.map(lambda index: dataset.read(index)[1], range(len(dataset)))
        counts = [np.bincount(x.ravel(), minlength=num_classes)[:num_classes] for x in labels]
    return np.array(counts, dtype=np.int64)
