"""How a network learns: forward pass, loss, validation, optimiser, learning rate."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tiramisu.checkpoints.model import ImageModel
from tiramisu.evaluation.metrics import FIGURES, Meter
from tiramisu.inference.tester import PixelTester, as_tile
from tiramisu.training.config import TrainConfig
from tiramisu.training.optim import build_optimizer, lr_factor


class TrainingTask(LightningModule):
    """Trains a model on batches {"image": (B, C, H, W), "label": int64, "index": (B,)}.

    Labels are (B, H, W) for segmentation, (B,) for classification.

    Args:
        model: the network with its normalisation.
        config: the run's settings.
        loss: takes logits (B, C, H, W) or (B, C), and labels.
        final_loss: the same, for the final epochs, if they have their own.
        batches_per_epoch: training batches of each process.
        names: name of each training sample, for the message about a loss that is not finite.
        ignore_index: label of void pixels, which are ignored.
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
        names: list[str],
        ignore_index: int,
        metrics: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.loss = loss
        self.final_loss = final_loss
        self.batches_per_epoch = batches_per_epoch
        self.names = names
        num_classes = len(model.info.class_names)
        self.meter = Meter(
            model.task, num_classes, ignore_index=ignore_index, shared=True, own=metrics
        )
        self.tester = PixelTester(model, tile=as_tile(config.tile))

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        # Dropout depends only on (seed, epoch, batch, process), so that a resumed run draws the
        # same numbers as an uninterrupted one.
        drawn_from = (self.config.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(hash(drawn_from) % 2**63)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        logits = self.model(batch["image"])  # (B, C, H, W) or (B, C)
        final_from = self.config.final_from
        is_final = final_from is not None and self.current_epoch >= final_from
        criterion = self.final_loss if is_final and self.final_loss is not None else self.loss
        loss: Tensor = criterion(logits, batch["label"])
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        images, labels = batch["image"], batch["label"]
        if self.model.task == "classification":
            self.meter.update_logits(self.model(images), labels)
            return
        tested = self.tester.test(images, size=(labels.shape[1], labels.shape[2]))
        self.meter.update(tested.classes, tested.confidence, labels)

    def on_validation_epoch_end(self) -> None:
        scores = self.meter.compute()
        self.meter.reset()
        for figure in FIGURES[self.model.task]:
            self.log(f"val/{figure.key}", 100 * getattr(scores, figure.attribute))
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
