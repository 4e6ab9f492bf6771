"""How a network learns: forward pass, loss, validation, optimiser, learning rate."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tiramisu.checkpoints.model import ImageModel
from tiramisu.data.dataset import ImageDataset
from tiramisu.data.loader import EpochSampler, make_loader
from tiramisu.evaluation.batch_norm import refresh_batch_norm
from tiramisu.evaluation.meter import Meter
from tiramisu.evaluation.scores import Figure
from tiramisu.inference.tester import PixelTester, as_tile
from tiramisu.training.config import TrainConfig
from tiramisu.training.monitor import list_figures
from tiramisu.training.optim import build_optimizer, lr_factor

STATISTICS_BATCHES = 24
"""Training batches on which batch norm is measured. A network after 275 steps on three classes of
CamVid, at a quarter of its size, in batches of 8 crops, had a mean IoU of 73.2 with running
averages, 77.5 with 8 batches, 78.6 with 24, and 68.7 with 24 whole images, one at a time."""
FEWEST_BATCHES, STATISTICS_PIXELS = 8, 4_000_000
"""After so many batches and pixels it is enough: 24 batches of large images would take minutes."""


class TrainingTask(LightningModule):
    """Trains a model on batches {"image": (B, C, H, W), "label": int64, "index": (B,)}.

    Labels are (B, H, W) for segmentation, (B,) for classification.

    Args:
        model: the network with its normalisation.
        config: the run's settings.
        loss: takes logits (B, C, H, W) or (B, C), and labels.
        final_loss: the same, for the final epochs, if they have their own.
        batches_per_epoch: training batches of each process.
        train_set: the training images, on which batch norm is measured too.
        ignore_index: label of void pixels, which are ignored.
        monitor: a score of the validation that is logged beside those of the task.
        metrics: of one's own, computed in the validation; see `OwnParts`.
    """

    def __init__(
        self,
        model: ImageModel,
        config: TrainConfig,
        *,
        loss: nn.Module,
        final_loss: nn.Module | None = None,
        batches_per_epoch: int,
        train_set: ImageDataset,
        ignore_index: int,
        monitor: Figure | None = None,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.loss = loss
        self.final_loss = final_loss
        self.batches_per_epoch = batches_per_epoch
        self.train_set = train_set
        num_classes = len(model.info.class_names)
        self.meter = Meter(
            model.task, num_classes, ignore_index=ignore_index, shared=True, own=metrics
        )
        self.figures = list_figures(model.task, monitor)
        self.tester = PixelTester(model, tile=as_tile(config.tile))

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        # Dropout depends only on (seed, epoch, batch, process), so that a resumed run draws the
        # same numbers as an uninterrupted one.
        drawn_from = (self.config.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(hash(drawn_from) % 2**63)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        logits = self.model(batch["image"])  # (B, C, H, W) or (B, C)
        is_final = self._is_final and self.final_loss is not None
        criterion = self.final_loss if is_final else self.loss
        assert criterion is not None
        loss: Tensor = criterion(logits, batch["label"])
        return loss

    @property
    def _is_final(self) -> bool:
        """Whether the current epoch is one of the final epochs, or the last one was."""
        final_from = self.config.final_from
        return final_from is not None and self.current_epoch >= final_from

    def on_validation_epoch_start(self) -> None:
        if self.config.recalibrate:
            self.refresh_batch_norm(self.model)

    def refresh_batch_norm(self, model: ImageModel) -> None:
        """Measure the batch norm statistics of a model again, on training batches."""
        refresh_batch_norm(model, self._statistics_batches())

    def _statistics_batches(self) -> Iterator[Tensor]:
        """Some training batches, the same ones each time; whole images in the final epochs."""
        loader = make_loader(
            self.train_set,
            batch_size=self.config.batch_size,
            shuffle=True,
            num_workers=0,
            seed=self.config.seed,
            drop_last=len(self.train_set) >= self.config.batch_size,
            crops_per_image=math.ceil(
                STATISTICS_BATCHES * self.config.batch_size / len(self.train_set)
            ),
        )
        if self._is_final:
            cast(EpochSampler, loader.sampler).set_epoch(self.config.epochs - 1)
        pixels = 0
        for number, batch in enumerate(itertools.islice(loader, STATISTICS_BATCHES), 1):
            yield batch["image"]
            pixels += batch["image"][:, 0].numel()
            if number >= FEWEST_BATCHES and pixels >= STATISTICS_PIXELS:
                return

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        images, labels = batch["image"], batch["label"]
        if self.model.task == "classification":
            self.meter.update_logits(self.model(images), labels)
            return
        size = (labels.shape[1], labels.shape[2])
        tested = self.tester.test(images, size=size, labels=labels)
        self.meter.update(
            tested.classes, tested.confidence, labels, log_likelihood=tested.log_likelihood
        )

    def on_validation_epoch_end(self) -> None:
        scores = self.meter.compute()
        self.meter.reset()
        for figure in self.figures:
            self.log(f"val/{figure.key}", figure.read(scores))
        for name, value in scores.own.items():
            self.log(f"val/{name}", value)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model.network, self.config)
        schedule = LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_factor(self, step: int) -> float:
        """The learning rate after so many optimiser steps, as a share of its peak."""
        steps_per_epoch = math.ceil(self.batches_per_epoch / self.config.accumulate)
        steps = self.config.max_steps or math.inf
        epochs = min(self.config.epochs, steps / steps_per_epoch)
        return lr_factor(self.config, epoch=step / steps_per_epoch, epochs=epochs)

    def on_train_start(self) -> None:
        # If a resumed run has another number of epochs, the learning rate in its checkpoint is that
        # of another schedule.
        optimizer = cast(LightningOptimizer, self.optimizers())
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * self._lr_factor(self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model_info"] = dataclasses.asdict(self.model.info)
