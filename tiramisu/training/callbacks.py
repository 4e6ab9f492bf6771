"""What a run does beside learning: stop at a bad loss, average weights, show its progress."""

import math
import sys
import time
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from torch import Tensor
from tqdm import tqdm

from tiramisu.evaluation.scores import Figure
from tiramisu.progress import BAR, bar_stream, is_watched
from tiramisu.training.history import History
from tiramisu.training.task import TrainingTask

LOSSES_PER_CHECK = 50
"""Steps after which their losses are read from the device, all at once."""
SECONDS_PER_REDRAW = 1.0


class StopAtBadLoss(Callback):
    """Stops a run whose loss is NaN or infinite before anything of that epoch is saved.

    To read a number from a GPU is to wait until the GPU has done all its work, so it is not done
    in every step: losses stay on the device and are read together, every LOSSES_PER_CHECK steps
    and at the end of the epoch, before it is validated.

    Raises:
        ValueError: the loss of a batch is not finite; the message says which.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor, str]] = []  # loss, samples' indices, where

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step, lr = trainer.global_step + 1, trainer.optimizers[0].param_groups[0]["lr"]
        self._where = f"batch {batch_idx + 1} (step {step}, learning rate {lr:.3g}"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches.append((outputs["loss"], batch["index"], self._where))
        if trainer.is_last_batch or len(self._batches) == LOSSES_PER_CHECK:
            self._check(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Batches may be left when max_steps ended the epoch.
        self._check(pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._check(pl_module)  # a run may be stopped, and saved, after any step

    def _check(self, task: LightningModule) -> None:
        batches, self._batches = self._batches, []
        losses = torch.stack([loss for loss, _, _ in batches]).tolist() if batches else []
        for loss, (_, samples, where) in zip(losses, batches, strict=True):
            if not math.isfinite(loss):
                names = cast(TrainingTask, task).train_set.names
                images = ", ".join(names[i] for i in samples.tolist())
                raise ValueError(
                    f"the loss is {loss} in epoch {task.current_epoch + 1}, {where}, images "
                    f"{images}): training stopped, and the last epoch before it is kept. Try a "
                    "smaller --lr, --clip-norm 1, or --precision fp32"
                )


class WeightAverage(EMAWeightAveraging):
    """Lightning's moving average of the weights, updated without waiting for the device.

    torch's AveragedModel asks the device in every step whether it is the first one.
    """

    def __init__(self, *, decay: float) -> None:
        super().__init__(decay=decay)
        self.decay = decay
        self._is_swapped = False

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._latest_update_step:  # gradients are still accumulated
            return
        # The average starts with the weights after the first step.
        share = 1 - self.decay if self._latest_update_step else 1.0
        self._latest_update_step = trainer.global_step
        assert self._average_model is not None
        averaged = self._average_model.module
        averages = (*averaged.parameters(), *averaged.buffers())
        currents = (*pl_module.parameters(), *pl_module.buffers())
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current, share)
            else:
                average.copy_(current)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self._is_swapped = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self._is_swapped = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_swapped:  # the validation has failed
            self.on_validation_epoch_end(trainer, pl_module)
        super().on_train_epoch_end(trainer, pl_module)


class Progress(Callback):
    """One progress bar over the whole run with the time left, and a line for each epoch.

    If the output is not a terminal (a log file), only the lines appear.
    """

    def __init__(self, history: History) -> None:
        self.history = history

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._loss: Tensor | None = None
        self._redrawn = time.monotonic()
        self._bar = tqdm(
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            disable=not (trainer.is_global_zero and is_watched()),
            dynamic_ncols=True,
            mininterval=0,
            miniters=0,
            smoothing=0.05,
            bar_format=BAR,
            file=bar_stream(),
            leave=False,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar.disable:
            return
        loss = outputs["loss"] * trainer.accumulate_grad_batches  # Lightning has divided it
        self._loss = loss if self._loss is None else self._loss.lerp(loss, 0.05)
        # To show the loss is to wait for the device, so the bar is seldom redrawn.
        if time.monotonic() < self._redrawn + SECONDS_PER_REDRAW:
            return
        self._redrawn = time.monotonic()
        best, monitor = self.history.best, self.history.monitor
        self._bar.set_description_str(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False
        )
        self._bar.set_postfix_str(
            f"loss {float(self._loss):.3f}, {self.history.images_per_second:.1f} img/s"
            + ("" if math.isnan(best) else f", val {monitor.name} {_show_score(best, monitor)}"),
            refresh=False,
        )
        self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar.set_description_str("validating")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        rows = self.history.rows
        row = rows[-1]
        seconds_per_step = sum(r["seconds"] for r in rows) / row["step"]
        left = (trainer.estimated_stepping_batches - row["step"]) * seconds_per_step
        line = f"epoch {row['epoch']:>3.0f}/{trainer.max_epochs}   loss {row['train_loss']:6.3f}   "
        monitor = self.history.monitor
        score = row[f"val_{monitor.key}"]
        if not math.isnan(score):
            best = _show_score(self.history.best, monitor)
            line += f"val {monitor.name} {_show_score(score, monitor):>4} (best {best})   "
        line += f"{row['images_per_second']:.1f} img/s   {tqdm.format_interval(left)} left"
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if hasattr(self, "_bar"):
            self._bar.close()


def _show_score(value: float, figure: Figure) -> str:
    """A loss with three digits after the point, and a percentage with one."""
    return f"{value:.3f}" if figure.is_loss else f"{value:.1f}"
