"""Whether the data path keeps up: what it delivers, beside what a training step takes."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from tiramisu.benchmark.cases import Case
from tiramisu.benchmark.compare import Say
from tiramisu.benchmark.steps import make_training_step
from tiramisu.data.catalog import load_spec
from tiramisu.data.dataset import SegmentationDataset
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.data.sample import Sample
from tiramisu.data.transforms import train_transform
from tiramisu.devices import pick_device
from tiramisu.training.config import TrainConfig
from tiramisu.training.losses import build_loss
from tiramisu.training.optim import build_optimizer
from tiramisu.training.train import build_model_for

CACHES = (True, False)
WORKERS = (0, 1, 2)
FEWEST_BATCHES = 3

Batch = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feeding:
    """One way to load the images, and how far it feeds the training."""

    cache: bool
    """Whether the split is kept in memory, decoded."""
    num_workers: int
    """Processes that load beside the training one."""
    fill_seconds: float
    """To decode the split into memory, once a run; 0 without cache."""
    loaded: float
    """Images a second that are loaded, augmented and batched while nothing is trained."""
    trained: float
    """Images a second that are trained, with loading."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPath:
    """All ways to load the images of one training."""

    title: str
    """Network, data, crop, batch and device, in one line."""
    trainable: float
    """Images a second that are trained from a batch that is there already: more cannot be."""
    feedings: tuple[Feeding, ...]


def training_of(case: Case, *, data: str, data_root: str | None) -> TrainConfig:
    """The training whose step a case describes, with more augmentation than the shipped configs."""
    return TrainConfig(
        arch=case.arch,
        data=data,
        data_root=data_root,
        crop=(case.height, case.width),
        scale=(0.5, 2.0),
        color=0.5,
        batch_size=case.batch,
        precision=case.precision,
        accelerator="cpu" if case.device == "cpu" else "gpu",
    )


def measure_data_path(
    config: TrainConfig,
    *,
    caches: Sequence[bool] = CACHES,
    workers: Sequence[int] = WORKERS,
    seconds: float = 5.0,
    say: Say = print,
) -> DataPath:
    """Measure how fast images are loaded and augmented, how fast trained, and both together.

    Args:
        config: the training: network, data, crop, augmentation, batch size, device and precision
            count. Nothing is written.
        caches: with the split in memory or read anew; each is tried with each of `workers`.
        workers: numbers of processes that load.
        seconds: how long each figure is measured, at least 3 batches.
        say: is told what is going on.

    Raises:
        ValueError: the data are not there or fill no batch, as `SegmentationDataset`.
    """
    spec = load_spec(config.data)
    step = _training_step(config)
    feedings = []
    trainable = None
    for cache in caches:
        dataset = SegmentationDataset(
            spec,
            config.train_split,
            root=Path(config.data_root) if config.data_root else None,
            transform=train_transform(
                crop=config.crop, scale=config.scale, flip=config.flip, color=config.color
            ),
            image_scale=config.image_scale,
            seed=config.seed,
            cache=cache,
        )
        if len(dataset) < config.batch_size:
            raise ValueError(
                f"{config.data} has {len(dataset)} images in {config.train_split}, too few for a "
                f"batch of {config.batch_size}; choose a smaller batch"
            )
        started = time.perf_counter()
        dataset.preload()
        fill_seconds = time.perf_counter() - started if cache else 0.0
        for num_workers in workers:
            say(f"loading with {num_workers} workers, {'from memory' if cache else 'read anew'}")
            loader = make_loader(
                dataset,
                batch_size=config.batch_size,
                shuffle=True,
                num_workers=num_workers,
                seed=config.seed,
                drop_last=True,
            )
            batches = _batches_without_end(loader)
            if trainable is None:
                batch = next(batches)
                trainable = _rate(itertools.repeat(batch), step, seconds=seconds)
            # What workers have fetched ahead would count as if it took no time.
            ahead = 2 * num_workers + 1
            feedings.append(
                Feeding(
                    cache=cache,
                    num_workers=num_workers,
                    fill_seconds=fill_seconds,
                    loaded=_rate(batches, lambda batch: None, seconds=seconds, skip=ahead),
                    trained=_rate(batches, step, seconds=seconds, skip=ahead),
                )
            )
    assert trainable is not None, "there is at least one way to load"
    return DataPath(title=_describe(config), trainable=trainable, feedings=tuple(feedings))


def _training_step(config: TrainConfig) -> Callable[[Batch], None]:
    """One step as `tiramisu train` does it, from the loader's batch on."""
    device = pick_device(config.accelerator)
    spec = load_spec(config.data)
    model = build_model_for(spec, config).to(device).train()
    compute_loss = build_loss(config.loss, ignore_index=spec.ignore_index)

    def watched_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = compute_loss(logits, labels)
        loss.item()  # a training looks at it, and so waits for the GPU
        return loss

    learn = make_training_step(
        model,
        optimizer=build_optimizer(model.network, config),
        loss=watched_loss,
        device=device.type,
        precision=config.precision,
    )

    def step(batch: Batch) -> None:
        images = batch["image"].to(device, non_blocking=True)
        learn(images, batch["label"].to(device, non_blocking=True).long())

    return step


def _batches_without_end(loader: "DataLoader[Sample]") -> Iterator[Batch]:
    sampler = cast(EpochSampler, loader.sampler)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from cast(Any, loader)


def _rate(
    batches: Iterator[Batch], step: Callable[[Batch], None], *, seconds: float, skip: int = 1
) -> float:
    """Images a second of a step over some batches, the first `skip` of them untimed."""
    for batch in itertools.islice(batches, skip):
        step(batch)
    images = 0
    started = time.perf_counter()
    for count, batch in enumerate(batches, start=1):
        step(batch)
        images += len(batch["image"])
        taken = time.perf_counter() - started
        if count >= FEWEST_BATCHES and taken >= seconds:
            return images / taken
    raise AssertionError("the batches have no end")


def _describe(config: TrainConfig) -> str:
    size = "whole images" if config.crop is None else f"crops of {config.crop[0]}x{config.crop[1]}"
    device = pick_device(config.accelerator).type
    where = f"{torch.get_num_threads()} threads" if device == "cpu" else device
    return (
        f"{config.arch} on {config.data}, {size}, batch {config.batch_size}, {config.precision}, "
        f"{where}"
    )
